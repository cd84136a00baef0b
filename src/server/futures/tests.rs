//! Deadlines, panics and drops of futures.

use super::*;
use crate::protocol::reply_to::Address;
use crate::protocol::{Code, Reply, Status};
use crate::server::cancel::Cancel;
use crate::server::request::Request;
use crate::server::span::RequestSpan;
use futures_util::future::FutureExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn accepted(tag: u64) -> Accepted {
    let request = Request::new("").message;
    Accepted::new(tag, request, Address::Queue, RequestSpan::default())
}

fn reply(text: &str) -> Reply {
    Reply::new(text, "text/plain")
}

fn waiting(future: impl Future<Output = Result<Reply, Status>> + Send + 'static) -> Waiting {
    Waiting {
        future: Box::pin(future),
        cancel: Cancel::default(),
    }
}

/// Counts how many of its clones are left; panics when it is dropped if it is to.
struct Guard {
    _left: Arc<()>,
    panics: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        assert!(!self.panics, "as requested");
    }
}

fn never(left: &Arc<()>, panics: bool) -> Waiting {
    let guard = Guard {
        _left: left.clone(),
        panics,
    };
    waiting(async move {
        let _guard = &guard;
        std::future::pending().await
    })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(20)
}

#[tokio::test]
async fn they_run_together_and_end_in_their_own_order() {
    let mut futures = Futures::default();
    assert!(futures.is_empty() && futures.next().now_or_never().is_none());
    let (tell, told) = tokio::sync::oneshot::channel();
    let first = async move { Ok(told.await.unwrap()) };
    futures.push(accepted(1), waiting(first), None);
    futures.push(accepted(2), waiting(async { Ok(reply("two")) }), None);
    let done = futures.next().await;
    assert_eq!((done.accepted.tag, done.outcome), (2, Ok(reply("two"))));
    assert!(futures.next().now_or_never().is_none(), "it still waits");
    tell.send(reply("one")).unwrap();
    let done = futures.next().await;
    assert_eq!((done.accepted.tag, done.outcome), (1, Ok(reply("one"))));
    assert!(futures.is_empty());
}

#[tokio::test]
async fn one_that_never_ends_is_dropped_at_its_deadline() {
    let left = Arc::new(());
    let mut futures = Futures::default();
    for tag in 0..100 {
        futures.push(accepted(tag), never(&left, false), Some(soon()));
    }
    for _ in 0..100 {
        let done = futures.next().await;
        assert_eq!(done.outcome.unwrap_err().code(), Code::DeadlineExceeded);
        assert!(
            done.compute >= Some(Duration::from_millis(15)),
            "not before it"
        );
    }
    assert!(futures.is_empty());
    assert_eq!(Arc::strong_count(&left), 1, "nothing is left of them");
}

#[tokio::test]
async fn an_outcome_at_the_deadline_counts() {
    let mut futures = Futures::default();
    let past = Some(Instant::now());
    futures.push(accepted(1), waiting(async { Ok(reply("late")) }), past);
    assert_eq!(futures.next().await.outcome, Ok(reply("late")));
}

#[tokio::test]
async fn a_panic_is_internal_for_its_request_only() {
    let left = Arc::new(());
    let mut futures = Futures::default();
    futures.push(accepted(1), waiting(async { panic!("as requested") }), None);
    futures.push(accepted(2), waiting(async { Ok(reply("two")) }), None);
    futures.push(accepted(3), never(&left, true), Some(soon()));
    let mut codes = Vec::new();
    for _ in 0..3 {
        let done = futures.next().await;
        let code = done
            .outcome
            .map_or_else(|status| status.code(), |_| Code::Ok);
        codes.push((done.accepted.tag, code));
    }
    codes.sort_unstable();
    assert_eq!(
        codes,
        [
            (1, Code::Internal),
            (2, Code::Ok),
            (3, Code::DeadlineExceeded)
        ]
    );
    assert_eq!(Arc::strong_count(&left), 1);
}

#[tokio::test]
async fn all_are_dropped_with_the_session_even_if_that_panics() {
    let left = Arc::new(());
    let mut futures = Futures::default();
    for tag in 0..3 {
        futures.push(accepted(tag), never(&left, tag == 1), None);
    }
    assert!(futures.next().now_or_never().is_none());
    futures.clear();
    assert!(futures.is_empty());
    assert_eq!(Arc::strong_count(&left), 1);
    futures.push(accepted(4), never(&left, true), None);
    drop(futures);
    assert_eq!(Arc::strong_count(&left), 1);
}

#[tokio::test]
async fn each_is_cancelled_once_it_has_ended_or_is_dropped() {
    let mut futures = Futures::default();
    let mut push = |ends: bool| {
        let waiting = if ends {
            waiting(async { Ok(reply("one")) })
        } else {
            never(&Arc::default(), false)
        };
        let cancel = waiting.cancel.clone();
        futures.push(accepted(1), waiting, None);
        cancel
    };
    let (ended, dropped) = (push(true), push(false));
    futures.next().await;
    assert!(ended.is_cancelled() && !dropped.is_cancelled());
    futures.clear();
    assert!(dropped.is_cancelled());
}
