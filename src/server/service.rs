//! The [`Service`] trait: the function that a server runs for each request.

use super::cancel::Cancel;
use super::request::Request;
use crate::protocol::{Reply, Status};
use std::time::Duration;

/// A function of requests, run by a server.
pub trait Service: Send + Sync + 'static {
    /// A valid request.
    type Job: Send + 'static;

    /// Validates a request and estimates its cost, or refuses it. Runs on the session's own task, so it must be
    /// quick.
    fn admit(&self, request: &Request) -> Result<(Self::Job, Cost), Status>;

    /// Computes the answer. Jobs that are known to be cheap run on the session's task, all others (see [`Cost`]) on a
    /// pool of threads. A long computation should check `cancel` regularly, and may return any status once that is
    /// cancelled. A panic becomes `INTERNAL` for this request only.
    fn run(&self, job: Self::Job, cancel: &Cancel) -> Result<Reply, Status>;
}

/// The estimated cost of a job. The default states nothing: the job runs on the thread pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// Rough computing time; from [`Cost::POOL_FROM`] on the job runs on the thread pool. What jobs wait for is estimated from
    /// this and from how long the last jobs took, compared with theirs.
    pub time: Duration,
    /// Approximate size of the reply's body in bytes.
    pub reply_bytes: u64,
    /// Peak memory of the computation in bytes, the result included.
    pub memory: u64,
}

impl Cost {
    /// Jobs that take at least this long run on the pool.
    pub const POOL_FROM: Duration = Duration::from_micros(100);

    /// The cost of a job that takes this time.
    pub fn of(time: Duration) -> Self {
        Self {
            time,
            ..Self::default()
        }
    }

    /// The same with the size of the reply's body.
    #[must_use]
    pub fn reply_bytes(self, reply_bytes: u64) -> Self {
        Self {
            reply_bytes,
            ..self
        }
    }

    /// The same with the peak memory.
    #[must_use]
    pub fn memory(self, memory: u64) -> Self {
        Self { memory, ..self }
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self {
            time: Self::POOL_FROM,
            reply_bytes: 0,
            memory: 0,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
