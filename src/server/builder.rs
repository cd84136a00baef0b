//! A server for a program: built from a broker's URL, served until a future resolves.
//!
//! The builder fills the configuration that `fibrpcd` reads from files, within the same limits. What is wrong with it is
//! returned when the server is awaited, all of it at once.

use super::backend::Backend;
use super::context::Context;
use super::launch::{self, Handle};
use super::methods::{IntoMethods, Methods};
#[cfg(feature = "daemon")]
use super::metrics::Metrics;
#[cfg(feature = "daemon")]
use super::service::Service;
use super::state::{Outcome, Stop};
use crate::broker::builder::{broker_methods, joined};
use crate::config::{Config, Problem, absolute, outside_limits};
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How many requests are handled at once unless [`Builder::prefetch`] says otherwise. The configuration's default is for
/// computations, which wait in line; handlers all run.
const HANDLED_AT_ONCE: u16 = 64;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Settings of a server; see [`Server::builder`](super::Server::builder).
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing unless something is served"]
pub struct Builder {
    config: Config,
    /// What is wrong with it, except for values outside their limits.
    problems: Vec<Problem>,
    state_directory: Option<PathBuf>,
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        let mut config = Config::default();
        config.broker.url.clear();
        config.server.prefetch = HANDLED_AT_ONCE;
        Self::from(config).broker(url)
    }

    broker_methods!();

    /// The request queue [default: `rpc_queue`]. An existing one is used as it is; a missing one is declared as a durable
    /// quorum queue.
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.config.queue.name = name.into();
        self
    }

    /// How many requests the server handles at once, at most [default: 64]. With computations it begins with fewer and follows
    /// the load.
    pub fn prefetch(mut self, requests: u16) -> Self {
        self.config.server.prefetch = requests;
        self
    }

    /// Threads for computations [default: one per core except one].
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.server.concurrency = threads;
        self
    }

    /// The name in replies [default: host name and process id].
    pub fn instance(mut self, name: impl Into<String>) -> Self {
        self.config.server.instance = name.into();
        self
    }

    /// The largest request body in bytes [default: 1 MiB]; larger ones are refused with `INVALID_ARGUMENT`.
    pub fn max_request_bytes(mut self, bytes: u64) -> Self {
        self.config.server.max_request_bytes = bytes;
        self
    }

    /// The largest reply body in bytes [default: 15 MiB]; larger ones become `OUT_OF_RANGE`.
    pub fn max_reply_bytes(mut self, bytes: u64) -> Self {
        self.config.server.max_reply_bytes = bytes;
        self
    }

    /// How long a shutdown waits for requests in progress [default: 30 s].
    pub fn drain_timeout(mut self, limit: Duration) -> Self {
        self.config.server.drain_timeout = limit;
        self
    }

    /// A reply queue to allow besides the default ones; `*` matches any run of characters.
    pub fn allow_reply_to(mut self, pattern: impl Into<String>) -> Self {
        self.config.server.reply_to_allow.push(pattern.into());
        self
    }

    /// Keeps a trace in this directory, by which the next process detects a request that kills this one.
    pub fn state_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.state_directory = Some(directory.into());
        self
    }

    /// A server of this asynchronous service, of this computation (see [`blocking`](super::blocking())), or of this
    /// [`Router`](super::Router) of both.
    pub fn serve(self, service: impl IntoMethods) -> Serve {
        let state_directory = self.state_directory.clone();
        let methods = service.into_methods();
        let (config, problem) = self.checked(&methods);
        Serve {
            problem,
            ..Serve::new(methods, config, state_directory)
        }
    }

    /// A server of this computation for a program of this name, the first word of the names of its connections. The session
    /// knows the type of the computation, and the configuration was checked when it was loaded.
    #[cfg(feature = "daemon")]
    pub(crate) fn compute(self, program: &str, service: impl Service) -> Serve {
        let mut serve = Serve::new(service, self.config, self.state_directory);
        serve.context.program = program.into();
        serve
    }

    /// The configuration, and what is wrong with it and with these methods.
    pub(super) fn checked(self, methods: &Methods) -> (Config, Option<BuildError>) {
        let (config, mut problems) = (self.config, self.problems);
        problems.extend(methods.problems.iter().map(|problem| Problem::new(problem)));
        if config.broker.url.is_empty() && problems.is_empty() {
            problems.push(Problem::new("broker.url is empty; name a broker"));
        }
        problems.extend(outside_limits(&config));
        let problem = (!problems.is_empty()).then_some(BuildError(problems));
        (config, problem)
    }
}

/// A builder with these settings.
impl From<Config> for Builder {
    fn from(config: Config) -> Self {
        Self {
            config,
            problems: Vec::new(),
            state_directory: None,
        }
    }
}

type Run = dyn FnOnce(Context, Option<PathBuf>) -> Boxed<Outcome> + Send;

/// A server that serves once it is awaited.
///
/// Needs a tokio runtime with timers and I/O, preferably a current-thread one. Dropping the future is like a crash:
/// connections are cut, and the broker redelivers what was not acknowledged.
#[must_use = "a server does nothing unless it is awaited"]
pub struct Serve {
    run: Box<Run>,
    context: Context,
    handle: Handle,
    problem: Option<BuildError>,
    state_directory: Option<PathBuf>,
    shutdown: Option<Boxed<()>>,
}

impl Serve {
    fn new(backend: impl Backend, config: Config, state_directory: Option<PathBuf>) -> Self {
        let (context, handle) = launch::prepare(config);
        let backend = Arc::new(backend);
        Self {
            run: Box::new(|context, directory| Box::pin(launch::run(backend, context, directory))),
            context,
            handle,
            problem: None,
            state_directory,
            shutdown: None,
        }
    }

    /// Measures times, to be exported.
    #[cfg(feature = "daemon")]
    pub(crate) fn metrics(&mut self) -> Arc<Metrics> {
        let metrics = &mut self.context.metrics;
        Arc::clone(metrics.get_or_insert_with(|| Arc::new(Metrics::new())))
    }

    /// Stops the server once `signal` completes: it takes no further requests and finishes those that it has, for at most
    /// [`drain_timeout`](Builder::drain_timeout).
    pub fn with_graceful_shutdown(
        mut self,
        signal: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Some(Box::pin(signal));
        self
    }

    /// Controls the server and watches its state and counters.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    async fn run(self) -> Result<Outcome, BuildError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut run = (self.run)(self.context, self.state_directory);
        let Some(shutdown) = self.shutdown else {
            return Ok(run.await);
        };
        tokio::select! {
            outcome = &mut run => return Ok(outcome),
            () = shutdown => self.handle.stop(Stop::Drain),
        }
        Ok(run.await)
    }
}

impl fmt::Debug for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").finish_non_exhaustive()
    }
}

/// Ends after the drain, or at once with what is wrong with the settings.
impl IntoFuture for Serve {
    type Output = Result<Outcome, BuildError>;
    type IntoFuture = Boxed<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What is wrong with the settings of a server, in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError(Vec<Problem>);

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot serve: {}", joined(&self.0))
    }
}

impl std::error::Error for BuildError {}

#[cfg(test)]
mod tests;
