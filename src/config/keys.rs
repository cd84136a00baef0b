//! The table of keys: each key of the configuration is one line, and everything else about it follows from that line.
//!
//! A line gives the field, its type and default, the key's name, what a change of it requires, and the [kind](super::kinds) of
//! its values, which parses, limits and shows them. Loading, `fibrpc config show`, reloads, and the tests of files and manual
//! pages walk this table.

use super::fault::Fault;
use super::kinds::{Kind, Names, Number, OneOf, Period, Size, Switch, Text, Urls};
use super::kinds::{file, host, ms, name, queue_name, s};
use super::listen::{Listen, listen};
use super::otlp::{Collector, Fraction, Share, collector};
use super::url::BrokerUrl;
use super::words::{Level, LogTarget, QueueKind};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// What is required to apply a changed value to a running daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Nothing, it is applied at once.
    Hot,
    /// A new session with the broker.
    Session,
    /// A restart of the process.
    Restart,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its dotted name, for example `broker.tls.ca_file`.
    pub name: &'static str,
    /// What a change requires.
    pub reload: Reload,
    /// The TOML value that an environment variable's text stands for.
    pub(super) value_of: fn(&str) -> Value,
    /// Sets it to a TOML value, or says what is wrong with that.
    pub(super) read: fn(&mut Config, &Value) -> Result<(), Fault>,
    show: fn(&Config) -> Option<Value>,
    /// Whether it has the same value in both.
    pub(super) same: fn(&Config, &Config) -> bool,
}

impl Key {
    /// The key of a service's own number. It must be in a section of the library's keys.
    pub const fn service<N: ServiceNumber>(reload: Reload) -> Self {
        Self {
            name: N::NAME,
            reload,
            value_of: |text| Number(0..=N::MAX).value_of(text),
            read: |config, value| {
                let value = Number(0..=N::MAX).read(value)?;
                // So that configurations with the same values are equal.
                config.service.values.remove(N::NAME);
                if value != N::DEFAULT {
                    config.service.values.insert(N::NAME, value);
                }
                Ok(())
            },
            show: |config| Number(0..=N::MAX).show(&N::of(config)),
            same: |one, other| N::of(one) == N::of(other),
        }
    }
    /// The environment variable that sets it, for example `FIBRPC_BROKER__TLS__CA_FILE`.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "__").to_uppercase())
    }
    /// Its default as TOML, if it has one.
    pub fn default_value(&self) -> Option<Value> {
        self.value(&Config::default())
    }
    /// Its value as TOML, if it has one. Passwords in URLs are `***`.
    pub fn value(&self, config: &Config) -> Option<Value> {
        (self.show)(config)
    }
    /// Its table and its name within that, for example `broker.tls` and `ca_file`.
    pub fn parts(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }
}

/// The prefix of our environment variables.
pub(super) const PREFIX: &str = "FIBRPC_";

/// The table of keys: those of the library, and those of the service that a program runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys {
    service: &'static [Key],
}

impl Keys {
    /// The library's keys, and these.
    pub const fn with_service(service: &'static [Key]) -> Self {
        Self { service }
    }
    /// All keys, section by section.
    pub fn iter(self) -> impl Iterator<Item = &'static Key> + Clone {
        let sections = [
            BROKER, TLS, RECONNECT, QUEUE, SERVER, CLIENT, LOG, TELEMETRY, OTLP,
        ];
        sections.into_iter().flat_map(move |section| {
            let name = section.first().map(|key| key.parts().0);
            let service = self.service.iter();
            let service = service.filter(move |key| Some(key.parts().0) == name);
            section.iter().chain(service)
        })
    }
    /// The key with a dotted name.
    pub fn find(self, name: &str) -> Option<&'static Key> {
        self.iter().find(|key| key.name == name)
    }
    /// Whether a dotted name is that of a section.
    pub(super) fn is_section(self, name: &str) -> bool {
        self.iter().any(|key| {
            key.name
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }
}

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// What others see of the program.
    pub telemetry: Telemetry,
    /// What the service of a program adds.
    pub service: Service,
}

