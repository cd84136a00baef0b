//! Progress, memory limits and the line of waiting jobs.

use super::*;
use crate::protocol::reply_to::Address;
use crate::protocol::{Code, Reply, Status};
use crate::server::Service;
use crate::server::memory::WORK_BUDGET;
use crate::server::request::Request;
use crate::server::span::RequestSpan;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Jobs that hang: they check for cancellation each time the test asks for it, confirm that, and end with the test.
struct Hang(Mutex<Receiver<Sender<()>>>);

impl Service for Hang {
    type Job = ();

    fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
        Ok(((), Cost::default()))
    }

    fn run(&self, (): (), cancel: &Cancel) -> Result<Reply, Status> {
        let next = || self.0.lock().unwrap().recv();
        while let Ok(checked) = next() {
            cancel.is_cancelled();
            checked.send(()).unwrap();
        }
        Err(Status::new(Code::Internal, "the test is over"))
    }
}

fn hanging(counters: &Arc<Counters>) -> (Pool<Hang>, Sender<Sender<()>>) {
    let (tell, told) = channel();
    let pool = Pool::new(
        Arc::new(Hang(Mutex::new(told))),
        counters.clone(),
        &Memory::default(),
        1,
    );
    (pool, tell)
}

fn task() -> Task<()> {
    task_of(1, 0)
}

fn task_of(tag: u64, memory: u64) -> Task<()> {
    let request = Request::new("").message;
    Task {
        accepted: Accepted::new(tag, request, Address::Queue, RequestSpan::default()),
        job: (),
        cost: Cost {
            memory,
            ..Cost::default()
        },
        deadline: None,
    }
}

#[tokio::test]
async fn a_pool_whose_threads_all_hang_shows_no_progress() {
    let counters = Arc::new(Counters::default());
    let beats = || Counters::get(&counters.pool_beats);
    let (mut pool, tell) = hanging(&counters);
    pool.beat(Instant::now());
    assert_eq!(beats(), 1, "it has room");
    pool.push(task());
    let check = || {
        let (check, checked) = channel();
        tell.send(check).unwrap();
        checked.recv().unwrap();
    };
    check();
    let begun = beats();
    pool.beat(Instant::now());
    assert_eq!(beats(), begun, "its only thread hangs");
    check();
    assert_eq!(beats(), begun + 1, "a job that checks shows progress");
    // A free thread is progress, whatever the first job does.
    pool.set_concurrency(2);
    let before = beats();
    pool.beat(Instant::now());
    assert_eq!(beats(), before + 1);
    drop(tell);
    assert!(pool.next().await.outcome.is_err());
}

/// Memory bounds how many jobs run together, but a single job runs whatever it takes.
#[tokio::test]
async fn jobs_wait_for_memory() {
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
        ended.push(pool.next().await.accepted.tag);
        assert!(pool.memory.work() <= WORK_BUDGET, "{:?}", working(&pool));
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 2, 3, 4, 5, 6], "every job runs");
    assert_eq!(pool.memory.work(), 0);
}

#[tokio::test]
async fn jobs_that_will_not_begin_in_time_are_removed() {
    let (mut pool, _tell) = hanging(&Arc::default());
    let second = Duration::from_secs(1);
    for mut task in (1..=5).map(|tag| task_of(tag, 0)) {
        task.cost.time = second;
        pool.push(task);
    }
    assert_eq!(pool.line(), 4 * second, "the first one is running");
    assert_eq!(pool.withdraw(second * 5 / 2), [4, 5]);
    assert_eq!(pool.line(), 2 * second);
    assert_eq!(pool.withdraw(Duration::ZERO), [2, 3]);
    assert_eq!((pool.line(), pool.wait()), (Duration::ZERO, second));
}

#[tokio::test]
async fn any_cost_may_be_stated() {
    let (mut pool, _tell) = hanging(&Arc::default());
    for mut task in (1..=3).map(|tag| task_of(tag, u64::MAX)) {
        task.cost.time = Duration::MAX;
        pool.push(task);
    }
    assert_eq!((pool.line(), pool.wait()), (2 * MAX_TIME, 3 * MAX_TIME));
}

/// Jobs that take 10 ms, unless they are cancelled first.
struct Slow;

impl Service for Slow {
    type Job = ();

    fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
        Ok(((), Cost::default()))
    }

    fn run(&self, (): (), _: &Cancel) -> Result<Reply, Status> {
        std::thread::sleep(Duration::from_millis(10));
        Ok(Reply::new("", "text/plain"))
    }
}

#[tokio::test]
async fn the_wait_is_what_the_last_jobs_took() {
    let memory = Memory::default();
    let mut pool = Pool::new(Arc::new(Slow), Arc::default(), &memory, 1);
    pool.push(task());
    pool.push(task());
    assert_eq!(pool.wait(), 2 * Cost::POOL_FROM, "as stated");
    for _ in 0..20 {
        pool.push(task());
        pool.next().await;
    }
    let wait = pool.wait();
    assert!(wait > Duration::from_millis(15), "{wait:?}");
    // Of two seconds' work, a tenth would begin in time.
    (10..210).for_each(|tag| pool.push(task_of(tag, 0)));
    let removed = pool.withdraw(Duration::from_millis(200)).len();
    assert!(removed > 170, "{removed}");
}

/// `threads`, `running`, `waiting`, and the wait in milliseconds.
fn gauges(counters: &Counters) -> [u64; 4] {
    [
        &counters.pool_threads,
        &counters.pool_running,
        &counters.pool_waiting,
        &counters.pool_wait_ms,
    ]
    .map(Counters::get)
}

#[tokio::test]
async fn the_gauges_are_the_sums_over_pools() {
    let counters = Arc::new(Counters::default());
    let (mut leaving, told) = hanging(&counters);
    assert_eq!(gauges(&counters), [1, 0, 0, 0]);
    for mut task in (1..=3).map(|tag| task_of(tag, 0)) {
        task.cost.time = Duration::from_secs(1);
        leaving.push(task);
    }
    assert_eq!(gauges(&counters), [1, 1, 2, 3000]);
    let (mut next, _told) = hanging(&counters);
    next.set_concurrency(4);
    next.push(task());
    assert_eq!(gauges(&counters), [5, 2, 2, 3000]);
    leaving.withdraw(Duration::from_millis(1500));
    assert_eq!(
        gauges(&counters),
        [5, 2, 1, 0],
        "no job waits for a pool that takes none"
    );
    drop(told);
    leaving.next().await;
    leaving.next().await;
    assert_eq!(gauges(&counters), [5, 1, 0, 0]);
    drop((leaving, next));
    assert_eq!(gauges(&counters), [0; 4]);
}

#[tokio::test]
async fn a_pool_is_saturated_while_jobs_wait_for_its_threads() {
    let (mut pool, tell) = hanging(&Arc::default());
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    pool.push(task_of(1, 0));
    assert_eq!(pool.observe_saturation(at(0)), None);
    assert_eq!(pool.observe_saturation(at(100)), None, "nothing waits");
    pool.push(task_of(2, 0));
    pool.push(task_of(3, 0));
    assert_eq!(pool.observe_saturation(at(101)), None, "it may be short");
    assert_eq!(pool.observe_saturation(at(161)), Some(Change::Begun));
    pool.set_concurrency(3);
    let lasted = Duration::from_secs(61);
    assert_eq!(
        pool.observe_saturation(at(162)),
        Some(Change::Ended(lasted)),
        "there are enough threads"
    );
    drop(tell);
}
