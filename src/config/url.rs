//! Broker URLs: `amqp://user:password@host:port/vhost`, by RabbitMQ's URI specification.
//!
//! Parsing is strict where leniency would connect to the wrong place: characters that a password or
//! vhost may hold only percent-encoded are refused with the code to write. No password appears in
//! an error, in `Debug` or in `Display`; [`redact`](super::redact()) makes any text safe to echo.

use super::Secret;
use std::fmt::Write as _;
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
    /// The port where a URL names none.
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
    /// Whether user and password are the default ones, which nobody had to give: it names no user. Without TLS, where
    /// there is no other login, `guest:guest` written down is the same.
    pub default_login: bool,
    /// Virtual host, percent-decoded.
    pub vhost: String,
}

/// Why a text is no broker URL. Holds nothing of the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct UrlError {
    /// What is wrong, reads after "the URL".
    pub what: String,
    /// What to do.
    pub help: String,
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

    /// The host as a certificate has it: a zone means something on this machine only.
    pub fn tls_name(&self) -> &str {
        self.host
            .split_once('%')
            .map_or(&self.host, |(host, _)| host)
    }

    /// Whether the broker is on this machine, as far as the host tells.
    pub fn is_loopback(&self) -> bool {
        let address = self.tls_name().parse::<IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// The whole URL in its canonical form, the password as `***`. Only RabbitMQ's factory setting
    /// `guest:guest` is shown as it is: it is no secret, and so the default parses back to itself. With TLS the default
    /// login is not shown: written down, it would go before the login by certificate.
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
        // In a URL the % before a zone is written as any other one (RFC 6874).
        text + "@" + &self.address().replace('%', "%25") + "/" + &encode(&self.vhost)
    }
}

impl std::fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address())
    }
}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    /// Parses a URL. A missing user means `guest` with password `guest`, a missing vhost `/`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        if text.is_empty() {
            return error("is empty", EXAMPLE);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return error(
                "has a character that no URL can hold",
                "percent-encode it, a space is %20",
            );
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return error("has no scheme", EXAMPLE);
        };
        let scheme = parse_scheme(scheme)?;
        refuse_raw_characters(rest)?;
        refuse_query(rest)?;

        let (authority, path) = match rest.find('/') {
            Some(slash) => (&rest[..slash], Some(&rest[slash + 1..])),
            None => (rest, None),
        };
        let (user_info, address) = match authority.split_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        let (host, port) = parse_address(address, scheme)?;
        let (user, password) = parse_user_info(user_info)?;
        let default_login = user_info.is_none()
            || scheme == Scheme::Amqp && is_factory_login(&user, password.as_ref());
        Ok(Self {
            scheme,
            host,
            port,
            user,
            password,
            default_login,
            vhost: parse_vhost(path)?,
        })
    }
}

/// Whether a text is an address or a name that DNS can hold.
pub(super) fn is_host(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=253).contains(&text.len()) && text.bytes().all(plain) || text.parse::<Ipv6Addr>().is_ok()
}

/// The longest name of an interface, in bytes.
const MAX_ZONE: usize = 15;

const EXAMPLE: &str = "write for example \"amqp://user:password@host:5672/vhost\"";

fn error<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, UrlError> {
    Err(UrlError {
        what: what.into(),
        help: help.into(),
    })
}

/// `RabbitMQ`'s factory setting.
fn is_factory_login(user: &str, password: Option<&Secret>) -> bool {
    user == "guest" && password.is_some_and(|password| password.expose() == "guest")
}

fn parse_scheme(text: &str) -> Result<Scheme, UrlError> {
    let help = match text.to_ascii_lowercase().as_str() {
        "amqp" => return Ok(Scheme::Amqp),
        "amqps" => return Ok(Scheme::Amqps),
        "http" | "https" => "that is the management interface; AMQP is at amqp://HOST:5672",
        other if other.contains("ssl") || other.contains("tls") || other.ends_with('s') => {
            "did you mean amqps:// (TLS)?"
        }
        _ => "did you mean amqp://?",
    };
    error("must start with amqp:// or amqps://", help)
}

/// Refuses what ends an authority, or a path, where it stands raw inside a password or vhost.
fn refuse_raw_characters(rest: &str) -> Result<(), UrlError> {
    let raw = |character: char, code: &str| {
        error(
            format!("has a raw `{character}` in it"),
            format!("inside a user name, password or vhost write {code} for it"),
        )
    };
    if rest.contains('#') {
        return raw('#', "%23");
    }
    if rest.matches('@').count() > 1 {
        return raw('@', "%40");
    }
    let before_at = rest.split_once('@').map_or("", |(before, _)| before);
    match before_at
        .find(['/', '?'])
        .map(|at| before_at.as_bytes()[at])
    {
        Some(b'/') => raw('/', "%2f"),
        Some(_) => raw('?', "%3f"),
        None => Ok(()),
    }
}

