//! The pool for large computations: so many at once, the others in line, in order.
//!
//! Owns the jobs in line and the threads at work. Promises an outcome for every job that began (a
//! panic is one too), that the memory of its jobs and of their replies stays within a budget, and that a
//! stopped job ends soon if its service asks now and then.

use super::service::{Cancel, Cost, Service};
use super::state::Counters;
use crate::protocol::reply_to::Address;
use crate::protocol::{Answer, Code, Request, Status};
use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Reply bytes that may be in memory at once, being computed or waiting for their confirm, before
/// further large jobs wait. One job alone may exceed it.
const REPLY_BUDGET: u64 = 64 << 20;

/// Bytes that jobs at work may take together before further ones wait. Together with [`REPLY_BUDGET`] it is less than the
/// shipped unit's `MemoryHigh=`.
const WORK_BUDGET: u64 = 256 << 20;

/// What one job counts at most, so that it runs whatever it takes, and does not keep small ones waiting. How much
/// that one takes is bounded by the limits on n and on replies: with the defaults, less than this.
const MAX_SHARE: u64 = WORK_BUDGET / 4 * 3;

/// The priority of computing threads against those that serve (nice(2)): small requests, heartbeats
/// and acks come first where the processor is short.
const NICE: i32 = 10;

/// A request with what it takes to answer it.
#[derive(Debug)]
pub(super) struct Task<J> {
    pub(super) tag: u64,
    pub(super) request: Request,
    /// Where the reply may go, as it was decided when the request was admitted.
    pub(super) address: Address,
    pub(super) job: J,
    pub(super) cost: Cost,
    /// When it was taken from the queue.
    pub(super) since: Instant,
    /// When the caller stops waiting.
    pub(super) deadline: Option<Instant>,
}

/// A job that ended.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) tag: u64,
    pub(super) request: Request,
    pub(super) address: Address,
    pub(super) outcome: Result<Answer, Status>,
    pub(super) since: Instant,
    pub(super) compute: Duration,
}

/// The jobs.
pub(super) struct Pool<S: Service> {
    service: Arc<S>,
    counters: Arc<Counters>,
    concurrency: usize,
    waiting: VecDeque<Task<S::Job>>,
    running: JoinSet<Done>,
    /// How to stop a running job, and what it was expected to cost.
    at_work: HashMap<u64, (Cancel, Cost)>,
    /// Memory that the jobs at work may take.
    working_bytes: u64,
    /// Estimated computing time of all jobs, in line and at work.
    load: Duration,
    /// Reply bytes that are accounted to each delivery until its reply is confirmed.
    held: HashMap<u64, u64>,
    held_bytes: u64,
}

impl<S: Service> Pool<S> {
    pub(super) fn new(service: Arc<S>, counters: Arc<Counters>, concurrency: usize) -> Self {
        let mut pool = Self {
            service,
            counters,
            concurrency: 1,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            at_work: HashMap::new(),
            working_bytes: 0,
            load: Duration::ZERO,
            held: HashMap::new(),
            held_bytes: 0,
        };
        pool.set_concurrency(concurrency);
        pool
    }

    /// Jobs at once; 0 means one for each core but one. Where all cores compute, who serves may have to wait
    /// for the kernel's next tick to get one of them back, whatever the priorities.
    pub(super) fn set_concurrency(&mut self, concurrency: usize) {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.concurrency = match concurrency {
            0 => (cores() - 1).max(1),
            some => some,
        };
        self.start();
    }

    /// Estimated time until a job that comes now would begin.
    pub(super) fn wait(&self) -> Duration {
        if self.waiting.is_empty() && self.running.len() < self.concurrency {
            return Duration::ZERO;
        }
        self.load / u32::try_from(self.concurrency).unwrap_or(u32::MAX)
    }

    /// Puts a job in line.
    pub(super) fn push(&mut self, mut task: Task<S::Job>) {
        task.cost.memory = task.cost.memory.min(MAX_SHARE);
        self.load += task.cost.time;
        self.waiting.push_back(task);
        self.start();
    }

    /// Whether jobs are at work.
    pub(super) fn is_working(&self) -> bool {
        !self.running.is_empty()
    }

    /// The next job to end. Pends for ever where none is at work.
    pub(super) async fn next(&mut self) -> Done {
        while let Some(joined) = self.running.join_next().await {
            // Jobs catch their panics and are never aborted, so a join cannot fail.
            if let Ok(done) = joined {
                if let Some((_, cost)) = self.at_work.remove(&done.tag) {
                    self.load = self.load.saturating_sub(cost.time);
                    self.working_bytes -= cost.memory;
                }
                Counters::add(&self.counters.pool_beats);
                self.start();
                return done;
            }
        }
        std::future::pending().await
    }

    /// The reply to this delivery is out of memory.
    pub(super) fn release(&mut self, tag: u64) {
        if let Some(bytes) = self.held.remove(&tag) {
            self.held_bytes -= bytes;
            self.start();
        }
    }

    /// Takes all jobs that have not begun out of the line: their tags.
    pub(super) fn clear(&mut self) -> Vec<u64> {
        let waiting = std::mem::take(&mut self.waiting);
        for task in &waiting {
            self.load = self.load.saturating_sub(task.cost.time);
        }
        waiting.into_iter().map(|task| task.tag).collect()
    }

    /// Tells all jobs at work to stop.
    pub(super) fn cancel(&self) {
        self.at_work
            .values()
            .for_each(|(cancel, _)| cancel.cancel());
    }

    /// Called once a second: a pool with room for another job is well; one without shows that it is
    /// by its jobs asking whether to go on.
    pub(super) fn beat(&self) {
        if self.running.len() < self.concurrency {
            Counters::add(&self.counters.pool_beats);
        }
    }

