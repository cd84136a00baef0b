//! One AMQP connection: opened under one deadline, watched, closed or cut.

use super::{Channel, Error};
use crate::config::{self, BrokerUrl};
use std::time::Duration;

/// What a connection is for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Shown by the broker, for example `fibrpcd mq1/4711 consume`.
    pub name: String,
    /// The limit for every later operation on it, close included.
    pub operation_timeout: Duration,
    /// Bodies larger than this are dropped by the guard and delivered as a defect; `None`: no limit.
    pub max_body: Option<u64>,
}

/// What the broker says about a connection.
#[derive(Debug, Clone)]
pub enum Event {
    /// It is short of something and reads no more from connections that publish; its reason.
    Blocked(String),
    /// It reads again.
    Unblocked,
    /// The connection is dead.
    Failed(Error),
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {}

impl Connection {
    /// Opens a connection: name lookup, TCP, TLS and AMQP handshake within
    /// `settings.connect_timeout`. Passwords and certificates are read afresh.
    pub async fn open(
        url: &BrokerUrl,
        settings: &config::Broker,
        options: Options,
    ) -> Result<Self, Error> {
        let _ = (url, settings, options);
        std::future::pending().await
    }
    /// Opens a channel.
    pub async fn channel(&self) -> Result<Channel, Error> {
        std::future::pending().await
    }
    /// The next event. Pends for ever where nothing happens; after `Failed` nothing more comes.
    pub async fn event(&mut self) -> Event {
        std::future::pending().await
    }
    /// The broker's product and version, for example `("RabbitMQ", "3.10.8")`.
    pub fn broker_version(&self) -> (String, String) {
        Default::default()
    }
    /// Closes in order; cut where that takes longer than the operation timeout.
    pub async fn close(self) -> Result<(), Error> {
        std::future::pending().await
    }
    /// Cuts the connection: every pending operation on it fails at once.
    pub fn kill(&self) {}
}
