//! The keys of the configuration, one definition each; everything else about a key follows from it.
//!
//! Name, type, limits, how it is shown, and what a change of it takes. [`load`](mod@super::load),
//! [`diff`](mod@super::diff), [`show`](super::show) and the tests of files and manual pages walk this table.

use super::Config;
use super::read::{self, Fault, ms, s};
use super::show::Show as _;
use super::units::format_size;
use toml::Value;

/// What it takes to apply a changed value to a running daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Applied at once.
    Hot,
    /// Needs a new session with the broker.
    Session,
    /// Needs a restart of the process.
    Restart,
}

/// How a value is written where there is only text, in the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As it is.
    Text,
    /// An integer, where it is one.
    Number,
    /// Bytes, an integer or with a unit.
    Size,
    /// `true` or `false`.
    Boolean,
    /// Separated by commas.
    List,
    /// Separated by commas, which URLs may hold as well.
    Urls,
}

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Its dotted name, for example `broker.tls.ca_file`.
    pub name: &'static str,
    /// What a change takes.
    pub reload: Reload,
    pub(super) shape: Shape,
    pub(super) read: fn(&mut Config, &Value) -> Result<(), Fault>,
    pub(super) show: fn(&Config) -> Option<Value>,
    pub(super) same: fn(&Config, &Config) -> bool,
}

impl Key {
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
        match (self.shape, (self.show)(config)?) {
            (Shape::Size, Value::Integer(bytes)) => {
                Some(format_size(u64::try_from(bytes).ok()?).into())
            }
            (_, value) => Some(value),
        }
    }
    /// Its table, for example `broker.tls`.
    pub fn section(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or("", |(section, _)| section)
    }
    /// Its name within its table.
    pub fn last(&self) -> &'static str {
        self.name
            .rsplit_once('.')
            .map_or(self.name, |(_, last)| last)
    }
}

/// What the variables of ours start with.
pub(super) const PREFIX: &str = "FIBRPC_";

/// All keys, table by table.
pub fn keys() -> std::slice::Iter<'static, Key> {
    KEYS.iter()
}

/// The key of a dotted name.
pub fn find(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name)
}

/// Whether a dotted name is that of a table.
pub(super) fn is_section(name: &str) -> bool {
    let inside = |key: &Key| {
        let rest = key.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    keys().any(inside)
}

macro_rules! key {
    ($name:literal $reload:ident $shape:ident, $($field:ident).+, |$value:ident| $read:expr) => {
        Key {
            name: $name,
            reload: Reload::$reload,
            shape: Shape::$shape,
            read: |config, $value| {
                config.$($field).+ = $read?;
                Ok(())
            },
            show: |config| config.$($field).+.show(),
            same: |one, other| one.$($field).+ == other.$($field).+,
        }
    };
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const MIB: u64 = 1 << 20;

/// RabbitMQ's own ceiling for a message, `max_message_size`.
const LARGEST_MESSAGE: u64 = 512 * MIB;

/// The result of a larger n has more digits than the largest message has bytes.
const LARGEST_N: u64 = 2_500_000_000;

#[rustfmt::skip]
static KEYS: [Key; 27] = [
    key!("broker.url" Session Urls, broker.url, |v| read::urls(v)),
    key!("broker.password_file" Session Text, broker.password_file, |v| read::file(v)),
    key!("broker.heartbeat" Session Text, broker.heartbeat, |v| read::heartbeat(v)),
    key!("broker.connect_timeout" Session Text, broker.connect_timeout, |v| read::duration(v, ms(1)..=s(10 * MINUTE))),
    key!("broker.confirm_timeout" Session Text, broker.confirm_timeout, |v| read::duration(v, ms(1)..=s(HOUR))),
    key!("broker.tls.ca_file" Session Text, broker.tls.ca_file, |v| read::file(v)),
    key!("broker.tls.cert_file" Session Text, broker.tls.cert_file, |v| read::file(v)),
    key!("broker.tls.key_file" Session Text, broker.tls.key_file, |v| read::file(v)),
    key!("broker.tls.server_name" Session Text, broker.tls.server_name, |v| read::host(v)),
    key!("broker.reconnect.initial" Session Text, broker.reconnect.initial, |v| read::duration(v, ms(1)..=s(HOUR))),
    key!("broker.reconnect.max" Session Text, broker.reconnect.max, |v| read::duration(v, ms(1)..=s(HOUR))),
    key!("queue.name" Session Text, queue.name, |v| read::queue_name(v)),
    key!("queue.type" Session Text, queue.kind, |v| read::queue_kind(v)),
    key!("queue.durable" Session Boolean, queue.durable, |v| read::boolean(v)),
    key!("server.prefetch" Hot Number, server.prefetch, |v| read::integer(v, 1..=u16::MAX)),
    key!("server.concurrency" Hot Number, server.concurrency, |v| read::integer(v, 0..=1024)),
    key!("server.max_n" Hot Number, server.max_n, |v| read::integer(v, 0..=LARGEST_N)),
    key!("server.max_reply_bytes" Hot Size, server.max_reply_bytes, |v| read::size(v, 1024..=LARGEST_MESSAGE)),
    key!("server.max_request_bytes" Hot Size, server.max_request_bytes, |v| read::size(v, 64..=LARGEST_MESSAGE)),
    key!("server.drain_timeout" Hot Text, server.drain_timeout, |v| read::duration(v, ms(1)..=s(HOUR))),
    key!("server.ready_timeout" Hot Text, server.ready_timeout, |v| read::duration(v, ms(1)..=s(HOUR))),
    key!("server.reply_to_allow" Hot List, server.reply_to_allow, |v| read::patterns(v)),
    key!("server.control" Hot Boolean, server.control, |v| read::boolean(v)),
    key!("server.instance" Restart Text, server.instance, |v| read::short_name(v)),
    key!("client.timeout" Hot Text, client.timeout, |v| read::duration(v, ms(1)..=s(24 * HOUR))),
    key!("log.level" Hot Text, log.level, |v| read::level(v)),
    key!("log.target" Restart Text, log.target, |v| read::log_target(v)),
];
