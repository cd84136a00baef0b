//! The server: [`Server::run`] answers requests with a [`Service`], session after session, until
//! told to stop.
//!
//! The supervisor here owns the backoff, the choice of the broker, and what outlives a session. A
//! session (`session.rs`) is never repaired: on any fault it is dropped whole, and a new one is made.

mod acks;
mod admission;
mod beats;
mod control;
pub mod events;
mod isolation;
mod pool;
mod reach;
mod report;
pub mod service;
mod session;
pub mod state;

pub use service::{Cancel, Cost, Service};
pub use state::{Counters, State, Stop};

use crate::broker::backoff::Backoff;
use crate::broker::endpoint::Endpoints;
use crate::broker::{Error, Kind};
use crate::config::Config;
use beats::Beats;
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

/// A server: a service, and what it takes to run it.
#[derive(Debug)]
pub struct Server<S> {
    service: Arc<S>,
    config: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<Stop>,
    state: watch::Sender<State>,
    counters: Arc<Counters>,
    state_directory: Option<PathBuf>,
}

/// The other end of a [`Server`]: watches it and tells it what to do, from wherever it is held.
#[derive(Debug)]
pub struct Handle {
    config: watch::Sender<Arc<Config>>,
    stop: watch::Sender<Stop>,
    state: watch::Receiver<State>,
    counters: Arc<Counters>,
}

impl Handle {
    /// Stops the server. Can be made more urgent by another call, never less.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|stop| {
            let urgent = how > *stop;
            if urgent {
                *stop = how;
            }
            urgent
        });
    }

    /// Changes the configuration: limits at once, broker and queue by a drained change of session.
    pub fn reconfigure(&self, config: Config) {
        self.config.send_replace(Arc::new(config));
    }

    /// What the server is doing; the one place that says so.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Numbers since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// What every session works with and none owns.
struct Context<S> {
    service: Arc<S>,
    config: watch::Receiver<Arc<Config>>,
    stop: watch::Receiver<Stop>,
    state: watch::Sender<State>,
    counters: Arc<Counters>,
    isolation: Isolation,
    instance: String,
    /// Our own id of the next reply, which is its `message_id`; no two replies of a process share one.
    next_reply: u64,
    /// In bytes, as far as the broker has said so.
    largest_reply: u64,
    reporter: report::Reporter,
}

impl<S: Service> Server<S> {
    /// A server that is ready to [`run`](Self::run), and the handle to it.
    pub fn new(service: S, config: Config) -> (Self, Handle) {
        let (config_sender, config) = watch::channel(Arc::new(config));
        let (stop_sender, stop) = watch::channel(Stop::No);
        let (state, state_receiver) = watch::channel(State::Starting);
        let counters = Arc::new(Counters::default());
        let handle = Handle {
            config: config_sender,
            stop: stop_sender,
            state: state_receiver,
            counters: counters.clone(),
        };
        let service = Arc::new(service);
        (
            Self {
                service,
                config,
                stop,
                state,
                counters,
                state_directory: None,
            },
            handle,
        )
    }

    /// Keeps a trace in `directory` (systemd's `StateDirectory=`) that survives the death of the
    /// process, so that a request that kills it is found out.
    #[must_use]
    pub fn with_state_directory(self, directory: PathBuf) -> Self {
        Self {
            state_directory: Some(directory),
            ..self
        }
    }

    /// Answers requests until told to stop.
    ///
    /// Needs a tokio runtime with timers and I/O; a current-thread one serves best. Dropping the
    /// future is like a crash: connections are cut, and the broker delivers again what was not
    /// acknowledged.
    pub async fn run(self) -> Outcome {
        let prefetch = self.config.borrow().server.prefetch.into();
        let instance = instance(&self.config.borrow().server.instance);
        let mut context = Context {
            service: self.service,
            config: self.config,
            stop: self.stop,
            state: self.state,
            counters: self.counters,
            isolation: Isolation::load(self.state_directory.as_deref(), prefetch),
            reporter: report::Reporter::new(&instance),
            next_reply: 1,
            largest_reply: u64::MAX,
            instance,
        };
        let outcome = Box::pin(supervise(&mut context)).await;
        context.isolation.ended();
        context.state.send_replace(State::Stopped);
        outcome
    }
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
        let beats = Beats::of_operations(&context.counters, &settings.broker);
        let opened = tokio::select! {
            biased;
            Ok(()) = stop.changed() => continue,
            opened = beats.during(Session::open(context, url)) => opened,
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
                        context.largest_reply = u64::MAX;
                        endpoints = Endpoints::new(&settings.broker.url);
                        backoff = Backoff::new(
                            settings.broker.reconnect.initial,
                            settings.broker.reconnect.max,
                        );
                        attempt = 1;
                        continue;
                    }
                    End::Failed {
                        error,
                        culpable,
                        returning,
                    } => {
                        if let Kind::TooLarge(limit) = error.kind {
                            context.largest_reply = limit;
                        }
                        context.isolation.died(culpable, returning);
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
        // Compared, and not asked whether it has changed: a session that died may have seen the change.
        let next = context.config.borrow_and_update().clone();
        if next.broker != settings.broker {
            context.largest_reply = u64::MAX;
            endpoints = Endpoints::new(&next.broker.url);
            backoff = Backoff::new(next.broker.reconnect.initial, next.broker.reconnect.max);
            attempt = 1;
        }
        settings = next;
    }
}

/// The other brokers of the list are tried without a delay; what only an operator can mend is tried
/// at the slowest pace.
fn delay(backoff: &mut Backoff, error: &Error, endpoints: &Endpoints) -> Duration {
    if !endpoints.at_start_of_round() {
        Duration::ZERO
    } else if error.needs_operator() && !error.blames_a_message() {
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
    let sleep = Beats::new(&context.counters, delay).during(tokio::time::sleep(delay));
    tokio::select! {
        biased;
        Ok(()) = stop.changed() => {}
        Ok(()) = config.changed() => {}
        () = sleep => {}
    }
}

/// The configured name, else host name and process id.
fn instance(configured: &str) -> String {
    if !configured.is_empty() {
        return configured.to_owned();
    }
    format!("{}/{}", report::host(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerUrl;
    use crate::protocol::{Answer, Request, Status};
    use std::time::Duration;
    use tokio::net::TcpListener;

    struct Nothing;

    impl Service for Nothing {
        type Job = ();

        fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
            Ok(((), Cost::default()))
        }

        fn run(&self, (): (), _: &Cancel) -> Result<Answer, Status> {
            unreachable!("nobody asks")
        }
    }

    #[tokio::test]
    async fn a_server_without_a_handle_serves_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::default();
        config.broker.url = vec![
            format!("amqp://guest:guest@{address}")
                .parse::<BrokerUrl>()
                .unwrap(),
        ];
        let (server, _) = Server::new(Nothing, config);
        let connected = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                outcome = server.run() => panic!("{outcome:?}"),
                connected = listener.accept() => connected,
            }
        });
        assert!(connected.await.unwrap().is_ok());
    }
}
