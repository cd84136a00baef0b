//! The requests of a session that are answered by futures: handlers that wait for something else than a processor.
//!
//! Owns these futures, so they run on the session's own task, and none outlives it. Each belongs to a delivery that is not
//! acknowledged, so the prefetch bounds their number. A future is dropped once the request's deadline has passed, or when
//! the session ends. Guarantees an outcome for each one that is not dropped: a panic in it is the `INTERNAL` of its
//! request, also if it panics while it is dropped.

use super::admission::Accepted;
use super::backend::{Waiting, expired, failed};
use super::pool::Done;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time;
use tokio::time::{Instant, Sleep};

/// The futures of a session.
#[derive(Default)]
pub(super) struct Futures {
    running: FuturesUnordered<Running>,
}

impl Futures {
    /// Adds one, which begins when the session polls it next.
    pub(super) fn push(
        &mut self,
        accepted: Accepted,
        waiting: Waiting,
        deadline: Option<time::Instant>,
    ) {
        self.running.push(Running {
            began: Instant::now(),
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
            work: Some((accepted, waiting)),
        });
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// The next one to end. Never ready if there is none.
    pub(super) async fn next(&mut self) -> Done {
        match self.running.next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Drops all of them.
    pub(super) fn clear(&mut self) {
        self.running.clear();
    }
}

/// One of them. Ends with its own outcome, or at its deadline.
struct Running {
    began: Instant,
    deadline: Option<Pin<Box<Sleep>>>,
    /// `None` once it has ended.
    work: Option<(Accepted, Waiting)>,
}

impl Future for Running {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Done> {
        let this = &mut *self;
        let Some((accepted, Waiting { future, .. })) = &mut this.work else {
            return Poll::Pending; // cannot happen: it is not polled again after its end
        };
        let _entered = accepted.span.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        let outcome = match polled {
            Ok(Poll::Ready(outcome)) => outcome,
            Err(_) => Err(failed()),
            Ok(Poll::Pending) => {
                let deadline = this.deadline.as_mut();
                if deadline.is_none_or(|at| at.as_mut().poll(context).is_pending()) {
                    return Poll::Pending;
                }
                Err(expired("it was being handled", this.began.elapsed()))
            }
        };
        let Some(accepted) = this.end() else {
            return Poll::Pending; // cannot happen: there was one above
        };
        let compute = Some(this.began.elapsed());
        accepted.span.event("computed");
        Poll::Ready(Done {
            accepted,
            outcome,
            compute,
        })
    }
}

impl Running {
    /// Drops the future. The panic hook has reported a panic there, and the outcome is known.
    fn end(&mut self) -> Option<Accepted> {
        let (accepted, Waiting { future, cancel }) = self.work.take()?;
        let _entered = accepted.span.enter();
        cancel.cancel();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(future)));
        Some(accepted)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests;
