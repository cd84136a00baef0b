//! [`Settings`]: how a client reaches its broker.

use crate::broker::{Connection, Error, Options};
use crate::config::{self, BrokerUrl, Config};
use std::sync::Arc;
use std::time::Duration;

/// How a client reaches its broker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broker.
    pub broker: config::Broker,
    /// The queue to check when connecting, so that the first call of it need not wait for that.
    pub queue: Option<Arc<str>>,
    /// The timeout of calls that state none.
    pub timeout: Duration,
    /// The connection's name, as the broker shows it.
    pub name: String,
    /// Whether calls wait for a broker, a queue and a server until their deadline, even if the broker refuses the client
    /// meanwhile; the first calls then include connecting. Otherwise a call fails if there is no queue, or no server on it
    /// for about a second.
    pub wait_for_server: bool,
    /// The time limit for the first connection, over all brokers; `None`: `broker.connect_timeout` for each.
    pub connect_limit: Option<Duration>,
    /// Whether requests are as plain as those of the tutorial's clients, without an expiration and without
    /// publisher confirms, which saves the broker much of its work. A request that the broker refuses (full queue) then
    /// fails at its deadline, like a lost one.
    pub plain: bool,
}

impl Settings {
    /// The settings in a configuration; calls fail at once if there is no server.
    pub fn new(config: &Config) -> Self {
        Self {
            broker: config.broker.clone(),
            queue: Some(config.queue.name.as_str().into()),
            timeout: config.client.timeout,
            name: format!("fibrpc {}", std::process::id()),
            wait_for_server: false,
            connect_limit: None,
            plain: false,
        }
    }

    /// Connects to one broker, with this limit for each operation.
    pub(super) async fn open(
        &self,
        url: &BrokerUrl,
        operation_timeout: Duration,
    ) -> Result<Connection, Error> {
        let options = Options {
            name: self.name.clone(),
            operation_timeout,
            max_body: None,
            patience: self.connect_limit,
        };
        Connection::open(url, &self.broker, options).await
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}