/// Query parameters of other clients, and what to use here.
const PARAMETERS: [(&str, &str); 10] = [
    ("cacertfile", "set broker.tls.ca_file"),
    ("certfile", "set broker.tls.cert_file"),
    ("keyfile", "set broker.tls.key_file"),
    ("server_name_indication", "set broker.tls.server_name"),
    ("verify", "leave it out, certificates are always verified"),
    ("heartbeat", "set broker.heartbeat"),
    ("connection_timeout", "set broker.connect_timeout"),
    (
        "auth_mechanism",
        "for EXTERNAL set broker.tls.cert_file and give no password",
    ),
    ("channel_max", "leave it out"),
    ("frame_max", "leave it out"),
];

fn refuse_query(rest: &str) -> Result<(), UrlError> {
    let Some((_, query)) = rest.split_once('?') else {
        return Ok(());
    };
    let name = query.split(['=', '&']).next().unwrap_or_default();
    match PARAMETERS.iter().find(|(known, _)| *known == name) {
        Some((name, help)) => error(format!("has the query parameter `{name}`"), *help),
        None => error(
            "has a `?`, and query parameters are not used here",
            "leave them out; inside a password or vhost write %3f",
        ),
    }
}

fn parse_address(address: &str, scheme: Scheme) -> Result<(String, u16), UrlError> {
    if !address.starts_with('[') && address.matches(':').count() > 1 {
        return error(
            "has more than one `:` in host and port",
            "write an IPv6 address in brackets, and user and password before an `@`",
        );
    }
    let (host, port) = if let Some(literal) = address.strip_prefix('[') {
        let Some((host, port)) = literal.split_once(']') else {
            return error("has a `[` without a `]`", "write IPv6 as [::1]:5672");
        };
        (parse_ipv6(host)?, port)
    } else {
        let (host, port) = address.split_at(address.find(':').unwrap_or(address.len()));
        (host.to_owned(), port)
    };
    if host.is_empty() {
        return error("names no host", EXAMPLE);
    }
    let port = match port.strip_prefix(':') {
        _ if port.is_empty() => scheme.default_port(),
        // `+5672` would parse, but is no port.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            match digits.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return error("has a bad port", "write a number from 1 to 65535"),
            }
        }
        _ => {
            return error(
                "has a bad port",
                "write a number from 1 to 65535, and user and password before an `@`",
            );
        }
    };
    if !address.starts_with('[') && !is_host(&host) {
        return error(
            "has a bad host name",
            "write letters, digits, `-`, `.` and `_` only",
        );
    }
    Ok((host, port))
}

/// An IPv6 address, with a zone where one is given: `%25eth0` as in RFC 6874, or `%eth0` as everywhere else.
fn parse_ipv6(text: &str) -> Result<String, UrlError> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let Ok(parsed) = address.parse::<Ipv6Addr>() else {
        return error(
            "has no IPv6 address between its brackets",
            "write for example [::1]:5672",
        );
    };
    match zone {
        None if parsed.is_unicast_link_local() => error(
            "has a link-local address without its interface",
            "write for example [fe80::1%25eth0]",
        ),
        None => Ok(address.to_owned()),
        Some(zone) => {
            let escaped = zone.strip_prefix("25").filter(|zone| !zone.is_empty());
            let zone = escaped.unwrap_or(zone);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if (1..=MAX_ZONE).contains(&zone.len()) && zone.bytes().all(plain) {
                return Ok(format!("{address}%{zone}"));
            }
            error(
                "has a bad zone behind its IPv6 address",
                "write an interface's name or number, for example [fe80::1%25eth0]",
            )
        }
    }
}

fn parse_user_info(user_info: Option<&str>) -> Result<(String, Option<Secret>), UrlError> {
    let Some(user_info) = user_info else {
        return Ok(("guest".into(), Some(Secret::new("guest"))));
    };
    let (user, password) = match user_info.split_once(':') {
        Some((user, password)) => (user, Some(decode(password)?)),
        None => (user_info, None),
    };
    let user = decode(user)?;
    if user.is_empty() {
        return error(
            "names an empty user",
            "name one before the `@`, or drop the `@`",
        );
    }
    Ok((user, password.map(Secret::new)))
}

fn parse_vhost(path: Option<&str>) -> Result<String, UrlError> {
    match path {
        None => Ok("/".into()),
        Some("") => error(
            "names the empty vhost with its last `/`",
            "leave that `/` out or write /%2f for the default vhost",
        ),
        Some(path) if path.contains('/') => error(
            "has a raw `/` in the vhost",
            "write %2f for it, the default vhost is /%2f",
        ),
        Some(path) => match decode(path)? {
            vhost if vhost.len() > 255 => error("has a vhost above 255 bytes", "shorten it"),
            vhost => Ok(vhost),
        },
    }
}

fn decode(text: &str) -> Result<String, UrlError> {
    let escapes = text.split('%').skip(1);
    let is_code = |code: &[u8]| code.iter().all(u8::is_ascii_hexdigit);
    for escape in escapes {
        if !escape.as_bytes().get(..2).is_some_and(is_code) {
            return error(
                "has a `%` without two hex digits",
                "write %25 for a plain `%`",
            );
        }
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    match decoded {
        // AMQP's PLAIN login separates user and password by NUL.
        Ok(text) if text.contains('\0') => error("holds a NUL (%00)", "leave it out"),
        Ok(text) => Ok(text.into_owned()),
        Err(_) => error(
            "has percent codes that are not UTF-8",
            "encode the UTF-8 bytes of each character",
        ),
    }
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
