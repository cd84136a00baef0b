//! Every rule on both sides of its limit.

use super::*;
use crate::broker::clock::unix_ms;
use crate::protocol::Code;
use crate::server::{Cancel, Service};
use std::fmt;

impl<J> fmt::Debug for Admitted<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("admitted")
    }
}

/// A service whose jobs all cost the same.
struct Costing(Cost);

impl Service for Costing {
    type Job = &'static str;

    fn admit(&self, request: &Request) -> Result<(Self::Job, Cost), Status> {
        if request.body().is_empty() {
            return Err(Status::new(Code::InvalidArgument, "empty"));
        }
        assert_ne!(request.body(), b"panic", "as requested");
        Ok(("job", self.0))
    }

    fn run(&self, _: Self::Job, _: &Cancel) -> Result<Reply, Status> {
        Err(Status::new(Code::Internal, "not run here"))
    }
}

const LIMIT: u64 = 1_000;

fn limits() -> config::Server {
    config::Server {
        max_reply_bytes: LIMIT,
        ..config::Config::default().server
    }
}

fn cost(time: Duration, reply_bytes: u64) -> Cost {
    Cost {
        time,
        reply_bytes,
        memory: 0,
    }
}

fn request(body: &str) -> Request {
    Request::new(body)
}

/// A request whose deadline is `ms` milliseconds from now; negative: it has passed.
fn due_in(ms: i64) -> Request {
    let mut request = request("30");
    request.message.deadline_ms = Some(unix_ms() + ms);
    request
}

fn admitted(cost: Cost, request: &Request, wait: Duration) -> Result<Admitted<&'static str>, Code> {
    let mut request = request.clone();
    admit(&Costing(cost), &mut request, &limits(), wait, unix_ms()).map_err(|status| status.code())
}

const LARGE: Duration = Duration::from_secs(1);
const HOUR_MS: i64 = 3_600_000;

#[test]
fn the_pool_begins_at_its_limit() {
    let small = Cost::POOL_FROM.saturating_sub(Duration::from_nanos(1));
    let small = admitted(cost(small, 1), &request("30"), Duration::ZERO);
    assert!(matches!(small, Ok(Admitted::Inline("job", None))));
    let large = cost(Cost::POOL_FROM, 1);
    let on_the_pool = admitted(large, &request("30"), Duration::ZERO);
    assert!(matches!(on_the_pool, Ok(Admitted::Pooled("job", given, None)) if given == large));
}

#[test]
fn a_job_whose_cost_is_not_stated_runs_on_the_pool() {
    let unstated = admitted(Cost::default(), &request("30"), Duration::ZERO);
    assert!(matches!(unstated, Ok(Admitted::Pooled(..))));
}

#[test]
fn a_panic_in_the_service_is_internal() {
    let failed = admitted(cost(LARGE, 1), &request("panic"), Duration::ZERO);
    assert_eq!(failed.unwrap_err(), Code::Internal);
}

#[test]
fn what_the_service_refuses_is_refused() {
    let refused = admitted(cost(LARGE, 1), &request(""), Duration::ZERO);
    assert_eq!(refused.unwrap_err(), Code::InvalidArgument);
}

#[test]
fn a_reply_may_be_as_large_as_the_limit() {
    for time in [Duration::ZERO, LARGE] {
        assert!(admitted(cost(time, LIMIT), &request("30"), Duration::ZERO).is_ok());
        let refused = admitted(cost(time, LIMIT + 1), &request("30"), Duration::ZERO);
        assert_eq!(refused.unwrap_err(), Code::OutOfRange);
    }
    let answer = |size: u64| {
        let body = vec![b'1'; usize::try_from(size).unwrap()];
        let content_type = "text/plain";
        fitting(Ok(Reply::new(body, content_type)), &limits())
    };
    assert_eq!(answer(LIMIT).unwrap().body.len() as u64, LIMIT);
    let status = answer(LIMIT + 1).unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    for words in [
        "about 1001 bytes, above",
        "limit of 1000 (server.max_reply_bytes",
    ] {
        assert!(status.message().contains(words), "{}", status.message());
    }
    let failed = fitting(Err(Status::new(Code::Internal, "x")), &limits());
    assert_eq!(failed.unwrap_err().code(), Code::Internal);
}

