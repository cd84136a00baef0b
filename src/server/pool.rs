//! The thread pool for large computations: a bounded number runs, the others wait in order.
//!
//! Owns the waiting jobs and the running threads. Guarantees an outcome for every job that began (also if it panics),
//! that the memory of jobs and replies stays within the limits, and that a cancelled job ends soon if its service checks
//! for that.

use super::admission::Accepted;
use super::backend::{self, Backend, expired, failed};
use super::cancel::{Cancel, Pooled};
use super::correction::Correction;
use super::log;
use super::memory::{MAX_SHARE, Memory, Share};
use super::pace::{Pace, Pauses};
use super::saturation::{Change, Saturation};
use super::service::Cost;
use super::state::Counters;
use super::tally::Part;
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The nice value of computing threads (nice(2)): small requests, heartbeats and acks come first if the processor is
/// busy.
const NICE: i32 = 10;

/// A stated computing time above this counts as this.
const MAX_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// An admitted request that waits for the pool.
#[derive(Debug)]
pub(super) struct Task<J> {
    pub(super) accepted: Accepted,
    pub(super) job: J,
    pub(super) cost: Cost,
    /// The caller's deadline.
    pub(super) deadline: Option<Instant>,
}

/// A request with its outcome.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) accepted: Accepted,
    pub(super) outcome: backend::Outcome,
    /// The computing time; `None`: it was not begun.
    pub(super) compute: Option<Duration>,
}

pub(super) struct Pool<B: Backend> {
    pub(super) service: Arc<B>,
    counters: Arc<Counters>,
    concurrency: usize,
    waiting: VecDeque<Task<B::Job>>,
    running: JoinSet<Done>,
    /// By delivery tag: how to cancel the running job, its estimated cost, and when it began.
    at_work: HashMap<u64, (Cancel, Cost, Instant)>,
    memory: Share,
    /// Stated computing time of all jobs, waiting and running.
    load: Duration,
    /// Stated computing time of the waiting jobs.
    in_line: Duration,
    correction: Correction,
    /// Reply bytes that count for each delivery tag until the reply is confirmed.
    held: HashMap<u64, u64>,
    pace: Arc<Pace>,
    gauges: Gauges,
    saturation: Saturation,
}

/// What the counters show of a pool.
struct Gauges {
    threads: Part,
    running: Part,
    waiting: Part,
    wait_ms: Part,
    /// The pool takes no further jobs.
    closing: bool,
}

impl Gauges {
    fn new(counters: &Arc<Counters>) -> Self {
        Self {
            threads: Part::new(counters, |counters| &counters.pool_threads),
            running: Part::new(counters, |counters| &counters.pool_running),
            waiting: Part::new(counters, |counters| &counters.pool_waiting),
            wait_ms: Part::new(counters, |counters| &counters.pool_wait_ms),
            closing: false,
        }
    }
}

impl<B: Backend> Pool<B> {
    pub(super) fn new(
        service: Arc<B>,
        counters: Arc<Counters>,
        memory: &Memory,
        concurrency: usize,
    ) -> Self {
        let mut pool = Self {
            service,
            gauges: Gauges::new(&counters),
            counters,
            concurrency: 1,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            at_work: HashMap::new(),
            memory: Share::of(memory),
            load: Duration::ZERO,
            in_line: Duration::ZERO,
            correction: Correction::default(),
            held: HashMap::new(),
            pace: Arc::new(Pace::new()),
            saturation: Saturation::default(),
        };
        pool.set_concurrency(concurrency);
        pool
    }

    /// Sets the number of threads; see [`workers`].
    pub(super) fn set_concurrency(&mut self, concurrency: usize) {
        self.concurrency = workers(concurrency);
        self.start();
    }

    /// The time that the last waiting job waits for those before it, as stated; running jobs are not counted. Not corrected:
    /// the pauses for small requests would keep further ones in the queue.
    pub(super) fn line(&self) -> Duration {
        if self.in_line.is_zero() {
            return Duration::ZERO;
        }
        self.in_line / self.workers()
    }

    /// Estimated time until a job pushed now would begin.
    pub(super) fn wait(&self) -> Duration {
        if self.waiting.is_empty() && self.running.len() < self.concurrency {
            return Duration::ZERO;
        }
        self.correction.of(self.load) / self.workers()
    }

    fn workers(&self) -> u32 {
        u32::try_from(self.concurrency).unwrap_or(u32::MAX)
    }

    /// Adds a job, which begins at once if there is a free thread and memory.
    pub(super) fn push(&mut self, mut task: Task<B::Job>) {
        task.cost.memory = task.cost.memory.min(MAX_SHARE);
        task.cost.time = task.cost.time.min(MAX_TIME);
        self.load += task.cost.time;
        self.in_line += task.cost.time;
        self.waiting.push_back(task);
        self.start();
    }

    /// A request was answered without the pool: running jobs pause for those that may follow.
    pub(super) fn small(&self, now: Instant) {
        if !self.running.is_empty() {
            self.pace.small(now);
        }
    }

    /// The next job to end. Never ready if none is running.
    pub(super) async fn next(&mut self) -> Done {
        while let Some(joined) = self.running.join_next().await {
            // Cannot fail: jobs catch their panics and are never aborted.
            if let Ok(done) = joined {
                if let Some((cancel, cost, _)) = self.at_work.remove(&done.accepted.tag) {
                    self.load = self.load.saturating_sub(cost.time);
                    self.memory.end(&cost);
                    if let Some(taken) = done.compute.filter(|_| !cancel.is_cancelled()) {
                        self.correction.observe(cost.time, taken);
                    }
                }
                Counters::add(&self.counters.pool_beats);
                self.start();
                return done;
            }
        }
        std::future::pending().await
    }

