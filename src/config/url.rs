//! Broker URLs, `amqp://user:password@host:port/vhost` by RabbitMQ's URI specification: their parts, and how they are
//! parsed and shown. Pure.
//!
//! Parsing is strict wherever leniency would connect to the wrong place: characters that a password or vhost may contain
//! only percent-encoded are refused with the code to write. No password appears in an error, `Debug`, `Display` or
//! `Serialize`.

use super::fault::{Fault, fault};
use super::secret::Secret;
use super::wrong::{Refusal, ensure, url as wrong};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

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
        address(&self.host, self.port)
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
        let password = match &self.password {
            None => "",
            password if is_factory_login(&self.user, password.as_ref()) => ":guest",
            Some(_) => ":***",
        };
        let (scheme, user, vhost) = (self.scheme.name(), encode(&self.user), encode(&self.vhost));
        // In a URL the % before a zone is percent-encoded as well (RFC 6874).
        let address = self.address().replace('%', "%25");
        format!("{scheme}://{user}{password}@{address}/{vhost}")
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

/// `host:port`, IPv6 in brackets.
pub(super) fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
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

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let code = |byte: u8| match char::from(byte) {
        plain if is_plain(byte) => plain.to_string(),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().map(code).collect()
}

impl FromStr for BrokerUrl {
    type Err = Fault;

    /// Parses a URL. A missing user means `guest` with password `guest`, a missing vhost `/`.
    fn from_str(text: &str) -> Result<Self, Fault> {
        ensure(!text.is_empty(), wrong::EMPTY)?;
        ensure(
            text.bytes().all(|byte| byte.is_ascii_graphic()),
            wrong::CHARACTER,
        )?;
        let (scheme, rest) = text.split_once("://").ok_or(wrong::NO_SCHEME)?;
        let scheme = parse_scheme(scheme)?;
        refuse_raw_characters(rest)?;
        refuse_query(rest)?;

        let (authority, path) = split(rest, '/');
        let (user_info, address) = match authority.split_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        let (host, port) = parse_address(address, scheme)?;
        let (user, password) = parse_user_info(user_info.unwrap_or("guest:guest"))?;
        let default_login = user_info.is_none()
            || scheme == Scheme::Amqp && is_factory_login(&user, password.as_ref());
        Ok(Self {
            scheme,
            host,
            port,
            user,
            password,
            default_login,
            vhost: path.map_or(Ok("/".into()), parse_vhost)?,
        })
    }
}

/// The text before a character, and the text after it if the character occurs.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    let parts = text.split_once(at);
    parts.map_or((text, None), |(before, after)| (before, Some(after)))
}

fn parse_scheme(text: &str) -> Result<Scheme, Refusal> {
    let help = match text.to_ascii_lowercase().as_str() {
        "amqp" => return Ok(Scheme::Amqp),
        "amqps" => return Ok(Scheme::Amqps),
        "http" | "https" => "that is the management interface; AMQP is at amqp://HOST:5672",
        other if other.contains("ssl") || other.contains("tls") || other.ends_with('s') => {
            "did you mean amqps:// (TLS)?"
        }
        _ => "did you mean amqp://?",
    };
    Err(("must start with amqp:// or amqps://", help))
}

/// Refuses the characters that end an authority or a path if they are unencoded inside a password or vhost.
fn refuse_raw_characters(rest: &str) -> Result<(), Fault> {
    let before_at = rest.split_once('@').map_or("", |(before, _)| before);
    let (character, code) = match before_at.chars().find(|c| ['/', '?'].contains(c)) {
        _ if rest.contains('#') => ('#', "%23"),
        _ if rest.matches('@').count() > 1 => ('@', "%40"),
        Some('/') => ('/', "%2f"),
        Some(_) => ('?', "%3f"),
        None => return Ok(()),
    };
    let help = format!("in a user name, password or vhost write {code} for it");
    Err(fault(format!("contains a raw `{character}`"), help))
}