#[test]
fn a_request_is_refused_once_its_deadline_has_passed() {
    let refused = admitted(cost(Duration::ZERO, 1), &due_in(-HOUR_MS), Duration::ZERO);
    assert_eq!(refused.unwrap_err(), Code::DeadlineExceeded);
    for time in [Duration::ZERO, LARGE] {
        let before = Instant::now();
        let deadline = match admitted(cost(time, 1), &due_in(HOUR_MS), Duration::ZERO).unwrap() {
            Admitted::Inline(_, deadline) | Admitted::Pooled(_, _, deadline) => deadline.unwrap(),
            Admitted::Waiting(..) => unreachable!("it computes"),
        };
        let left = deadline - before;
        assert!(left > Duration::from_secs(3_000) && left < Duration::from_secs(4_000));
    }
}

#[test]
fn a_large_request_is_refused_if_it_would_be_begun_too_late() {
    let wait = |seconds| {
        admitted(
            cost(LARGE, 1),
            &due_in(HOUR_MS),
            Duration::from_secs(seconds),
        )
    };
    assert!(wait(3_000).is_ok());
    assert_eq!(wait(4_000).unwrap_err(), Code::ResourceExhausted);
    // It does not wait in line, or has no deadline.
    let long = Duration::from_secs(4_000);
    assert!(admitted(cost(Duration::ZERO, 1), &due_in(HOUR_MS), long).is_ok());
    assert!(admitted(cost(LARGE, 1), &request("30"), long).is_ok());
}

#[test]
fn the_time_in_the_queue_is_known_if_the_request_says_when_it_was_sent() {
    let now = unix_ms();
    let sent = |ms: Option<i64>| {
        let request = protocol::RequestMessage {
            sent_ms: ms.map(|ms| now + ms),
            ..request("30").message
        };
        queued(&request, now)
    };
    assert_eq!(sent(None), None);
    assert_eq!(sent(Some(HOUR_MS)), None, "sent by a clock that is ahead");
    assert_eq!(sent(Some(-HOUR_MS)), Some(Duration::from_secs(3_600)));
}

#[test]
fn an_address_is_allowed_refused_or_absent() {
    let policy = Policy::new("rpc_queue", &[]);
    let of = |reply_to: Option<&str>, defect| {
        let reply_to = reply_to.map(str::to_owned);
        let request = protocol::RequestMessage {
            reply_to,
            defect,
            ..request("30").message
        };
        address(&request, &policy)
            .map(|address| address.is_some())
            .map_err(|refused| refused.reason)
    };
    assert_eq!(of(Some("amq.gen-1"), None), Ok(true));
    assert_eq!(of(Some("orders"), None), Err(Refusal::NotAllowed));
    assert_eq!(of(None, None), Ok(false));
    let defect = Some(Defect::ReplyTo(vec![0xff]));
    assert_eq!(of(None, defect.clone()), Err(Refusal::NotText));
    assert_eq!(of(Some("amq.gen-1"), defect), Ok(true));
    assert_eq!(of(None, Some(Defect::Body(9))), Ok(false));
}

#[test]
fn a_request_whose_body_was_not_kept_does_not_reach_the_service() {
    struct Any;

    impl Service for Any {
        type Job = ();

        fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
            Ok(((), Cost::default()))
        }

        fn run(&self, (): (), _: &Cancel) -> Result<Reply, Status> {
            Err(Status::new(Code::Internal, "not run here"))
        }
    }
    let admitted = |defect| {
        let mut request = request("");
        request.message.defect = defect;
        admit(
            &Any,
            &mut request.clone(),
            &limits(),
            Duration::ZERO,
            unix_ms(),
        )
        .map_err(|status| status.code())
    };
    assert!(admitted(None).is_ok());
    assert!(admitted(Some(Defect::ReplyTo(Vec::new()))).is_ok());
    for defect in [Defect::Body(7), Defect::Section] {
        assert_eq!(admitted(Some(defect)).err(), Some(Code::InvalidArgument));
    }
}
