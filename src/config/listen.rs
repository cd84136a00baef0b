//! Where the telemetry endpoint listens: an IP address and port, a local socket, or nowhere. Pure.

use super::fault::{Fault, fault};
use super::wrong::{Refusal, ensure, listen as wrong};
use serde::{Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// What the path of a local socket begins with.
const UNIX: &str = "unix:";

/// The longest path of a local socket: `sun_path` without the NUL byte at its end, see unix(7).
const MAX_PATH: usize = 107;

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Listen {
    /// There is no endpoint.
    #[default]
    Off,
    /// TCP.
    Tcp(SocketAddr),
    /// A local socket with this path.
    Unix(PathBuf),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => Ok(()),
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The address that a text names; empty: none.
pub(super) fn listen(text: &str) -> Result<Listen, Fault> {
    if text.is_empty() {
        return Ok(Listen::Off);
    }
    if let Some(path) = text.strip_prefix(UNIX) {
        return socket_path(path);
    }
    let address: SocketAddr = text.parse().map_err(|_| not_an_address(text))?;
    ensure(address.port() != 0, wrong::PORT_ZERO)?;
    Ok(Listen::Tcp(address))
}

fn socket_path(path: &str) -> Result<Listen, Fault> {
    // systemd and browsers write unix:///run/x.
    let path = path.strip_prefix("//").unwrap_or(path);
    let is_plain = path.starts_with('/') && !path.ends_with('/');
    ensure(is_plain && !path.contains(char::is_control), wrong::SOCKET)?;
    let length = path.len();
    if length > MAX_PATH {
        let what = format!("has a path of {length} bytes, and sockets allow {MAX_PATH}");
        return Err(fault(what, "choose a shorter one"));
    }
    Ok(Listen::Unix(path.into()))
}

/// What is wrong with a text that is not an address.
fn not_an_address(text: &str) -> Refusal {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match text {
        _ if bare.parse::<IpAddr>().is_ok() => wrong::NO_PORT,
        _ if text.starts_with(':') || text.parse::<u16>().is_ok() => wrong::NO_ADDRESS,
        _ if text.contains("://") => wrong::URL,
        _ if text.starts_with('/') => wrong::NO_UNIX,
        _ if text.starts_with("localhost") => wrong::LOCALHOST,
        _ => wrong::OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown() {
        for text in [
            "",
            "127.0.0.1:9464",
            "0.0.0.0:1",
            "[::1]:65535",
            "[::]:9464",
            "unix:/run/fibrpcd/telemetry.sock",
        ] {
            assert_eq!(listen(text).unwrap().to_string(), text);
        }
        let same = listen("unix:///run/x").unwrap();
        assert_eq!(same, Listen::Unix("/run/x".into()));
        assert_eq!(listen("").unwrap(), Listen::Off);
    }

    #[test]
    fn each_mistake_is_named_with_its_remedy() {
        let long = format!("unix:/{}", "x".repeat(107));
        for (text, what, remedy) in [
            ("127.0.0.1", "has no port", "127.0.0.1:9464"),
            ("::1", "has no port", "[::1]:9464"),
            ("[::1]", "has no port", "[::1]:9464"),
            (":9464", "has no address", "all addresses"),
            ("9464", "has no address", "all addresses"),
            ("127.0.0.1:0", "must have a port", "9464"),
            ("127.0.0.1:65536", "must be an IP address", "9464"),
            ("localhost:9464", "must be an IP address", "[::1]:9464"),
            ("http://127.0.0.1:9464", "must be an IP address", "only"),
            ("/run/x.sock", "must be an IP address", "\"unix:\" before"),
            ("unix:", "absolute path", "telemetry.sock"),
            ("unix:x.sock", "absolute path", "telemetry.sock"),
            ("unix:/run/x/", "absolute path", "telemetry.sock"),
            ("unix:/a\nb", "absolute path", "telemetry.sock"),
            ("unix:@x", "absolute path", "telemetry.sock"),
            (&long, "path of 108 bytes", "shorter"),
        ] {
            let fault = listen(text).unwrap_err();
            assert!(fault.what.contains(what), "{text}: {}", fault.what);
            assert!(fault.help.contains(remedy), "{text}: {}", fault.help);
        }
    }
}
