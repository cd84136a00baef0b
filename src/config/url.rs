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
    /// Host name or address; IPv6 without brackets.
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

    /// Whether the broker is on this machine, as far as the host tells.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse::<IpAddr>();
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
        text + "@" + &self.address() + "/" + &encode(&self.vhost)
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
    let (host, port) = match address.strip_prefix('[') {
        Some(literal) => {
            let Some((host, port)) = literal.split_once(']') else {
                return error("has a `[` without a `]`", "write IPv6 as [::1]:5672");
            };
            if host.parse::<Ipv6Addr>().is_err() {
                return error(
                    "has no IPv6 address between its brackets",
                    "write for example [::1]:5672",
                );
            }
            (host, port)
        }
        None => address.split_at(address.find(':').unwrap_or(address.len())),
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
    if !is_host(host) {
        return error(
            "has a bad host name",
            "write letters, digits, `-`, `.` and `_` only",
        );
    }
    Ok((host.to_owned(), port))
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
mod tests {
    use super::{BrokerUrl, Scheme};

    fn parse(text: &str) -> BrokerUrl {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_left_out_has_defaults() {
        for text in [
            "amqp://localhost",
            "AMQP://localhost:5672/%2f",
            "amqp://guest:guest@localhost",
        ] {
            assert_eq!(parse(text), BrokerUrl::default(), "{text}");
        }
        for (text, default_login) in [
            ("amqp://guest:guest@h", true),
            ("amqp://guest:other@h", false),
            ("amqp://guest@h", false),
            ("amqps://h", true),
            ("amqps://guest:guest@h", false),
        ] {
            assert_eq!(parse(text).default_login, default_login, "{text}");
        }
        assert_eq!(parse("amqps://h").port, 5671);
    }

    #[test]
    #[rustfmt::skip]
    fn all_parts() {
        for (text, user, password, address, vhost) in [
            ("amqp://u:p@h:1/v", "u", Some("p"), "h:1", "v"),
            ("amqp://a%40b:p%23%2F%3f%25%3a@h/a%2fb", "a@b", Some("p#/?%:"), "h:5672", "a/b"),
            ("amqp://u:p:q@h", "u", Some("p:q"), "h:5672", "/"),
            ("amqp://u:@h", "u", Some(""), "h:5672", "/"),
            ("amqp://u@h", "u", None, "h:5672", "/"),
            ("amqp://u:%c3%a9@h/%c3%a9", "u", Some("é"), "h:5672", "é"),
            ("amqp://u:p@[::1]:7/v", "u", Some("p"), "[::1]:7", "v"),
            ("amqp://[2001:db8::2]", "guest", Some("guest"), "[2001:db8::2]:5672", "/"),
            ("amqp://192.0.2.1:65535", "guest", Some("guest"), "192.0.2.1:65535", "/"),
            ("amqp://rabbit_1.mq-2.example", "guest", Some("guest"), "rabbit_1.mq-2.example:5672", "/"),
        ] {
            let url = parse(text);
            assert_eq!(url.scheme, Scheme::Amqp, "{text}");
            assert_eq!(url.user, user, "{text}");
            assert_eq!(
                url.password.as_ref().map(super::Secret::expose),
                password,
                "{text}"
            );
            assert_eq!(
                (url.address(), url.to_string()),
                (address.into(), address.into()),
                "{text}"
            );
            assert_eq!(url.vhost, vhost, "{text}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_refused_and_what_to_do() {
        for (text, words) in [
            ("", "is empty; write for example"),
            ("localhost", "has no scheme"),
            ("guest:guest@localhost", "has no scheme"),
            ("http://h:15672", "management interface; AMQP is at amqp://HOST:5672"),
            ("amqp+ssl://h", "must start with amqp:// or amqps://; did you mean amqps://"),
            ("rabbit://h", "did you mean amqp://?"),
            ("amqp://u:k4n#ary@h", "raw `#` in it; inside a user name, password or vhost write %23"),
            ("amqp://u:k4n@ary@h", "raw `@` in it; inside a user name, password or vhost write %40"),
            ("amqp://u:k4n/ary@h", "raw `/` in it; inside a user name, password or vhost write %2f"),
            ("amqp://u:k4n?ary@h", "raw `?` in it; inside a user name, password or vhost write %3f"),
            ("amqp://u:k4n ary@h", "percent-encode it"),
            ("amqp://u:k4nàry@h", "percent-encode it"),
            ("amqp://u:k4nary%@h", "write %25"),
            ("amqp://u:k4nary%zz@h", "write %25"),
            ("amqp://u:k4nary%é@h", "percent-encode it"),
            ("amqp://u:k4nary%ff@h", "not UTF-8"),
            ("amqp://u:k4nary%00@h", "NUL"),
            ("amqp://:k4nary@h", "empty user"),
            ("amqp://@h", "empty user"),
            ("amqp://h/", "empty vhost with its last `/`; leave that `/` out or write /%2f"),
            ("amqp://h//", "raw `/` in the vhost; write %2f"),
            ("amqp://h/a/b", "raw `/` in the vhost"),
            ("amqp://", "names no host"),
            ("amqp:///v", "names no host"),
            ("amqp://u:k4nary@", "names no host"),
            ("amqp://u:k4nary", "bad port; write a number from 1 to 65535, and user and password before"),
            ("amqp://h:0", "bad port"),
            ("amqp://h:65536", "bad port"),
            ("amqp://h:", "bad port"),
            ("amqp://h:+1", "bad port"),
            ("amqp://::1", "more than one `:` in host and port; write an IPv6 address in brackets"),
            ("amqp://[::1", "`[` without a `]`"),
            ("amqp://[h]", "no IPv6 address between"),
            ("amqp://[::1]x", "bad port"),
            ("amqp://h%41", "bad host name"),
            ("amqp://h?heartbeat=5", "the query parameter `heartbeat`; set broker.heartbeat"),
            ("amqps://h/v?cacertfile=/x", "set broker.tls.ca_file"),
            ("amqps://h/v?k4nary=/x", "query parameters are not used here"),
        ] {
            let error = text.parse::<BrokerUrl>().expect_err(text).to_string();
            assert!(error.contains(words), "{text}: {error}");
            assert!(
                !error.contains("k4n") && !error.contains("ary"),
                "{text}: {error}"
            );
        }
        let long = format!("amqp://h/{}", "v".repeat(256));
        assert!(long.parse::<BrokerUrl>().is_err());
        assert!(long[..long.len() - 1].parse::<BrokerUrl>().is_ok());
    }

    #[test]
    fn canonical_form_keeps_all_but_the_password() {
        assert_eq!(
            BrokerUrl::default().redacted(),
            "amqp://guest:guest@localhost:5672/%2f"
        );
        for (text, canonical) in [
            (
                "amqps://a%40b:k4nary@[::1]/x%2fy",
                "amqps://a%40b:***@[::1]:5671/x%2fy",
            ),
            ("amqp://U@H/V", "amqp://U@H:5672/V"),
            ("amqp://guest:k4nary@h", "amqp://guest:***@h:5672/%2f"),
            ("amqps://h", "amqps://h:5671/%2f"),
            ("amqps://guest:guest@h", "amqps://guest:guest@h:5671/%2f"),
        ] {
            let url = parse(text);
            assert_eq!(url.redacted(), canonical);
            let again = BrokerUrl {
                password: url.password.clone(),
                ..parse(canonical)
            };
            assert_eq!(again, url);
        }
    }
}
