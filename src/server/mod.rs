//! The server: [`Server::run`] answers requests with a [`Service`], session after session, until
//! it is stopped.
//!
//! The supervisor (`supervisor.rs`) opens one session after another. A session (`session.rs`) is never repaired: on any
//! fault it is dropped as a whole, and a new one is opened.

mod acks;
mod admission;
mod adoption;
mod asynchronous;
mod backend;
mod blocking;
mod broker_wait;
mod brokers;
mod builder;
mod context;
mod control;
mod credit;
pub mod extract;
mod futures;
mod handler;
mod histogram;
mod isolation;
mod launch;
pub mod log;
mod memory;
mod methods;
mod nodes;
mod pool;
mod reachability;
mod report;
mod request;
mod router;
pub mod service;
mod session;
pub mod state;
mod supervisor;
mod trace;
mod undeliverable;

pub use asynchronous::{AnyService, AsyncService};
pub use blocking::{Blocking, blocking};
pub use builder::{BuildError, Builder, Serve};
pub use handler::{Function, Handler, handler};
pub use launch::Handle;
pub use methods::{IntoMethod, IntoMethods};
pub use request::{Reply, Request};
pub use router::Router;
pub use service::{Cancel, Cost, Service};
pub use state::{Counters, Outcome, State, Stop};

use crate::config::Config;
use context::Context;
use std::path::PathBuf;
use std::sync::Arc;

/// A server that is ready to run a service.
#[derive(Debug)]
pub struct Server<S> {
    service: S,
    context: Context,
    state_directory: Option<PathBuf>,
}

impl Server<()> {
    /// The settings of a server at the broker with this URL.
    pub fn builder(url: impl AsRef<str>) -> Builder {
        Builder::new(url.as_ref())
    }
}

impl<S: Service> Server<S> {
    /// A server that is ready to [`run`](Self::run), and its handle.
    pub fn new(service: S, config: Config) -> (Self, Handle) {
        let (context, handle) = launch::prepare(config);
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
    pub async fn run(self) -> Outcome {
        let service = Arc::new(self.service);
        launch::run(service, self.context, self.state_directory).await
    }
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
