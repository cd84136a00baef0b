//! Parsing of broker URLs: `amqp://user:password@host:port/vhost`, by RabbitMQ's URI specification.
//!
//! It is strict wherever leniency would connect to the wrong place: characters that a password or vhost
//! may contain only percent-encoded are refused with the code to write. No password appears in an error.

use super::{BrokerUrl, Scheme, is_factory_login, is_host};
use crate::config::secret::Secret;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Why a text is not a broker URL. Contains nothing of the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {help}")]
pub struct UrlError {
    /// What is wrong, reads after "the URL".
    pub what: String,
    /// What to do.
    pub help: String,
}

impl FromStr for BrokerUrl {
    type Err = UrlError;

    /// Parses a URL. A missing user means `guest` with password `guest`, a missing vhost `/`.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        ensure(!text.is_empty(), "is empty", EXAMPLE)?;
        let is_ascii = text.bytes().all(|byte| byte.is_ascii_graphic());
        let encode = "percent-encode it, a space is %20";
        ensure(
            is_ascii,
            "contains a character that is not allowed in a URL",
            encode,
        )?;
        let Some((scheme, rest)) = text.split_once("://") else {
            return error("has no scheme", EXAMPLE);
        };
        let scheme = parse_scheme(scheme)?;
        refuse_raw_characters(rest)?;
        refuse_query(rest)?;

