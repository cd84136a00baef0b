//! A server of computations with the configuration of a program.

use super::context::Context;
use super::launch::{self, Handle};
use super::metrics::Metrics;
use super::service::Service;
use super::state::Outcome;
use crate::config::Config;
use std::path::PathBuf;
use std::sync::Arc;

/// A server of computations that is ready to run.
#[derive(Debug)]
pub struct Configured<S> {
    service: S,
    context: Context,
    state_directory: Option<PathBuf>,
}

impl<S: Service> Configured<S> {
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

    /// Measures times, for whoever exports them.
    pub(crate) fn with_metrics(mut self) -> (Self, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        self.context.metrics = Some(metrics.clone());
        (self, metrics)
    }

    /// Keeps a file in `directory` (systemd's `StateDirectory=`), by which the next process detects a
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
    use crate::protocol::{Reply, Status};
    use crate::server::cancel::Cancel;
    use crate::server::request::Request;
    use crate::server::service::Cost;
    use std::time::Duration;
    use tokio::net::TcpListener;

    struct Nothing;

    impl Service for Nothing {
        type Job = ();

        fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
            Ok(((), Cost::default()))
        }

        fn run(&self, (): (), _: &Cancel) -> Result<Reply, Status> {
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
        let (server, _) = Configured::new(Nothing, config);
        let connected = tokio::time::timeout(Duration::from_secs(20), async {
            tokio::select! {
                outcome = server.run() => panic!("{outcome:?}"),
                connected = listener.accept() => connected,
            }
        });
        assert!(connected.await.unwrap().is_ok());
    }
}
