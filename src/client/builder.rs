//! The settings of a client for a program, from a broker's URL.
//!
//! What is wrong with them is returned when the client connects, all of it in one line.

use super::settings::Settings;
use crate::broker::builder::{broker_methods, joined};
use crate::config::{Config, Problem, Reconnect, absolute, outside_limits};
use crate::protocol::Status;
use std::path::Path;
use std::time::Duration;

/// The timeout of calls that state none.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a client; see [`Client::builder`](super::Client::builder).
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing unless it connects"]
pub struct Builder {
    config: Config,
    /// What is wrong with it, except for values outside their limits.
    problems: Vec<Problem>,
    name: Option<String>,
    wait_for_server: bool,
    plain: bool,
}

impl Builder {
    pub(super) fn new(url: &str) -> Self {
        let mut config = Config::default();
        config.broker.url.clear();
        config.client.timeout = TIMEOUT;
        let builder = Self {
            config,
            problems: Vec::new(),
            name: None,
            wait_for_server: false,
            plain: false,
        };
        builder.broker(url)
    }

    broker_methods!();

    /// The connection's name, as the broker shows it [default: `fibrpc` and the process id].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The timeout of calls that state none [default: 10 s].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.client.timeout = timeout;
        self
    }

    /// How long connecting to a broker may take: name lookup, TCP, TLS and login [default: 10 s].
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.config.broker.connect_timeout = limit;
        self
    }

    /// The delays between attempts to reconnect [default: 250 ms to 30 s], of which the client waits at most 1 s while there
    /// are calls. After a lost connection, servers have as long as `max` to come back before calls fail without one.
    pub fn reconnect(mut self, initial: Duration, max: Duration) -> Self {
        self.config.broker.reconnect = Reconnect { initial, max };
        self
    }

    /// Whether calls wait for a broker, a queue and a server until their deadline [default: no, they fail]. Connecting
    /// succeeds at once then, and the first calls include it.
    pub fn wait_for_server(mut self, wait: bool) -> Self {
        self.wait_for_server = wait;
        self
    }

    /// Whether requests are as plain as those of RabbitMQ's tutorial, without a deadline and publisher confirms, which
    /// saves the broker much of its work [default: no]. A request that the broker refuses, because the queue is full, then
    /// fails at its deadline.
    pub fn plain(mut self, plain: bool) -> Self {
        self.plain = plain;
        self
    }

    /// The settings, or all that is wrong with them.
    pub(super) fn settings(mut self) -> Result<Settings, Status> {
        self.problems.extend(outside_limits(&self.config));
        if !self.problems.is_empty() {
            let problems = joined(&self.problems);
            return Err(Status::invalid_argument(format!(
                "cannot connect: {problems}"
            )));
        }
        let mut settings = Settings::new(&self.config);
        settings.queue = None;
        settings.name = self.name.unwrap_or(settings.name);
        settings.wait_for_server = self.wait_for_server;
        settings.plain = self.plain;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Code;

    #[test]
    fn settings_are_those_that_were_given() {
        let builder = Builder::new("amqp://a/%2f")
            .broker("amqps://b/%2f")
            .name("shop")
            .timeout(Duration::from_secs(3))
            .ca_file("/ca.pem")
            .tls_name("b.example.org")
            .wait_for_server(true);
        let settings = builder.settings().unwrap();
        assert_eq!(settings.broker.url.len(), 2);
        assert_eq!(settings.name, "shop");
        assert_eq!(settings.timeout, Duration::from_secs(3));
        assert_eq!(
            settings.broker.tls.ca_file.as_deref(),
            Some(Path::new("/ca.pem"))
        );
        assert!(settings.wait_for_server && !settings.plain);
        assert_eq!(settings.queue, None);
        let settings = Builder::new("amqp://a").settings().unwrap();
        assert_eq!(settings.timeout, TIMEOUT);
    }

    #[test]
    fn everything_that_is_wrong_is_named_in_one_line() {
        let builder = Builder::new("http://a")
            .timeout(Duration::ZERO)
            .client_certificate("", "/key");
        let refused = builder.settings().unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let message = refused.message();
        assert!(
            message.starts_with("cannot connect: broker URL: "),
            "{message}"
        );
        for words in ["client.timeout", "broker.tls.cert_file"] {
            assert!(message.contains(words), "{message}");
        }
        assert!(!message.contains('\n'), "{message}");
    }
}
