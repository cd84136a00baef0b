//! Admission: the decisions about a request before any work is done on it.
//!
//! Holds no state; every rule is a function of the request, the limits and the clock.

use super::backend::{Backend, Plan, Waiting, failed};
use super::request::Request;
use super::service::Cost;
use super::span::RequestSpan;
use crate::config;
use crate::protocol::reply_to::{Address, Policy, Refusal, Refused};
use crate::protocol::{self, Defect, Reply, Status};
use crate::text;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// A delivered request whose reply address is allowed.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) tag: u64,
    pub(super) request: Request,
    pub(super) address: Address,
    /// When it was delivered.
    pub(super) since: Instant,
    /// How long it waited in the queue, if that is known.
    pub(super) queued: Option<Duration>,
    pub(super) span: RequestSpan,
}

impl Accepted {
    /// One that is delivered now.
    pub(super) fn new(
        tag: u64,
        request: protocol::RequestMessage,
        address: Address,
        span: RequestSpan,
    ) -> Self {
        Self {
            tag,
            request: Request::of(request),
            address,
            since: Instant::now(),
            queued: None,
            span,
        }
    }
}

/// How an admitted request is computed, and until when.
pub(super) enum Admitted<J> {
    /// On the session's task.
    Inline(J, Option<Instant>),
    /// On the thread pool.
    Pooled(J, Cost, Option<Instant>),
    /// As a future of the session.
    Waiting(Waiting, Option<Instant>),
}

/// Checks the reply address; `None`: no reply is expected.
pub(super) fn address(
    request: &protocol::RequestMessage,
    policy: &Policy,
) -> Result<Option<Address>, Refused> {
    match (&request.reply_to, &request.defect) {
        (Some(reply_to), _) => match policy.check(reply_to) {
            Ok(address) => Ok(Some(address)),
            Err(reason) => Err(Refused::new(reply_to.as_bytes(), reason)),
        },
        (None, Some(Defect::ReplyTo(bytes))) => Err(Refused::new(bytes, Refusal::NotText)),
        (None, _) => Ok(None),
    }
}

/// Decides at `now` (Unix milliseconds) whether a request is computed. `wait` is the estimated time until the pool would begin
/// it.
pub(super) fn admit<B: Backend>(
    service: &B,
    request: &mut Request,
    limits: &config::Server,
    wait: Duration,
    now: i64,
) -> Result<Admitted<B::Job>, Status> {
    let message = &request.message;
    if message.expired(now) {
        return Err(message.too_late(now));
    }
    message.body()?;
    let left = message.time_left(now);
    // Tests can pause this clock.
    let deadline = left.and_then(|left| tokio::time::Instant::now().into_std().checked_add(left));
    request.deadline = deadline;
    // A panic is the service's.
    let plan = catch_unwind(AssertUnwindSafe(|| service.admit(request)));
    let (job, cost) = match plan.unwrap_or_else(|_| Err(failed()))? {
        Plan::Compute(job, cost) => (job, cost),
        Plan::Wait(future) => return Ok(Admitted::Waiting(future, deadline)),
    };
    if cost.reply_bytes > limits.max_reply_bytes {
        return Err(too_large(cost.reply_bytes, limits.max_reply_bytes));
    }
    if cost.time < Cost::POOL_FROM {
        return Ok(Admitted::Inline(job, deadline));
    }
    match left {
        Some(left) if wait > left => Err(Status::resource_exhausted(format!(
            "too busy to begin in time: about {} of work is in line; try again later",
            text::duration(wait)
        ))),
        _ => Ok(Admitted::Pooled(job, cost, deadline)),
    }
}

/// Replaces an answer that exceeds the limit, whatever its estimated size, by an error.
pub(super) fn fitting(
    outcome: Result<Reply, Status>,
    limits: &config::Server,
) -> Result<Reply, Status> {
    let size = outcome
        .as_ref()
        .map_or(0, |answer| answer.body.len() as u64);
    if size > limits.max_reply_bytes {
        return Err(too_large(size, limits.max_reply_bytes));
    }
    outcome
}

/// How long a request that was delivered at `now` (Unix milliseconds) waited in the queue, if its send time is known.
pub(super) fn queued(request: &protocol::RequestMessage, now: i64) -> Option<Duration> {
    let waited = now.checked_sub(request.sent_ms?)?;
    u64::try_from(waited).ok().map(Duration::from_millis)
}

fn too_large(size: u64, limit: u64) -> Status {
    Status::out_of_range(format!(
        "the reply would take about {}, above the limit of {limit} (server.max_reply_bytes, or the broker's max_message_size)",
        text::count(size, "byte")
    ))
}

#[cfg(test)]
mod tests;
