//! Nothing lost, nothing stuck: the daemon under load and real faults of the connection and the broker, checked
//! against a ledger and the proxy's witness.
//!
//! The quick set runs with all other tests. `scripts/soak` sets [`full`], which makes the same tests run far longer,
//! and adds a random mix of faults ([`soak`]).

mod alarm;
mod broker;
mod connection;
mod cut;
mod load;
mod order;
mod soak;
mod stopped;

use std::time::{Duration, Instant};

use crate::support::{Broker, Daemon, Notify, Proxy, SOON, Settings};
use load::Load;

const QUEUE: &str = "rpc_queue";

/// STATUS of a daemon without a session: it waits for the broker, or connects to it.
const NO_SESSION: &str = " broker ";

/// STATUS of a daemon with a session.
const CONSUMING: &str = "consuming ";

/// Unacknowledged deliveries that the daemons of these tests may have.
const PREFETCH: u64 = 16;

/// What a session may have in hand when it ends: one more than the prefetch, since deliveries taken one at a time come before
/// the full window.
const IN_FLIGHT: u64 = PREFETCH + 1;

/// What the allocator may keep beyond what it kept before, whatever the number of sessions in between.
const GROWTH: u64 = 8 << 20;

/// Whether this is `scripts/soak` and not the quick set.
fn full() -> bool {
    std::env::var_os("FIBRPC_SOAK_MINUTES").is_some()
}

/// One number for the quick set and one for the full set.
pub fn times(quick: usize, in_full: usize) -> usize {
    if full() { in_full } else { quick }
}

/// A daemon that reaches the broker through a proxy, and requests that never stop.
///
/// Fields are dropped in order: the load before the daemon, and both before the proxy.
struct Scene {
    load: Load,
    daemon: Daemon,
    /// What the daemon says of itself, all of it: of events that repeat its log has only some.
    notify: Notify,
    proxy: Proxy,
    vhost: String,
    /// Where to go on in that.
    told: usize,
    /// Faults that may each have had as many deliveries in flight as there are at most.
    faults: u64,
    /// Requests whose acks a broker may have forgotten when it was killed: it takes acks before it has
    /// them on disk, and delivers again what was answered long ago.
    forgotten: u64,
}

impl Scene {
    fn new(broker: &Broker) -> Self {
        Self::with(broker, |settings| settings)
    }

    fn with(broker: &Broker, change: impl FnOnce(Settings) -> Settings) -> Self {
        let vhost = broker.vhost();
        let proxy = Proxy::new(broker.port());
        // The broker reports the depth of a quorum queue seconds late.
        let settings = Settings::at(&proxy.url(&vhost))
            .set("server.prefetch", prefetch())
            .set("queue.type", "classic");
        let notify = Notify::new();
        let daemon = Daemon::start_notifying(&change(settings), &notify);
        let (told, _) = notify.wait_for_status_from(0, CONSUMING, SOON);
        let load = Load::start(broker.port(), &vhost);
        load.wait_for_answers(20, SOON);
        Self {
            load,
            daemon,
            notify,
            proxy,
            vhost,
            told,
            faults: 0,
            forgotten: 0,
        }
    }

    /// Waits for a STATUS of the daemon after those that were waited for so far.
    fn wait_for_status(&mut self, pattern: &str, limit: Duration) -> String {
        let (told, text) = self.notify.wait_for_status_from(self.told, pattern, limit);
        self.told = told;
        text
    }

    /// Forgets what the daemon has said so far.
    fn skip(&mut self) {
        self.told = self.notify.all().len();
    }

    /// Does something that ends the session; returns how long it took to consume again, at most `limit`.
    fn fault(&mut self, limit: Duration, make: impl FnOnce(&Self)) -> Duration {
        self.skip();
        let began = Instant::now();
        make(self);
        self.faults += 1;
        self.wait_for_status(NO_SESSION, limit);
        self.wait_for_status(CONSUMING, limit);
        let took = began.elapsed();
        assert!(took < limit, "consuming again after {took:?}");
        took
    }

    /// Ends the load and checks everything that must hold after any fault.
    fn finish(self, broker: &Broker) -> crate::support::ledger::Report {
        let limit = Duration::from_secs(60);
        let ledger = self.load.finish(limit);
        broker.wait_for_depth(&self.vhost, QUEUE, limit, |depth| {
            depth.ready + depth.unacked == 0
        });
        self.proxy.assert_clean();
        assert_eq!(self.proxy.unanswered(), 0, "acked without a reply");
        // A broker that comes back may end a session once more before it has settled.
        let ends = self.faults.max(self.notify.sessions().saturating_sub(1));
        ledger.assert_clean(ends * IN_FLIGHT + self.forgotten)
    }
}

/// Whether the broker sends no more: the prefetch, less what the consumer before was sent.
fn is_full(depth: crate::support::depth::Depth) -> bool {
    (PREFETCH - 2..=PREFETCH).contains(&depth.unacked)
}

fn prefetch() -> i64 {
    i64::try_from(PREFETCH).unwrap()
}

/// What a process holds, to be compared with what it holds later.
#[derive(Debug, Clone, Copy)]
struct Held {
    threads: u64,
    descriptors: usize,
    resident: u64,
}

impl Held {
    fn by(daemon: &Daemon) -> Self {
        Self {
            threads: daemon.threads(),
            descriptors: daemon.descriptors(),
            resident: daemon.resident(),
        }
    }

    /// Waits until threads and descriptors are back, and checks that memory is.
    fn assert_returned(self, daemon: &Daemon) {
        let end = Instant::now() + SOON;
        loop {
            let now = Self::by(daemon);
            // An allocator gives back late; a leak of sessions would be far more.
            let back = now.threads <= self.threads
                && now.descriptors <= self.descriptors
                && now.resident <= self.resident + GROWTH;
            if back {
                return;
            }
            assert!(Instant::now() < end, "{self:?} before, {now:?} now");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
