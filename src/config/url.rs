//! Broker URLs (`amqp://user:password@host:port/vhost`, RabbitMQ's URI specification).

use super::Secret;

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Cleartext, port 5672.
    Amqp,
    /// TLS, port 5671.
    Amqps,
}

/// A broker's address, user and vhost. `Display` never shows the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// Host name or address; IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, percent-decoded.
    pub user: String,
    /// Password, percent-decoded, if the URL has one.
    pub password: Option<Secret>,
    /// Virtual host, percent-decoded.
    pub vhost: String,
}

impl Default for BrokerUrl {
    fn default() -> Self {
        Self {
            scheme: Scheme::Amqp,
            host: "localhost".into(),
            port: 5672,
            user: "guest".into(),
            password: Some(Secret::new("guest")),
            vhost: "/".into(),
        }
    }
}

impl BrokerUrl {
    /// `host:port`, IPv6 in brackets: how messages and STATUS name a broker.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address())
    }
}