    fn start(&mut self) {
        while self.running.len() < self.concurrency
            && let Some(next) = self.waiting.front()
            && (self.held_bytes == 0 || self.held_bytes + next.cost.reply_bytes <= REPLY_BUDGET)
            && self.working_bytes + next.cost.memory <= WORK_BUDGET
            && let Some(task) = self.waiting.pop_front()
        {
            let cancel = Cancel::new(task.deadline, Some(self.counters.clone()));
            self.at_work.insert(task.tag, (cancel.clone(), task.cost));
            self.working_bytes += task.cost.memory;
            self.held.insert(task.tag, task.cost.reply_bytes);
            self.held_bytes += task.cost.reply_bytes;
            let service = self.service.clone();
            self.running.spawn_blocking(move || {
                lower_priority();
                let began = Instant::now();
                let Task {
                    tag,
                    request,
                    address,
                    job,
                    since,
                    ..
                } = task;
                let outcome = compute(service.as_ref(), job, &cancel, since);
                Done {
                    tag,
                    request,
                    address,
                    outcome,
                    since,
                    compute: began.elapsed(),
                }
            });
        }
    }
}

impl<S: Service> Drop for Pool<S> {
    fn drop(&mut self) {
        // Threads cannot be aborted; they end soon after this.
        self.cancel();
    }
}

/// Runs a job of a request that was taken at `since`; a panic, or a stop before the end, becomes the status that says
/// so.
pub(super) fn compute<S: Service>(
    service: &S,
    job: S::Job,
    cancel: &Cancel,
    since: Instant,
) -> Result<Answer, Status> {
    if cancel.is_cancelled() {
        return Err(expired("it waited here for its turn", since));
    }
    let began = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| service.run(job, cancel)));
    match outcome {
        Ok(Err(_)) if cancel.is_cancelled() => Err(expired("it was being computed", began)),
        Ok(outcome) => outcome,
        Err(_) => Err(Status::new(
            Code::Internal,
            "the computation failed; the server's log says where",
        )),
    }
}

/// The status of a request whose caller has stopped waiting, since the answer takes too long.
fn expired(meanwhile: &str, since: Instant) -> Status {
    let took = since.elapsed();
    Status::new(
        Code::DeadlineExceeded,
        format!("the caller's deadline passed while {meanwhile}, after {took:.1?}"),
    )
}

/// Best effort: a sandbox may forbid it, and then all threads are equal.
fn lower_priority() {
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Jobs that hang: they ask whether to go on each time that they are told to, and end with the test.
    struct Hang(Mutex<Receiver<()>>);

    impl Service for Hang {
        type Job = ();

        fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
            Ok(((), Cost::default()))
        }

        fn run(&self, (): (), cancel: &Cancel) -> Result<Answer, Status> {
            while self.0.lock().unwrap().recv().is_ok() {
                cancel.is_cancelled();
            }
            Err(Status::new(Code::Internal, "the test is over"))
        }
    }

    fn hanging(counters: &Arc<Counters>) -> (Pool<Hang>, Sender<()>) {
        let (tell, told) = channel();
        let pool = Pool::new(Arc::new(Hang(Mutex::new(told))), counters.clone(), 1);
        (pool, tell)
    }

    fn task() -> Task<()> {
        task_of(1, 0)
    }

    fn task_of(tag: u64, memory: u64) -> Task<()> {
        Task {
            tag,
            request: Request::read(crate::protocol::Message::default()),
            address: Address::Queue,
            job: (),
            cost: Cost {
                memory,
                ..Cost::default()
            },
            since: Instant::now(),
            deadline: None,
        }
    }

    #[tokio::test]
    async fn a_pool_whose_threads_all_hang_gives_no_sign_of_life() {
        let counters = Arc::new(Counters::default());
        let beats = || Counters::get(&counters.pool_beats);
        let (mut pool, tell) = hanging(&counters);
        pool.beat();
        assert_eq!(beats(), 1, "it has room");
        pool.push(task());
        pool.beat();
        assert_eq!(beats(), 1, "its one thread is taken and says nothing");
        tell.send(()).unwrap();
        let end = Instant::now() + Duration::from_secs(20);
        while beats() == 1 {
            assert!(Instant::now() < end, "a job that asks is a sign of life");
            std::thread::sleep(Duration::from_millis(1));
        }
        // With room for another job it is well again, whatever the first one does.
        pool.set_concurrency(2);
        let before = beats();
        pool.beat();
        assert_eq!(beats(), before + 1);
        drop(tell);
        assert!(pool.next().await.outcome.is_err());
    }

    /// What runs at once is bounded by memory, too; and whatever a job takes, it runs when it is alone.
    #[tokio::test]
    async fn jobs_that_would_not_fit_in_memory_together_wait_for_each_other() {
        let (mut pool, tell) = hanging(&Arc::default());
        pool.set_concurrency(8);
        for (tag, part) in [(1, 4), (2, 2), (3, 4), (4, 4), (5, 1)] {
            pool.push(task_of(tag, WORK_BUDGET / part));
        }
        pool.push(task_of(6, 100 * WORK_BUDGET));
        let working = |pool: &Pool<Hang>| {
            let mut tags: Vec<_> = pool.at_work.keys().copied().collect();
            tags.sort_unstable();
            tags
        };
        assert_eq!(working(&pool), [1, 2, 3], "a half and two quarters");
        drop(tell);
        let mut ended = Vec::new();
        for _ in 0..6 {
            ended.push(pool.next().await.tag);
            assert!(pool.working_bytes <= WORK_BUDGET, "{:?}", working(&pool));
        }
        ended.sort_unstable();
        assert_eq!(ended, [1, 2, 3, 4, 5, 6], "none waits for ever");
        assert_eq!(pool.working_bytes, 0);
    }
}