/// Query parameters of other clients, and what to use here.
#[rustfmt::skip]
const PARAMETERS: [(&str, &str); 10] = [
    ("cacertfile", "set broker.tls.ca_file"),
    ("certfile", "set broker.tls.cert_file"),
    ("keyfile", "set broker.tls.key_file"),
    ("server_name_indication", "set broker.tls.server_name"),
    ("verify", "remove it, certificates are always verified"),
    ("heartbeat", "set broker.heartbeat"),
    ("connection_timeout", "set broker.connect_timeout"),
    ("auth_mechanism", "for EXTERNAL set broker.tls.cert_file, without a password"),
    ("channel_max", "remove it"),
    ("frame_max", "remove it"),
];

fn refuse_query(rest: &str) -> Result<(), Fault> {
    let Some((_, query)) = rest.split_once('?') else {
        return Ok(());
    };
    let name = query.split(['=', '&']).next().unwrap_or_default();
    let (name, help) = PARAMETERS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or(wrong::QUERY)?;
    Err(fault(format!("has the query parameter `{name}`"), *help))
}

fn parse_address(address: &str, scheme: Scheme) -> Result<(String, u16), Refusal> {
    let (host, port) = if let Some(literal) = address.strip_prefix('[') {
        let (host, port) = literal.split_once(']').ok_or(wrong::BRACKET)?;
        (parse_ipv6(host)?, port)
    } else {
        ensure(address.matches(':').count() <= 1, wrong::COLONS)?;
        let (host, port) = address.split_at(address.find(':').unwrap_or(address.len()));
        (host.to_owned(), port)
    };
    ensure(!host.is_empty(), wrong::NO_HOST)?;
    let port = match port {
        "" => scheme.default_port(),
        port => parse_port(digits(port).ok_or(wrong::NOT_A_PORT)?).ok_or(wrong::PORT)?,
    };
    ensure(address.starts_with('[') || is_host(&host), wrong::HOST)?;
    Ok((host, port))
}

/// The digits after a host, which a colon starts. `+5672` would parse, but is not a port.
pub(super) fn digits(port: &str) -> Option<&str> {
    let digits = port.strip_prefix(':')?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then_some(digits)
}

/// A port that one can connect to.
pub(super) fn parse_port(digits: &str) -> Option<u16> {
    digits.parse().ok().filter(|port| *port > 0)
}

/// An IPv6 address, with a zone if one is given: `%25eth0` as in RFC 6874, or `%eth0` as everywhere else.
fn parse_ipv6(text: &str) -> Result<String, Refusal> {
    /// The maximum length of an interface's name, in bytes.
    const MAX_ZONE: usize = 15;
    let (address, zone) = split(text, '%');
    let parsed: Ipv6Addr = address.parse().map_err(|_| wrong::IPV6)?;
    let Some(zone) = zone else {
        ensure(!parsed.is_unicast_link_local(), wrong::NO_ZONE)?;
        return Ok(address.to_owned());
    };
    let escaped = zone.strip_prefix("25").filter(|zone| !zone.is_empty());
    let zone = escaped.unwrap_or(zone);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    ensure(
        (1..=MAX_ZONE).contains(&zone.len()) && zone.bytes().all(plain),
        wrong::ZONE,
    )?;
    Ok(format!("{address}%{zone}"))
}

fn parse_user_info(user_info: &str) -> Result<(String, Option<Secret>), Refusal> {
    let (user, password) = split(user_info, ':');
    let password = password.map(decode).transpose()?;
    let user = decode(user)?;
    ensure(!user.is_empty(), wrong::NO_USER)?;
    Ok((user, password.map(Secret::new)))
}

fn parse_vhost(path: &str) -> Result<String, Refusal> {
    ensure(!path.is_empty(), wrong::NO_VHOST)?;
    ensure(!path.contains('/'), wrong::SLASH)?;
    let vhost = decode(path)?;
    ensure(vhost.len() <= 255, wrong::LONG_VHOST)?;
    Ok(vhost)
}

fn decode(text: &str) -> Result<String, Refusal> {
    let is_code = |code: &[u8]| code.iter().all(u8::is_ascii_hexdigit);
    let is_escape = |escape: &str| escape.as_bytes().get(..2).is_some_and(is_code);
    ensure(text.split('%').skip(1).all(is_escape), wrong::PERCENT)?;
    let decoded = percent_encoding::percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| wrong::NOT_UTF8)?;
    // AMQP's PLAIN login separates user and password by NUL.
    ensure(!decoded.contains('\0'), wrong::NUL)?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests;
