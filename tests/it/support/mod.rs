//! What the integration tests share: brokers, the two programs as processes, a wire-level client, a fault
//! proxy that checks the order of acks, a ledger of requests and answers.
//!
//! Nothing here outlives the test process, however that ends: see [`guard`].

#![allow(
    dead_code,
    unused_imports,
    reason = "a toolbox: not every tool is in use at every time"
)]

pub mod broker;
pub mod certificates;
pub mod depth;
pub mod generation;
pub mod guard;
pub mod ledger;
pub mod notify;
pub mod ports;
pub mod process;
pub mod programs;
pub mod proxy;
pub mod terminal;
pub mod tls_front;
#[path = "../../tools/mod.rs"]
pub mod tools;
pub mod wire;

pub use broker::{Broker, Exclusive};
pub use certificates::{Authority, Identity};
pub use ledger::{Ledger, fibonacci};
pub use notify::Notify;
pub use process::{Output, Process};
pub use programs::{Daemon, Fibrpc, Settings, example, python};
pub use proxy::{Proxy, Role};
pub use terminal::Terminal;
pub use tls_front::TlsFront;
pub use tools::{lacks, lacks_otlp, lacks_pika};

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Asks `condition` again and again until it yields a value; panics with `what` after `limit`.
pub fn until<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something that counts what is done has counted, and counts no more.
pub fn until_still<T: Default + PartialEq>(count: impl Fn() -> T) {
    let (mut before, mut still) = (T::default(), 0);
    until(Duration::from_secs(60), "an end of all work", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = count();
        let counts = now != T::default() && now == before;
        still = if counts { still + 1 } else { 0 };
        before = now;
        (still >= 4).then_some(())
    });
}

/// Milliseconds since 1970, by this machine's clock.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.expect("it is later than 1970").as_millis()).expect("and not too late")
}

/// A runtime for asynchronous code of a test, on its thread.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().expect("a runtime")
}

/// A generous limit for what should happen at once.
pub const SOON: Duration = Duration::from_secs(20);
