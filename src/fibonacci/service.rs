//! Fibonacci numbers as a [`Service`]: where the function and the server meet.

use super::digits::{self, Doubt};
use super::{number, value};
use crate::protocol::{Format, Reply, Status};
use crate::server::{Cancel, Cost, Request, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Maximum size of a JSON answer besides its digits: names, quotes and a 20-digit n.
const JSON_OVERHEAD: u64 = 40;

/// The name of the method in metrics. Requests need not name it.
#[cfg(feature = "daemon")]
pub(crate) const METHOD: &str = "fibonacci";

/// Answers with the n-th Fibonacci number.
#[derive(Debug, Clone)]
pub struct Fibonacci {
    max_n: Arc<AtomicU64>,
}

impl Fibonacci {
    /// Rejects n above `max_n`, which may change at any time.
    pub fn new(max_n: Arc<AtomicU64>) -> Self {
        Self { max_n }
    }
}

/// A number to compute, and the format of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Job {
    n: u64,
    format: Format,
}

impl Service for Fibonacci {
    type Job = Job;

    fn admit(&self, request: &Request) -> Result<(Job, Cost), Status> {
        let format = request.format();
        let n = number::read(request.body(), format)?;
        let max_n = self.max_n.load(Ordering::Relaxed);
        if n > max_n {
            let message = format!("n = {n} is above this server's limit of {max_n}");
            return Err(Status::out_of_range(message));
        }
        let cost = digits::cost(n);
        let overhead = match format {
            Format::Text => 0,
            Format::Json => JSON_OVERHEAD,
        };
        let cost = Cost {
            time: cost.time,
            reply_bytes: cost.digits + overhead,
            memory: cost.memory,
        };
        Ok((Job { n, format }, cost))
    }

    fn run(&self, job: Job, cancel: &Cancel) -> Result<Reply, Status> {
        match digits::digits(job.n, &|| !cancel.is_cancelled()) {
            Some(digits) => {
                if let Some(doubt) = digits.doubt {
                    log_doubt(job.n, doubt);
                }
                Ok(value::write(job.n, digits.text, job.format))
            }
            None => Err(Status::deadline_exceeded(
                "stopped: the caller no longer waits for the result",
            )),
        }
    }
}

/// A log event as in `server/log.rs`: a result was discarded and computed again: correct, but late. The method cannot explain that, so memory or processor
/// may be faulty.
fn log_doubt(n: u64, doubt: Doubt) {
    tracing::error!(
        message_id = "9bd0643247567e36a37a2bfccce37393",
        fibrpc_reason = %doubt,
        fibrpc_left_out = tracing::field::Empty,
        fibrpc_n = n,
        "computed F({n}) again, by exact arithmetic: {doubt}; check this machine's memory and processor"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;
    use std::fmt::Debug;
    use std::sync::Mutex;
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata};

    fn request(body: &str, json: bool) -> Request {
        let content_type = if json {
            "application/json"
        } else {
            "text/plain"
        };
        Request::new(body).with_content_type(content_type)
    }

    fn answer(service: &Fibonacci, request: &Request) -> Result<String, Status> {
        let (job, cost) = service.admit(request)?;
        let answer = service.run(job, &Cancel::default())?;
        assert!(
            answer.body.len() as u64 <= cost.reply_bytes,
            "{} bytes were announced as {}",
            answer.body.len(),
            cost.reply_bytes
        );
        Ok(String::from_utf8(answer.body).unwrap())
    }

    #[test]
    fn it_answers_within_the_announced_size() {
        let service = Fibonacci::new(Arc::new(AtomicU64::new(10_000)));
        assert_eq!(answer(&service, &request("30", false)), Ok("832040".into()));
        assert_eq!(
            answer(&service, &request(r#"{"n": 30}"#, true)),
            Ok(r#"{"n":30,"value":"832040"}"#.into())
        );
        for n in [0, 1, 93, 94, 1000, 9_999, 10_000] {
            answer(&service, &request(&n.to_string(), false)).unwrap();
            answer(&service, &request(&n.to_string(), true)).unwrap();
        }
    }

    #[test]
    fn the_limit_is_named_and_may_change() {
        let max_n = Arc::new(AtomicU64::new(29));
        let service = Fibonacci::new(max_n.clone());
        let status = answer(&service, &request("30", false)).unwrap_err();
        assert_eq!(status.code(), Code::OutOfRange);
        assert!(status.message().contains("29"), "{status}");
        max_n.store(30, Ordering::Relaxed);
        assert!(answer(&service, &request("30", false)).is_ok());
        let status = answer(&service, &request("many", false)).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    #[test]
    fn a_cancelled_computation_ends_without_an_answer() {
        let service = Fibonacci::new(Arc::new(AtomicU64::new(u64::MAX)));
        let cancel = Cancel::default();
        cancel.cancel();
        let (job, _) = service.admit(&request("1000000000", false)).unwrap();
        let status = service.run(job, &cancel).unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
    }

    /// The fields of each log event, as `name=value`.
    #[derive(Default, Clone)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Visit for Log {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0.lock().unwrap().push(format!("{field}={value:?}"));
        }
    }

    impl tracing::Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            event.record(&mut self.clone());
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_number_computed_wrong_is_answered_right_and_logged() {
        let service = Fibonacci::new(Arc::new(AtomicU64::new(100_000)));
        let right = answer(&service, &request("50000", false)).unwrap();
        digits::inject_error();
        let log = Log::default();
        let again = tracing::subscriber::with_default(log.clone(), || {
            answer(&service, &request("50000", false)).unwrap()
        });
        assert!(again == right);
        let fields = log.0.lock().unwrap().join("\n");
        for wanted in [
            "message_id=\"9bd0643247567e36a37a2bfccce37393\"",
            "fibrpc_n=50000",
            "fibrpc_reason=the result was wrong modulo 2^61 - 1",
            "computed F(50000) again",
        ] {
            assert!(fields.contains(wanted), "{wanted}: {fields}");
        }
        log.0.lock().unwrap().clear();
        tracing::subscriber::with_default(log.clone(), || {
            answer(&service, &request("50000", false)).unwrap()
        });
        assert!(log.0.lock().unwrap().is_empty());
    }
}
