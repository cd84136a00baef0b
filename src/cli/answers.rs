//! The outcome for each number, as text or JSON, in the order requested, and how many were answered.

use super::input::Item;
use super::output::{Closed, Failure, Output, line_of};
use super::times::{Times, times};
use crate::client::CallError;
use crate::fibonacci::client::Number;
use crate::protocol::reply_value::Trailer;
use crate::protocol::{Code, Status};
use crate::text::{count, excerpt};
use serde::Serialize;

#[derive(Debug)]
pub(super) struct Answers {
    pub(super) output: Output,
    repeated: Repeated,
    pub(super) answered: u64,
    pub(super) failed: u64,
}

impl Answers {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            repeated: Repeated::default(),
            answered: 0,
            failed: 0,
        }
    }

    /// Prints the outcome for one number.
    pub(super) async fn put(
        &mut self,
        item: &Item,
        outcome: Result<Number, CallError>,
    ) -> Result<(), Closed> {
        match &outcome {
            Ok(_) => self.answered += 1,
            Err(error) => self.count(error.code()),
        }
        if self.output.style.json {
            return self.output.line(json(item, &outcome)).await;
        }
        match outcome {
            Ok(reply) => {
                let verbose = self.output.style.verbose;
                let times = verbose.then(|| times(&reply.trailer, Some(reply.round_trip)));
                self.output.line(reply.value).await?;
                match times {
                    Some(times) => self.output.note(&format!("{}: {times}", label(item))).await,
                    None => Ok(()),
                }
            }
            Err(error) => {
                let Some(earlier) = self.repeated.next(error.status()) else {
                    return Ok(());
                };
                self.report_repeated(earlier).await?;
                let label = label(item);
                let line = format!("{label}: {}", error.status().message());
                self.output.complaint(&line).await?;
                if self.output.style.verbose && *error.trailer() != Trailer::default() {
                    let times = times(error.trailer(), None);
                    self.output.note(&format!("{label}: {times}")).await?;
                }
                Ok(())
            }
        }
    }

    /// Prints a failure of this number and all after it: once, or per line of JSON.
    pub(super) async fn put_for_all(&mut self, item: &Item, status: &Status) -> Result<(), Closed> {
        self.count(status.code());
        if self.output.style.json {
            let outcome = Err(status.clone().into());
            self.output.line(json(item, &outcome)).await
        } else if self.repeated.last.as_ref() == Some(status) {
            Ok(())
        } else {
            self.repeated.last = Some(status.clone());
            self.output.complaint(status.message()).await
        }
    }

    /// Prints how often the last failure was repeated.
    pub(super) async fn rest(&mut self) -> Result<(), Closed> {
        let more = self.repeated.take();
        self.report_repeated(more).await
    }

    /// How many were answered, for people.
    pub(super) fn summary(&self) -> String {
        let Self {
            answered, failed, ..
        } = self;
        format!("{answered} answered, {failed} failed")
    }

    fn count(&mut self, code: Code) {
        self.failed += 1;
        self.output.failed(code);
    }

    async fn report_repeated(&self, more: u64) -> Result<(), Closed> {
        if more == 0 {
            return Ok(());
        }
        let numbers = count(more, "more number");
        let line = format!("{numbers} failed in the same way");
        self.output.complaint(&line).await
    }
}

/// Counts failures that repeat the previous one and are not about the number, so that a missing server is
/// reported once and not once per number.
#[derive(Debug, Default)]
struct Repeated {
    last: Option<Status>,
    more: u64,
}

impl Repeated {
    /// `None` if `status` repeats the last one; otherwise how often that was repeated without a report.
    fn next(&mut self, status: &Status) -> Option<u64> {
        let about_the_number = matches!(
            status.code(),
            Code::InvalidArgument
                | Code::OutOfRange
                | Code::NotFound
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::Internal
                | Code::Unknown
        );
        if !about_the_number && self.last.as_ref() == Some(status) {
            self.more += 1;
            return None;
        }
        self.last = Some(status.clone());
        Some(self.take())
    }

