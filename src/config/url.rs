//! Broker URLs: their parts, and how they are shown. No password appears in `Debug`, `Display` or `Serialize`.

mod parse;

use super::secret::Secret;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};

/// Whether the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Cleartext, port 5672.
    Amqp,
    /// TLS, port 5671.
    Amqps,
}

impl Scheme {
    /// The port if the URL has none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Amqp => 5672,
            Self::Amqps => 5671,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Amqps => "amqps",
        }
    }
}

/// A broker's address, user and vhost. `Display` never shows the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// Host name or address; IPv6 without brackets, and with `%` before a zone, as in `fe80::1%eth0`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, percent-decoded.
    pub user: String,
    /// Password, percent-decoded, if the URL has one.
    pub password: Option<Secret>,
    /// Whether user and password are the defaults, because the URL names no user. Without TLS, which would allow another
    /// login, an explicit `guest:guest` counts as the default as well.
    pub default_login: bool,
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
            default_login: true,
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

    /// The host as in a certificate, without a zone: that has a meaning on this machine only.
    pub fn tls_name(&self) -> &str {
        self.host
            .split_once('%')
            .map_or(&self.host, |(host, _)| host)
    }

    /// Whether the broker is on this machine, as far as the host shows.
    pub fn is_loopback(&self) -> bool {
        let address = self.tls_name().parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// The whole URL in its canonical form, the password as `***`. Only RabbitMQ's factory setting
    /// `guest:guest` is shown: it is not a secret, and so the default parses back to itself. With TLS the default login
    /// is omitted: an explicit one would take precedence over the login by certificate.
    pub fn redacted(&self) -> String {
        if self.default_login && self.scheme == Scheme::Amqps {
            return format!("amqps://{}/{}", self.address(), encode(&self.vhost));
        }
        let mut text = format!("{}://{}", self.scheme.name(), encode(&self.user));
        match &self.password {
            Some(_) if is_factory_login(&self.user, self.password.as_ref()) => {
                text.push_str(":guest");
            }
            Some(_) => text.push_str(":***"),
            None => {}
        }
        // In a URL the % before a zone is percent-encoded as well (RFC 6874).
        text + "@" + &self.address().replace('%', "%25") + "/" + &encode(&self.vhost)
    }
}

/// The redacted form.
impl serde::Serialize for BrokerUrl {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.redacted())
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address())
    }
}

/// Whether a text is an IPv6 address, or consists of characters of IPv4 addresses and DNS names.
pub(super) fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(plain) || text.parse::<Ipv6Addr>().is_ok()
}

/// `RabbitMQ`'s factory setting.
fn is_factory_login(user: &str, password: Option<&Secret>) -> bool {
    user == "guest" && password.is_some_and(|password| password.expose() == "guest")
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02x}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
