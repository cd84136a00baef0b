//! From an accepted request to its reply: where it is answered, and the message that tells its caller.
//!
//! Holds no state. Sessions and the test kit (`testing.rs`) share it, so a test of a service meets the same decisions.

use super::admission::{self, Accepted, Admitted};
use super::backend::{Backend, Outcome};
use super::cancel::Cancel;
use super::context::Context;
use super::futures::Futures;
use super::pool::{Done, Pool, Task, compute};
use super::state::Counters;
use crate::config;
use crate::protocol::reply_value::Trailer;
use crate::protocol::{Code, Message, Status, reply};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Admits a request at `now` (Unix milliseconds) and begins it, on the pool or as a future. Returns it if it has ended already:
/// it was refused, or computed on this task.
pub(super) fn begin<B: Backend>(
    pool: &mut Pool<B>,
    futures: &mut Futures,
    mut accepted: Accepted,
    limits: &config::Server,
    now: i64,
) -> Option<Done> {
    accepted.queued = admission::queued(&accepted.request.message, now);
    let service = &pool.service;
    match admission::admit(
        service.as_ref(),
        &mut accepted.request,
        limits,
        pool.wait(),
        now,
    ) {
        Err(status) => Some(Done {
            accepted,
            outcome: Err(status),
            compute: None,
        }),
        Ok(Admitted::Inline(job, deadline)) => {
            accepted.span.event("admitted");
            let began = Instant::now();
            pool.small(began);
            let cancel = Cancel::new(deadline, None);
            let outcome = compute(service.as_ref(), job, &cancel, accepted.since);
            accepted.span.event("computed");
            Some(Done {
                accepted,
                outcome,
                compute: Some(began.elapsed()),
            })
        }
        Ok(Admitted::Pooled(job, cost, deadline)) => {
            accepted.span.event("admitted");
            // The job has what it needs. Many may wait, and a reply does not depend on the body.
            accepted.request.message.body = Vec::new();
            pool.push(Task {
                accepted,
                job,
                cost,
                deadline,
            });
            None
        }
        Ok(Admitted::Waiting(waiting, deadline)) => {
            accepted.span.event("admitted");
            futures.push(accepted, waiting, deadline);
            None
        }
    }
}

/// The reply to a request, which is counted, and its code.
pub(super) fn message(
    context: &Context,
    limits: &config::Server,
    accepted: &Accepted,
    outcome: Outcome,
    compute: Option<Duration>,
) -> (Message, Code) {
    let request = &accepted.request.message;
    let outcome = admission::fitting(outcome, limits);
    let code = outcome.as_ref().map_or_else(Status::code, |_| Code::Ok);
    tracing::debug!(
        fibrpc_code = code.name(),
        fibrpc_reply_to = request.reply_to.as_deref(),
        fibrpc_correlation_id = request
            .correlation_id
            .as_deref()
            .map(String::from_utf8_lossy)
            .as_deref(),
        fibrpc_compute_us = compute.map(|time| time.as_micros()),
        "answered"
    );
    let counters = &context.counters;
    match code {
        Code::Ok => Counters::add(&counters.served),
        _ => Counters::add(&counters.failed),
    }
    if code == Code::DeadlineExceeded {
        Counters::add(&counters.expired);
    }
    let trailer = Trailer {
        server: Some(context.instance.clone()),
        queued: accepted.queued,
        compute,
        ..Trailer::default()
    };
    let id = context.next_reply.load(Ordering::Relaxed);
    (reply::write(request, outcome, &trailer, id), code)
}