    fn take(&mut self) -> u64 {
        std::mem::take(&mut self.more)
    }
}

/// The number that a message is about, and where it was read.
fn label(item: &Item) -> String {
    let text = excerpt(&item.text, MAX_SHOWN);
    match item.line {
        Some(line) => format!("line {line}: {text}"),
        None => text.into_owned(),
    }
}

/// The most characters of a number that an error line repeats.
const MAX_SHOWN: usize = 40;

/// A line of `--json`. Fields are added to it, never renamed.
#[derive(Serialize)]
struct JsonLine<'a> {
    n: serde_json::Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(flatten)]
    failure: Option<Failure<'a>>,
    #[serde(flatten)]
    times: Times<'a>,
}

fn json(item: &Item, outcome: &Result<Number, CallError>) -> String {
    let (status, trailer) = match outcome {
        Ok(reply) => (None, &reply.trailer),
        Err(error) => (Some(error.status()), error.trailer()),
    };
    let reply = outcome.as_ref().ok();
    let record = JsonLine {
        // A number if it is one, otherwise the text.
        n: item
            .text
            .trim()
            .parse::<u64>()
            .map_or_else(|_| item.text.as_str().into(), serde_json::Value::from),
        line: item.line,
        value: reply.map(|reply| reply.value.as_str()),
        failure: status.map(Failure::from),
        times: Times::new(trailer, reply.map(|reply| reply.round_trip)),
    };
    line_of(&record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn item(text: &str, line: Option<u64>) -> Item {
        Item {
            text: text.into(),
            line,
            position: 1,
            fault: None,
        }
    }

    fn reply() -> Number {
        Number {
            value: "832040".into(),
            trailer: Trailer {
                server: Some("a\u{202e}b".into()),
                queued: Some(Duration::from_micros(1500)),
                compute: Some(Duration::from_micros(20)),
                trace_id: None,
            },
            round_trip: Duration::from_micros(2345),
        }
    }

    #[test]
    fn json_answers() {
        assert_eq!(
            json(&item("30", None), &Ok(reply())),
            r#"{"n":30,"value":"832040","server":"a\u202eb","queued_us":1500,"compute_us":20,"round_trip_us":2345}"#
        );
        let bare = Number {
            trailer: Trailer::default(),
            ..reply()
        };
        assert_eq!(
            json(&item("+5", Some(7)), &Ok(bare)),
            r#"{"n":5,"line":7,"value":"832040","round_trip_us":2345}"#
        );
    }

    #[test]
    fn json_failures() {
        let status = Status::new(Code::InvalidArgument, "not \"an\"\ninteger");
        let line = json(&item("1e3", None), &Err(status.into()));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["n"], "1e3");
        assert_eq!(value["code"], Code::InvalidArgument.name());
        assert_eq!(value["message"], "not \"an\"\ninteger");
        assert_eq!(value["retryable"], Code::InvalidArgument.retryable());
        assert!(
            !line.contains('\n') && value.get("value").is_none(),
            "{line}"
        );
    }

    #[test]
    fn a_repeated_failure_is_reported_once_and_counted() {
        let status = |message| Status::new(Code::Unavailable, message);
        let mut repeated = Repeated::default();
        assert_eq!(repeated.next(&status("a")), Some(0));
        assert_eq!(repeated.next(&status("a")), None);
        assert_eq!(repeated.next(&status("a")), None);
        assert_eq!(repeated.next(&status("b")), Some(2));
        assert_eq!(repeated.next(&status("a")), Some(0));
        assert_eq!(repeated.next(&status("a")), None);
        assert_eq!(repeated.take(), 1);
        assert_eq!(repeated.take(), 0);
        for _ in 0..2 {
            let status = Status::new(Code::InvalidArgument, "not an integer");
            assert_eq!(repeated.next(&status), Some(0));
        }
    }
}