    /// Frees the memory of the reply to this delivery.
    pub(super) fn release(&mut self, tag: u64) {
        if let Some(bytes) = self.held.remove(&tag) {
            self.memory.release(bytes);
            self.start();
        }
    }

    /// Removes the waiting jobs, before a drain, that will probably not begin within `limit` (zero: all of them). Returns their tags.
    pub(super) fn withdraw(&mut self, limit: Duration) -> Vec<u64> {
        let now = Instant::now();
        let left = |(_, cost, began): &(Cancel, Cost, Instant)| {
            let expected = self.correction.of(cost.time);
            expected.saturating_sub(now.saturating_duration_since(*began))
        };
        let mut ahead: Duration = self.at_work.values().map(left).sum();
        let workers = self.workers();
        let stay = self.waiting.iter().take_while(|task| {
            let begins = ahead / workers;
            ahead += self.correction.of(task.cost.time);
            begins < limit
        });
        let leave = self.waiting.split_off(stay.count());
        self.gauges.closing = true;
        for task in &leave {
            self.load = self.load.saturating_sub(task.cost.time);
            self.in_line = self.in_line.saturating_sub(task.cost.time);
        }
        self.publish();
        leave.into_iter().map(|task| task.accepted.tag).collect()
    }

    fn publish(&mut self) {
        let wait = if self.gauges.closing {
            Duration::ZERO
        } else {
            self.wait()
        };
        let gauges = &mut self.gauges;
        gauges.threads.set(self.concurrency as u64);
        gauges.running.set(self.running.len() as u64);
        gauges.waiting.set(self.waiting.len() as u64);
        gauges
            .wait_ms
            .set(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    }

    /// Cancels all running jobs.
    pub(super) fn cancel(&self) {
        self.at_work
            .values()
            .for_each(|(cancel, ..)| cancel.cancel());
    }

    /// To be called once per second. A free thread counts as progress; if there is none, the running jobs show progress by
    /// checking for cancellation. Also begins jobs that waited for memory, in case another session has freed some, and logs
    /// when a long saturation begins and ends.
    pub(super) fn beat(&mut self, now: Instant) {
        self.start();
        if self.running.len() < self.concurrency {
            Counters::add(&self.counters.pool_beats);
        }
        match self.observe_saturation(now) {
            Some(Change::Begun) => {
                log::saturated(self.concurrency, self.waiting.len(), self.wait());
            }
            Some(Change::Ended(lasted)) => log::relieved(lasted),
            None => {}
        }
    }

    fn observe_saturation(&mut self, now: Instant) -> Option<Change> {
        let is_busy = self.running.len() >= self.concurrency;
        let is_saturated = is_busy && !self.waiting.is_empty() && !self.gauges.closing;
        self.saturation.observe(is_saturated, now)
    }

    fn start(&mut self) {
        while self.running.len() < self.concurrency
            && let Some(next) = self.waiting.front()
            && self.memory.fits(&next.cost)
            && let Some(task) = self.waiting.pop_front()
        {
            let began = Instant::now();
            let pooled = Pooled {
                counters: self.counters.clone(),
                pauses: Pauses::new(&self.pace, began),
            };
            let cancel = Cancel::new(task.deadline, Some(pooled));
            let tag = task.accepted.tag;
            self.at_work.insert(tag, (cancel.clone(), task.cost, began));
            self.in_line = self.in_line.saturating_sub(task.cost.time);
            self.memory.take(&task.cost);
            self.held.insert(tag, task.cost.reply_bytes);
            let service = self.service.clone();
            self.running.spawn_blocking(move || {
                lower_priority();
                let began = Instant::now();
                let Task { accepted, job, .. } = task;
                let entered = accepted.span.enter();
                let outcome = compute(service.as_ref(), job, &cancel, accepted.since);
                accepted.span.event("computed");
                drop(entered);
                Done {
                    accepted,
                    outcome,
                    compute: Some(began.elapsed()),
                }
            });
        }
        self.publish();
    }
}

impl<B: Backend> Drop for Pool<B> {
    fn drop(&mut self) {
        // Threads cannot be aborted; they end soon after being cancelled.
        self.cancel();
    }
}

/// How many requests can be in progress at once: one for each thread, or any number if none needs a thread.
pub(super) fn at_once<B: Backend>(service: &B, concurrency: usize) -> usize {
    if service.only_waits() {
        usize::from(u16::MAX)
    } else {
        workers(concurrency)
    }
}

/// The number of threads for `server.concurrency`; 0 means one less than there are cores. If all cores computed, the
/// session might have to wait for the kernel's next tick to get one, whatever the priorities.
pub(super) fn workers(concurrency: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    match concurrency {
        0 => (cores() - 1).max(1),
        some => some,
    }
}

/// Runs the job of a request that was delivered at `since`. A panic and a cancelled job become a status.
pub(super) fn compute<B: Backend>(
    service: &B,
    job: B::Job,
    cancel: &Cancel,
    since: Instant,
) -> backend::Outcome {
    if cancel.is_cancelled() {
        return Err(expired("it waited here for its turn", since.elapsed()));
    }
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| service.run(job, cancel)));
    match outcome {
        Ok(Err(_)) if cancel.is_cancelled() => {
            Err(expired("it was being computed", began.elapsed()))
        }
        Ok(outcome) => outcome,
        Err(_) => Err(failed()),
    }
}

/// Lowers the thread's priority, unless a sandbox forbids it.
pub(crate) fn lower_priority() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

#[cfg(test)]
mod tests;
