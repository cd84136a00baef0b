//! The configuration: typed sections with their defaults, shared by daemon and client.
//!
//! `load` fills them from files, environment and flags, and reports all problems at once. Each key
//! is defined once, in the table of [`mod@keys`].
//!
//! The library only needs the sections and the limits of their values; what reads and shows them is for the programs.

mod exposure;
mod fault;
mod file;
pub mod keys;
mod kinds;
mod limits;
mod listen;
#[cfg(feature = "process")]
pub mod load;
mod login;
mod otlp;
mod redact;
mod secret;
mod shortage;
mod slips;
mod units;
mod url;
mod words;
mod wrong;

pub use exposure::exposed_key;
pub use fault::{Fault, Problem};
pub use file::{BYTE_ORDER_MARK, FileFault, ReadError, is_utf16, read_file};
pub use keys::{
    Broker, Client, Config, Log, Otlp, Queue, Reconnect, Server, Service, Telemetry, Tls,
};
pub use keys::{Key, Keys, Reload, ServiceNumber};
pub use limits::{absolute, outside_limits};
pub use listen::Listen;
#[cfg(feature = "process")]
pub use load::{Changes, Entry, Environment, Loaded, Overrides, Program};
#[cfg(feature = "process")]
pub use load::{diff, load, load_from, show_json, show_toml};
pub use login::{Login, Password, Source, login, login_from, password_file, unseen_credentials};
pub use otlp::{Collector, Share};
pub use redact::redact;
pub use secret::Secret;
pub use shortage::Shortage;
pub use units::parse_duration;
pub use url::{BrokerUrl, Scheme};
pub use words::{Level, LogTarget, QueueKind};
