//! The configuration: typed sections with their defaults, shared by daemon and client.
//!
//! [`load()`] fills them from files, environment and flags, and reports all problems at once. Each key
//! is defined once, in the table of [`mod@keys`].

mod check;
pub mod diff;
mod environment;
mod exposure;
mod file;
pub mod keys;
pub mod load;
mod login;
mod password;
mod problem;
mod read;
mod redact;
pub mod secret;
mod shortage;
pub mod show;
mod slips;
mod source;
mod units;
pub mod url;

pub use diff::{Changes, diff};
pub use environment::Environment;
pub use exposure::exposed_key;
pub use file::{BYTE_ORDER_MARK, ReadError, is_utf16, read_file};
pub use keys::{Key, Reload, keys};
pub use load::{Loaded, Overrides, Program, load, load_from};
pub use login::{Login, login, login_from};
pub use password::{Password, Source, password_file, unseen_credentials};
pub use problem::{FileFault, Problem};
pub use redact::redact;
pub use secret::Secret;
pub use shortage::Shortage;
pub use show::{Entry, show_json, show_toml};
pub use units::parse_duration;
pub use url::parse::UrlError;
pub use url::{BrokerUrl, Scheme};

use std::path::PathBuf;
use std::time::Duration;

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How to reach the broker.
    pub broker: Broker,
    /// The request queue.
    pub queue: Queue,
    /// The daemon.
    pub server: Server,
    /// The client.
    pub client: Client,
    /// Logs.
    pub log: Log,
}

/// How to reach the broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Broker {
    /// One or several; tried in random order, the next on failure. Never empty.
    pub url: Vec<BrokerUrl>,
    /// Where the password is, if not in the URL; read afresh at each connect.
    pub password_file: Option<PathBuf>,
    /// AMQP heartbeat to ask for, whole seconds.
    pub heartbeat: Duration,
    /// Limit for TCP, TLS and AMQP handshake together.
    pub connect_timeout: Duration,
    /// How long the broker may take to confirm a publish.
    pub confirm_timeout: Duration,
    /// For `amqps://`.
    pub tls: Tls,
    /// Backoff between attempts.
    pub reconnect: Reconnect,
}

/// TLS settings; used only with `amqps://`. Files are read afresh at each connect.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tls {
    /// The only roots to trust, instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// Client certificate chain, PEM; goes with `key_file`. Logs in as well (EXTERNAL) where no password is given.
    pub cert_file: Option<PathBuf>,
    /// Private key of the client certificate, PEM.
    pub key_file: Option<PathBuf>,
    /// The name to verify, where it is not the URL's host.
    pub server_name: Option<String>,
}

/// Backoff with full jitter between `initial` and `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconnect {
    /// The first delay's upper bound.
    pub initial: Duration,
    /// Every delay's upper bound.
    pub max: Duration,
}

/// The request queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// What to declare where it is missing.
    pub kind: QueueKind,
    /// Whether a queue that we declare survives a restart of the broker.
    pub durable: bool,
}

/// Queue types of RabbitMQ (`x-queue-type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Replicated; the default.
    Quorum,
    /// Classic.
    Classic,
}

impl QueueKind {
    /// The broker's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

/// The daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Unacknowledged deliveries the broker may send ahead, 1 to 65535.
    pub prefetch: u16,
    /// Large computations at once; 0 means one for each core but one, which is left to serve.
    pub concurrency: usize,
    /// The largest n that is answered.
    pub max_n: u64,
    /// The largest reply body in bytes.
    pub max_reply_bytes: u64,
    /// The largest request body in bytes that is kept in memory.
    pub max_request_bytes: u64,
    /// How long a shutdown waits for work in flight.
    pub drain_timeout: Duration,
    /// How long readiness waits for the broker.
    pub ready_timeout: Duration,
    /// Reply addresses to allow besides the default ones; `*` matches any run of characters.
    pub reply_to_allow: Vec<String>,
    /// Whether to listen for status requests.
    pub control: bool,
    /// The name in `fibrpc-server` headers; empty: host name and process id.
    pub instance: String,
}

/// The client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// How long a call waits for its reply.
    pub timeout: Duration,
}

/// Logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: Level,
    /// Where to.
    pub target: LogTarget,
}

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Errors only.
    Error,
    /// And warnings.
    Warn,
    /// And what an operator wants to know.
    Info,
    /// And each request.
    Debug,
}

/// Where logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// The journal where stderr is the journal, else stderr.
    Auto,
    /// The journal.
    Journald,
    /// Lines on stderr.
    Stderr,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            broker: Broker {
                url: vec![BrokerUrl::default()],
                password_file: None,
                heartbeat: Duration::from_secs(10),
                connect_timeout: Duration::from_secs(10),
                confirm_timeout: Duration::from_secs(30),
                tls: Tls::default(),
                reconnect: Reconnect {
                    initial: Duration::from_millis(250),
                    max: Duration::from_secs(30),
                },
            },
            queue: Queue {
                name: "rpc_queue".into(),
                kind: QueueKind::Quorum,
                durable: true,
            },
            server: Server {
                prefetch: 64,
                concurrency: 0,
                max_n: 1_000_000,
                max_reply_bytes: 15 << 20,
                max_request_bytes: 1 << 20,
                drain_timeout: Duration::from_secs(30),
                ready_timeout: Duration::from_secs(10),
                reply_to_allow: Vec::new(),
                control: true,
                instance: String::new(),
            },
            client: Client {
                timeout: Duration::from_secs(5),
            },
            log: Log {
                level: Level::Info,
                target: LogTarget::Auto,
            },
        }
    }
}