impl Config {
    /// All keys of this configuration.
    pub fn keys(&self) -> Keys {
        self.service.keys
    }
}

/// A number from 0 to `MAX` that belongs to the service of a program, which defines it.
pub trait ServiceNumber {
    /// Its dotted key.
    const NAME: &'static str;
    /// The value if it is not set.
    const DEFAULT: u64;
    /// The largest value.
    const MAX: u64;

    /// Its value.
    fn of(config: &Config) -> u64 {
        let value = config.service.values.get(Self::NAME);
        value.copied().unwrap_or(Self::DEFAULT)
    }
}

/// The values of a service's own keys. Equal if the values are.
#[derive(Debug, Clone, Default)]
pub struct Service {
    pub(super) keys: Keys,
    /// By key, those that are not the default.
    values: BTreeMap<&'static str, u64>,
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for Service {}

macro_rules! field {
    ($config:ident ($($section:ident).+) $field:ident) => { $config.$($section).+.$field };
}

/// Defines a section: its struct with the defaults, and the table of its keys.
macro_rules! section {
    (
        $(#[$about:meta])* $section:ident $table:ident $path:tt
        $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $name:literal $reload:ident $kind:expr;)+
        $({ $($(#[$inner_doc:meta])* $inner:ident: $inner_type:ty;)+ })?
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $section {
            $($(#[$doc])* pub $field: $type,)+
            $($($(#[$inner_doc])* pub $inner: $inner_type,)+)?
        }

        impl Default for $section {
            fn default() -> Self {
                Self {
                    $($field: $default,)+
                    $($($inner: Default::default(),)+)?
                }
            }
        }

        static $table: &[Key] = &[$(Key {
            name: $name,
            reload: Reload::$reload,
            value_of: |text| $kind.value_of(text),
            read: |config, value| {
                field!(config $path $field) = $kind.read(value)?;
                Ok(())
            },
            show: |config| $kind.show(&field!(config $path $field)),
            same: |one, other| field!(one $path $field) == field!(other $path $field),
        }),+];
    };
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// RabbitMQ's own limit of a message, `max_message_size`.
const MAX_MESSAGE: u64 = 512 << 20;

section! {
    /// How to reach the broker.
    Broker BROKER (broker)
    /// One or several; tried in random order, the next on failure. Never empty.
    url: Vec<BrokerUrl> = vec![BrokerUrl::default()], "broker.url" Session Urls;
    /// The file with the password, unless that is in the URL; read again at each connect.
    password_file: Option<PathBuf> = None, "broker.password_file" Session Text(file);
    /// AMQP heartbeat interval to request, whole seconds in 16 bits; 0 would switch heartbeats off.
    heartbeat: Duration = s(10), "broker.heartbeat" Session Period(s(1)..=s(65_535));
    /// Limit for name lookup, TCP, TLS and AMQP handshake together.
    connect_timeout: Duration = s(10), "broker.connect_timeout" Session Period(ms(1)..=s(10 * MINUTE));
    /// How long the broker may take to confirm a publish.
    confirm_timeout: Duration = s(30), "broker.confirm_timeout" Session Period(ms(1)..=s(HOUR));
    {
        /// For `amqps://`.
        tls: Tls;
        /// Backoff between attempts.
        reconnect: Reconnect;
    }
}

section! {
    /// TLS settings; used only with `amqps://`. The files are read again at each connect.
    Tls TLS (broker.tls)
    /// The only roots to trust, instead of the system's.
    ca_file: Option<PathBuf> = None, "broker.tls.ca_file" Session Text(file);
    /// Client certificate chain, PEM; requires `key_file`. Without a password it logs in as well (EXTERNAL).
    cert_file: Option<PathBuf> = None, "broker.tls.cert_file" Session Text(file);
    /// Private key of the client certificate, PEM.
    key_file: Option<PathBuf> = None, "broker.tls.key_file" Session Text(file);
    /// The name to verify, if it is not the URL's host.
    server_name: Option<String> = None, "broker.tls.server_name" Session Text(host);
}

section! {
    /// Backoff with full jitter between `initial` and `max`.
    #[derive(Copy)]
    Reconnect RECONNECT (broker.reconnect)
    /// The first delay's upper bound.
    initial: Duration = ms(250), "broker.reconnect.initial" Session Period(ms(1)..=s(HOUR));
    /// Every delay's upper bound.
    max: Duration = s(30), "broker.reconnect.max" Session Period(ms(1)..=s(HOUR));
}

section! {
    /// The request queue.
    Queue QUEUE (queue)
    /// Its name.
    name: String = "rpc_queue".into(), "queue.name" Session Text(queue_name);
    /// The type to declare if the queue does not exist.
    kind: QueueKind = QueueKind::Quorum, "queue.type" Session OneOf(QueueKind::ALL);
    /// Whether a queue that we declare survives a restart of the broker.
    durable: bool = true, "queue.durable" Session Switch;
}

section! {
    /// The daemon.
    Server SERVER (server)
    /// Unacknowledged deliveries that the broker may send ahead.
    prefetch: u16 = 2000, "server.prefetch" Hot Number(1..=u16::MAX);
    /// Large computations at once; 0 means one per core except one, which is left to serve.
    concurrency: usize = 0, "server.concurrency" Hot Number(0..=1024_usize);
    /// The largest reply body in bytes.
    max_reply_bytes: u64 = 15 << 20, "server.max_reply_bytes" Hot Size(1024..=MAX_MESSAGE);
    /// The largest request body in bytes that is kept in memory.
    max_request_bytes: u64 = 1 << 20, "server.max_request_bytes" Hot Size(64..=MAX_MESSAGE);
    /// How long a shutdown waits for requests in progress.
    drain_timeout: Duration = s(30), "server.drain_timeout" Hot Period(ms(1)..=s(HOUR));
    /// How long readiness waits for the broker.
    ready_timeout: Duration = s(10), "server.ready_timeout" Hot Period(ms(1)..=s(HOUR));
    /// Reply addresses to allow besides the default ones; `*` matches any run of characters.
    reply_to_allow: Vec<String> = Vec::new(), "server.reply_to_allow" Hot Names;
    /// Whether to listen for status requests.
    control: bool = true, "server.control" Hot Switch;
    /// The name in `fibrpc-server` headers; empty: host name and process id.
    instance: String = String::new(), "server.instance" Restart Text(name);
}

section! {
    /// The client.
    #[derive(Copy)]
    Client CLIENT (client)
    /// How long a call waits for its reply.
    timeout: Duration = s(5), "client.timeout" Hot Period(ms(1)..=s(24 * HOUR));
}

section! {
    /// Logs.
    Log LOG (log)
    /// The least severe level that is written.
    level: Level = Level::Info, "log.level" Hot OneOf(Level::ALL);
    /// Where to.
    target: LogTarget = LogTarget::Auto, "log.target" Restart OneOf(LogTarget::ALL);
}

section! {
    /// What others see of the program.
    Telemetry TELEMETRY (telemetry)
    /// Where the endpoint for metrics and health listens.
    listen: Listen = Listen::Off, "telemetry.listen" Restart Text(listen);
    {
        /// Export of traces.
        otlp: Otlp;
    }
}

section! {
    /// Export of traces over OTLP/HTTP.
    Otlp OTLP (telemetry.otlp)
    /// The collector; nothing is exported without one.
    endpoint: Option<Collector> = None, "telemetry.otlp.endpoint" Restart Text(collector);
    /// The share of traces to sample, of those that begin here.
    sample_ratio: Share = Share::ALL, "telemetry.otlp.sample_ratio" Restart Fraction;
}
