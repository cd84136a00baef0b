//! The server: [`Server::run`] answers requests with a [`Service`], session after session, until
//! it is stopped.
//!
//! The supervisor (`supervisor.rs`) opens one session after another. A session (`session.rs`) is never repaired: on any
//! fault it is dropped as a whole, and a new one is opened.

mod acks;
mod admission;
mod adoption;
mod broker_wait;
mod brokers;
mod context;
mod control;
mod credit;
mod isolation;
pub mod log;
mod memory;
mod nodes;
mod pool;
mod reachability;
mod report;
pub mod service;
mod session;
pub mod state;
mod supervisor;
mod trace;
mod undeliverable;

pub use service::{Cancel, Cost, Service};
pub use state::{Counters, Outcome, State, Stop};

use crate::config::Config;
use context::Context;
use isolation::Isolation;
use memory::Memory;
use nodes::GoneNodes;
use report::Reporter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use supervisor::Supervisor;
use tokio::sync::watch;

/// A server that is ready to run a service.
#[derive(Debug)]
pub struct Server<S> {
    service: S,
    context: Context,
    state_directory: Option<PathBuf>,
}

/// Controls and observes a [`Server`], from any task.
#[derive(Debug)]
pub struct Handle {
    config: watch::Sender<Arc<Config>>,
    stop: watch::Sender<Stop>,
    state: watch::Receiver<State>,
    counters: Arc<Counters>,
}

impl Handle {
    /// Stops the server. Another call can make that more urgent, not less.
    pub fn stop(&self, how: Stop) {
        self.stop.send_if_modified(|stop| {
            let urgent = how > *stop;
            if urgent {
                *stop = how;
            }
            urgent
        });
    }

    /// Changes the configuration: limits at once, broker and queue by another session. The old session serves until the
    /// new one does, and then finishes its requests in parallel.
    pub fn reconfigure(&self, config: Config) {
        self.config.send_replace(Arc::new(config));
    }

    /// The server's state, which is published nowhere else.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Counters since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl<S: Service> Server<S> {
    /// A server that is ready to [`run`](Self::run), and its handle.
    pub fn new(service: S, config: Config) -> (Self, Handle) {
        let instance = instance(&config.server.instance);
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
        let context = Context {
            config,
            stop,
            state,
            counters,
            isolation: Isolation::default(),
            reporter: Reporter::new(&instance),
            nodes: GoneNodes::default(),
            memory: Memory::default(),
            next_reply: Arc::new(AtomicU64::new(1)),
            largest_reply: Arc::new(AtomicU64::new(u64::MAX)),
            unopened: watch::Sender::new(None),
            program: "fibrpc".into(),
            instance,
        };
        let server = Self {
            service,
            context,
            state_directory: None,
        };
        (server, handle)
    }

    /// Names the program that runs the server: the first word of the names of its connections, as the broker shows them.
    /// "fibrpc" if it has none.
    #[must_use]
    pub fn with_program(mut self, name: impl Into<String>) -> Self {
        self.context.program = name.into();
        self
    }

    /// Keeps a trace in `directory` (systemd's `StateDirectory=`), by which the next process detects a
    /// request that kills this one.
    #[must_use]
    pub fn with_state_directory(self, directory: PathBuf) -> Self {
        Self {
            state_directory: Some(directory),
            ..self
        }
    }

    /// Answers requests until the server is stopped.
    ///
    /// Needs a tokio runtime with timers and I/O, preferably a current-thread one. Dropping the
    /// future is like a crash: connections are cut, and the broker redelivers what was not
    /// acknowledged.
    pub async fn run(mut self) -> Outcome {
        let context = &mut self.context;
        if let Some(directory) = &self.state_directory {
            let prefetch = context.config.borrow().server.prefetch.into();
            context.isolation = Isolation::load(directory, prefetch);
        }
        let supervisor = Supervisor::new(Arc::new(self.service), context);
        let outcome = Box::pin(supervisor.run()).await;
        context.isolation.ended();
        context.state.send_replace(State::Stopped);
        outcome
    }
}

/// The configured instance name, else host name and process id.
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
    async fn a_server_without_a_handle_serves() {
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
