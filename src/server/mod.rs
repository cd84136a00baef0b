//! The server: [`run`] answers requests with a [`Service`], session after session, until told to
//! stop.
//!
//! The supervisor here owns the backoff, the choice of the broker, and what outlives a session. A
//! session (`session.rs`) is never repaired: on any fault it is dropped whole, and a new one is made.

mod acks;
mod admission;
pub mod events;
mod isolation;
mod pool;
pub mod service;
mod session;
pub mod state;

pub use service::{Cancel, Cost, Service};
pub use state::{Counters, State, Stop};

use crate::broker::backoff::Backoff;
use crate::broker::endpoint::Endpoints;
use crate::broker::{Error, Kind};
use crate::config::Config;
use isolation::Isolation;
use session::{End, Session};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// A session that lived so long was healthy, and the delay starts afresh.
const HEALTHY: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Requests that were begun and given back because the drain time was over.
    pub abandoned: u64,
}

/// Whom to tell what the server does, and who tells it what to do.
#[derive(Debug)]
pub struct Handles {
    /// The configuration; changes apply as they come.
    pub config: watch::Receiver<Arc<Config>>,
    /// When to stop.
    pub stop: watch::Receiver<Stop>,
    /// The state is published here, and nowhere else.
    pub state: watch::Sender<State>,
    /// Numbers since the start.
    pub counters: Arc<Counters>,
    /// Where a trace survives the death of the process (systemd's `StateDirectory=`), if anywhere.
    pub state_directory: Option<PathBuf>,
}

/// What every session works with and none owns.
struct Context<S> {
    service: Arc<S>,
    config: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<Stop>,
    state: watch::Sender<State>,
    counters: Arc<Counters>,
    isolation: Isolation,
    refusals: events::Refusals,
    instance: String,
}

/// Answers requests until told to stop.
///
/// Has to run on a tokio runtime with timers and I/O; a current-thread one serves best.
pub async fn run<S: Service>(service: Arc<S>, handles: Handles) -> Outcome {
    let Handles {
        config,
        stop,
        state,
        counters,
        state_directory,
    } = handles;
    let instance = instance(&config.borrow().server.instance);
    let mut context = Context {
        service,
        config,
        stop,
        state,
        counters,
        isolation: Isolation::load(state_directory.as_deref()),
        refusals: events::Refusals,
        instance,
    };
    let outcome = supervise(&mut context).await;
    context.isolation.ended();
    context.state.send_replace(State::Stopped);
    outcome
}

async fn supervise<S: Service>(context: &mut Context<S>) -> Outcome {
    let mut settings = context.config.borrow_and_update().clone();
    let mut endpoints = Endpoints::new(&settings.broker.url);
    let mut backoff = Backoff::new(
        settings.broker.reconnect.initial,
        settings.broker.reconnect.max,
    );
    let mut attempt = 1;
    loop {
        if *context.stop.borrow_and_update() != Stop::No {
            return Outcome::default();
        }
        let url = endpoints.next_url();
        let endpoint = url.address();
        context.state.send_replace(State::Connecting {
            endpoint: endpoint.clone(),
            attempt,
        });
        let began = Instant::now();
        let mut stop = context.stop.clone();
        let opened = tokio::select! {
            biased;
            _ = stop.changed() => continue,
            opened = with_beats(context.counters.clone(), Session::open(context, url)) => opened,
        };
        let error = match opened {
            Err(error) => error,
            Ok(mut session) => {
                let end = session.serve().await;
                let useful = session.was_useful();
                let closing = matches!(end, End::Stopped { abandoned: 0 } | End::Reconfigured);
                if closing {
                    session.close().await;
                } else {
                    drop(session);
                }
                match end {
                    End::Stopped { abandoned } => return Outcome { abandoned },
                    End::Reconfigured => {
                        settings = context.config.borrow().clone();
                        endpoints = Endpoints::new(&settings.broker.url);
                        backoff = Backoff::new(
                            settings.broker.reconnect.initial,
                            settings.broker.reconnect.max,
                        );
                        attempt = 1;
                        continue;
                    }
                    End::Failed(error) => {
                        let culpable = error.kind == Kind::Protocol;
                        context.isolation.died(culpable);
                        if began.elapsed() >= HEALTHY || (useful && !culpable) {
                            backoff.reset();
                            attempt = 1;
                        }
                        error
                    }
                }
            }
        };
        let delay = delay(&mut backoff, &error, &endpoints);
        attempt += 1;
        events::disconnected(&endpoint, &error.message, delay, attempt);
        wait(context, endpoint, attempt, delay, error).await;
        if context.config.has_changed().unwrap_or(false) {
            let next = context.config.borrow_and_update().clone();
            if next.broker != settings.broker {
                endpoints = Endpoints::new(&next.broker.url);
                backoff = Backoff::new(next.broker.reconnect.initial, next.broker.reconnect.max);
                attempt = 1;
            }
            settings = next;
        }
    }
}

/// The other brokers of the list are tried without a delay; what only an operator can mend is tried
/// at the slowest pace.
fn delay(backoff: &mut Backoff, error: &Error, endpoints: &Endpoints) -> Duration {
    if !endpoints.at_start_of_round() {
        Duration::ZERO
    } else if error.needs_operator() {
        backoff.slowest()
    } else {
        backoff.next_delay()
    }
}

/// Waits before the next attempt; a stop or a new configuration ends the wait.
async fn wait<S>(
    context: &mut Context<S>,
    endpoint: String,
    attempt: u32,
    delay: Duration,
    error: Error,
) {
    let next = Instant::now() + delay;
    context.state.send_replace(State::Waiting {
        endpoint,
        attempt,
        next,
        error: error.message,
    });
    let mut stop = context.stop.clone();
    let mut config = context.config.clone();
    let sleep = with_beats(context.counters.clone(), tokio::time::sleep(delay));
    tokio::select! {
        biased;
        _ = stop.changed() => {}
        _ = config.changed() => {}
        () = sleep => {}
    }
}

/// Runs `future` with a sign of life a second: the supervisor's own waiting is progress too.
async fn with_beats<T>(counters: Arc<Counters>, future: impl Future<Output = T>) -> T {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            biased;
            done = &mut future => return done,
            _ = tick.tick() => {
                Counters::add(&counters.loop_beats);
                Counters::add(&counters.pool_beats);
            }
        }
    }
}

/// The configured name, else host name and process id.
fn instance(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    let host = rustix::system::uname();
    format!(
        "{}/{}",
        host.nodename().to_string_lossy(),
        std::process::id()
    )
}