        let (authority, path) = split(rest, '/');
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

const EXAMPLE: &str = "write for example \"amqp://user:password@host:5672/vhost\"";

/// The maximum length of an interface's name, in bytes.
const MAX_ZONE: usize = 15;

fn error<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, UrlError> {
    Err(UrlError {
        what: what.into(),
        help: help.into(),
    })
}

fn ensure(is_right: bool, what: &str, help: &str) -> Result<(), UrlError> {
    if is_right { Ok(()) } else { error(what, help) }
}

/// The text before a character, and the text after it if the character occurs.
fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
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

/// Refuses the characters that end an authority or a path if they are unencoded inside a password or vhost.
fn refuse_raw_characters(rest: &str) -> Result<(), UrlError> {
    let before_at = rest.split_once('@').map_or("", |(before, _)| before);
    let (character, code) = if rest.contains('#') {
        ('#', "%23")
    } else if rest.matches('@').count() > 1 {
        ('@', "%40")
    } else {
        match before_at.find(['/', '?']) {
            Some(at) if before_at[at..].starts_with('/') => ('/', "%2f"),
            Some(_) => ('?', "%3f"),
            None => return Ok(()),
        }
    };
    let help = format!("in a user name, password or vhost write {code} for it");
    error(format!("contains a raw `{character}`"), help)
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

fn refuse_query(rest: &str) -> Result<(), UrlError> {
    let Some((_, query)) = rest.split_once('?') else {
        return Ok(());
    };
    let name = query.split(['=', '&']).next().unwrap_or_default();
    match PARAMETERS.iter().find(|(known, _)| *known == name) {
        Some((name, help)) => error(format!("has the query parameter `{name}`"), *help),
        None => error(
            "contains a `?`, but query parameters are not supported",
            "remove them; in a password or vhost write %3f",
        ),
    }
}

fn parse_address(address: &str, scheme: Scheme) -> Result<(String, u16), UrlError> {
    const PORT: &str = "has a bad port";
    const NUMBER: &str = "write a number from 1 to 65535";
    let (host, port) = if let Some(literal) = address.strip_prefix('[') {
        let Some((host, port)) = literal.split_once(']') else {
            return error("has a `[` without a `]`", "write IPv6 as [::1]:5672");
        };
        (parse_ipv6(host)?, port)
    } else {
        let help = "write an IPv6 address in brackets, and user and password before an `@`";
        let colons = address.matches(':').count();
        ensure(colons <= 1, "has more than one `:` in host and port", help)?;
        let (host, port) = address.split_at(address.find(':').unwrap_or(address.len()));
        (host.to_owned(), port)
    };
    ensure(!host.is_empty(), "has no host", EXAMPLE)?;
    let port = match port.strip_prefix(':') {
        _ if port.is_empty() => scheme.default_port(),
        // `+5672` would parse, but is not a port.
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(port) if port > 0 => port,
            _ => return error(PORT, NUMBER),
        },
        _ => {
            return error(
                PORT,
                format!("{NUMBER}, and user and password before an `@`"),
            );
        }
    };
    let help = "write letters, digits, `-`, `.` and `_` only";
    let is_good = address.starts_with('[') || is_host(&host);
    ensure(is_good, "has a bad host name", help)?;
    Ok((host, port))
}

/// An IPv6 address, with a zone if one is given: `%25eth0` as in RFC 6874, or `%eth0` as everywhere else.
fn parse_ipv6(text: &str) -> Result<String, UrlError> {
    let (address, zone) = split(text, '%');
    let Ok(parsed) = address.parse::<Ipv6Addr>() else {
        let what = "has no IPv6 address between its brackets";
        return error(what, "write for example [::1]:5672");
    };
    let Some(zone) = zone else {
        let what = "has a link-local address without its interface";
        let is_good = !parsed.is_unicast_link_local();
        ensure(is_good, what, "write for example [fe80::1%25eth0]")?;
        return Ok(address.to_owned());
    };
    let escaped = zone.strip_prefix("25").filter(|zone| !zone.is_empty());
    let zone = escaped.unwrap_or(zone);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_good = (1..=MAX_ZONE).contains(&zone.len()) && zone.bytes().all(plain);
    let help = "write an interface's name or number, for example [fe80::1%25eth0]";
    ensure(is_good, "has a bad zone after its IPv6 address", help)?;
    Ok(format!("{address}%{zone}"))
}

fn parse_user_info(user_info: Option<&str>) -> Result<(String, Option<Secret>), UrlError> {
    let Some(user_info) = user_info else {
        return Ok(("guest".into(), Some(Secret::new("guest"))));
    };
    let (user, password) = split(user_info, ':');
    let password = password.map(decode).transpose()?;
    let user = decode(user)?;
    let help = "write one before the `@`, or remove the `@`";
    ensure(!user.is_empty(), "has an empty user name", help)?;
    Ok((user, password.map(Secret::new)))
}

fn parse_vhost(path: Option<&str>) -> Result<String, UrlError> {
    let Some(path) = path else {
        return Ok("/".into());
    };
    let help = "remove that `/`, or write /%2f for the default vhost";
    ensure(
        !path.is_empty(),
        "ends with `/`, which means the empty vhost",
        help,
    )?;
    let help = "write %2f for it, the default vhost is /%2f";
    ensure(!path.contains('/'), "has a raw `/` in the vhost", help)?;
    let vhost = decode(path)?;
    ensure(
        vhost.len() <= 255,
        "has a vhost longer than 255 bytes",
        "shorten it",
    )?;
    Ok(vhost)
}

fn decode(text: &str) -> Result<String, UrlError> {
    let is_code = |code: &[u8]| code.iter().all(u8::is_ascii_hexdigit);
    let is_escape = |escape: &str| escape.as_bytes().get(..2).is_some_and(is_code);
    let is_good = text.split('%').skip(1).all(is_escape);
    ensure(
        is_good,
        "has a `%` without two hex digits",
        "write %25 for a plain `%`",
    )?;
    let Ok(decoded) = percent_encoding::percent_decode_str(text).decode_utf8() else {
        let what = "has percent codes that are not UTF-8";
        return error(what, "encode the UTF-8 bytes of each character");
    };
    // AMQP's PLAIN login separates user and password by NUL.
    ensure(!decoded.contains('\0'), "contains a NUL (%00)", "remove it")?;
    Ok(decoded.into_owned())
}
