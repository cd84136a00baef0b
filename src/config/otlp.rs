//! Values of the section `telemetry.otlp`: the address of a collector, and the share of traces to sample. Pure.

use super::fault::Fault;
use super::kinds::{Kind, typed};
use super::url::{address, digits, is_host, parse_port};
use super::wrong::{collector as wrong, ensure, value};
use std::fmt;
use std::net::Ipv6Addr;
use toml::Value;

/// The path of traces, which follows that of the collector (OTLP specification, "Endpoint URLs for OTLP/HTTP").
const TRACES: &str = "/v1/traces";

/// The address of a collector: `http://HOST[:PORT][/PATH]`, or `https`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector {
    /// Whether the connection is encrypted.
    pub https: bool,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port; without one in the URL, 80 or 443.
    pub port: u16,
    /// The path, empty or with a leading `/`.
    pub path: String,
}

impl Collector {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        ensure(
            is_plain && !text.contains(['"', '<', '>', '\\']),
            wrong::CHARACTER,
        )?;
        let (https, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong::SCHEME.into()),
        };
        ensure(!rest.contains(['?', '#']), wrong::QUERY)?;
        ensure(!rest.contains('@'), wrong::USER)?;
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match address.strip_prefix('[') {
            Some(literal) => literal.split_once(']').unwrap_or_default(),
            None => address.split_at(address.find(':').unwrap_or(address.len())),
        };
        let is_ipv6 = host.parse::<Ipv6Addr>().is_ok();
        ensure(is_ipv6 || !address.starts_with('['), wrong::IPV6)?;
        ensure(is_host(host), wrong::HOST)?;
        let port = match port {
            "" if https => 443,
            "" => 80,
            port => digits(port).and_then(parse_port).ok_or(wrong::PORT)?,
        };
        Ok(Self {
            https,
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }

    /// The address to which this collector's traces are sent.
    #[must_use]
    pub fn traces(&self) -> Self {
        Self {
            path: self.path.clone() + TRACES,
            ..self.clone()
        }
    }

    /// `host:port`, IPv6 in brackets.
    pub fn address(&self) -> String {
        address(&self.host, self.port)
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.address(), self.path)
    }
}

impl serde::Serialize for Collector {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// For the key: a collector, or none.
pub(super) fn collector(text: &str) -> Result<Option<Collector>, Fault> {
    Collector::parse(text).map(Some)
}

/// A share from 0 to 1, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(1_000_000);

    /// The nearest one to a number from 0 to 1.
    pub fn of(number: f64) -> Option<Self> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 1000000"
        )]
        (0.0..=1.0)
            .contains(&number)
            .then(|| Self((number * 1e6).round() as u32))
    }

    /// As a number from 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1e6
    }
}

impl serde::Serialize for Share {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.as_f64())
    }
}

/// A share, written as a number from 0 to 1.
pub(super) struct Fraction;

impl Kind for Fraction {
    type Of = Share;
    const FROM_TEXT: fn(&str) -> Value = typed::<f64>;

    fn parse(&self, given: &Value) -> Result<Share, Fault> {
        let number = match given {
            Value::Float(number) => Some(*number),
            Value::Integer(0) => Some(0.0),
            Value::Integer(1) => Some(1.0),
            _ => None,
        };
        Ok(number.and_then(Share::of).ok_or(value::SHARE)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_read_and_shown() {
        for (text, shown, traces) in [
            (
                "http://127.0.0.1:4318",
                "http://127.0.0.1:4318",
                "http://127.0.0.1:4318/v1/traces",
            ),
            ("http://h", "http://h:80", "http://h:80/v1/traces"),
            ("https://h/", "https://h:443", "https://h:443/v1/traces"),
            (
                "https://h:1/a/b/",
                "https://h:1/a/b",
                "https://h:1/a/b/v1/traces",
            ),
            (
                "http://[::1]:4318/x",
                "http://[::1]:4318/x",
                "http://[::1]:4318/x/v1/traces",
            ),
        ] {
            let collector = Collector::parse(text).unwrap();
            assert_eq!(collector.to_string(), shown, "{text}");
            assert_eq!(collector.traces().to_string(), traces, "{text}");
            assert_eq!(Collector::parse(shown).unwrap(), collector, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_collector_is_refused() {
        for (text, what) in [
            ("", "must start with"),
            ("127.0.0.1:4318", "must start with"),
            ("grpc://h:4317", "must start with"),
            ("HTTP://h", "must start with"),
            ("http://", "bad host"),
            ("http:///x", "bad host"),
            ("http://:4318", "bad host"),
            ("http://h:", "bad port"),
            ("http://h:0", "bad port"),
            ("http://h:65536", "bad port"),
            ("http://h:+80", "bad port"),
            ("http://::1", "bad host"),
            ("http://[::1", "IPv6"),
            ("http://[h]:1", "IPv6"),
            ("http://[::1]4318", "bad port"),
            ("http://u:p@h", "contains an `@`"),
            ("http://h/a?b=c", "contains a `?`"),
            ("http://h/a#b", "contains a `?`"),
            ("http://h/a b", "a character"),
            ("http://h/\u{e9}", "a character"),
            ("http://h/a\r\nx: y", "a character"),
        ] {
            let fault = Collector::parse(text).unwrap_err().to_string();
            assert!(fault.contains(what), "{text}: {fault}");
        }
    }

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        let read = |value: Value| Fraction.read(&value).ok().map(Share::as_f64);
        for (value, expect) in [
            (Value::from(0), Some(0.0)),
            (Value::from(1), Some(1.0)),
            (Value::from(0.25), Some(0.25)),
            (Value::from(0.000_001), Some(0.000_001)),
            (Value::from(2), None),
            (Value::from(-0.1), None),
            (Value::from(1.1), None),
            (Value::from(f64::NAN), None),
            (Value::from("0.5"), None),
        ] {
            assert_eq!(read(value.clone()), expect, "{value}");
        }
        assert_eq!(read(Fraction.value_of(" 0.5 ")), Some(0.5));
        assert_eq!(read(Fraction.value_of("half")), None);
        assert_eq!(
            Fraction.show(&Share::of(0.1).unwrap()),
            Some(Value::from(0.1))
        );
    }
}
