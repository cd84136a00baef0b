//! The client's side of health: asks the endpoint of a running daemon.

use crate::config::Listen;
use crate::text::{duration, safe};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{sleep, timeout};

/// How long to wait for an answer, tries included.
const LIMIT: Duration = Duration::from_secs(2);

/// How long to wait after a connection that others have driven out.
const PAUSE: Duration = Duration::from_millis(20);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 16 << 10;

/// What to ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProbeKind {
    /// Whether the server makes progress.
    Live,
    /// Whether it answers requests.
    Ready,
}

impl ProbeKind {
    fn path(self) -> &'static str {
        match self {
            Self::Live => "/healthz",
            Self::Ready => "/readyz",
        }
    }
}

/// What the daemon whose endpoint listens here says of its condition, in one line; an error if it is bad, or if there is none.
pub(crate) fn probe(at: &Listen, kind: ProbeKind) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("cannot start the runtime: {error}"))?;
    let answer = runtime.block_on(async { timeout(LIMIT, ask(at, kind)).await });
    match answer {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer from {at} within {}", duration(LIMIT))),
    }
}

/// Asks until there is an answer, or an error that stays.
async fn ask(at: &Listen, kind: ProbeKind) -> Result<String, String> {
    loop {
        match ask_once(at, kind).await {
            Ok(answer) if answer.is_empty() => {}
            Ok(answer) => return read_answer(&answer),
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                return Err(format!(
                    "cannot ask the daemon at {at}: {}; is it running, with this telemetry.listen?",
                    explain(&error)
                ));
            }
        }
        sleep(PAUSE).await;
    }
}

fn explain(error: &io::Error) -> String {
    use io::ErrorKind::{ConnectionRefused, NotFound, PermissionDenied};
    match error.kind() {
        ConnectionRefused => "connection refused".into(),
        NotFound => "no such socket".into(),
        PermissionDenied => "permission denied".into(),
        _ => safe(&error.to_string()).into_owned(),
    }
}

/// Whether the endpoint has too many connections for a moment.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, WouldBlock};
    matches!(error.kind(), BrokenPipe | ConnectionReset | WouldBlock)
}

async fn ask_once(at: &Listen, kind: ProbeKind) -> io::Result<String> {
    match at {
        Listen::Off => Err(io::ErrorKind::AddrNotAvailable.into()),
        Listen::Tcp(address) => {
            exchange(TcpStream::connect(reachable(*address)).await?, kind).await
        }
        Listen::Unix(path) => exchange(UnixStream::connect(path).await?, kind).await,
    }
}

/// The address to connect to, for one to listen at.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    kind: ProbeKind,
) -> io::Result<String> {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        kind.path()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The first line of the body, by the status of the answer.
fn read_answer(answer: &str) -> Result<String, String> {
    let status = answer
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    let line = body.and_then(|body| body.lines().next());
    match (status, line) {
        (Some("200"), Some(line)) => Ok(safe(line).into_owned()),
        (Some("503"), Some(line)) => Err(safe(line).into_owned()),
        _ => Err(
            "something else answers at telemetry.listen; configure an address of its own".into(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_and_the_body_explains() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nx: y\r\n\r\nlive\n", Ok("live")),
            (
                "HTTP/1.1 503 x\r\n\r\nnot ready: a\u{1b}b\nc",
                Err(r"not ready: a\u{1b}b"),
            ),
            ("HTTP/1.1 404 Not Found\r\n\r\nx", Err("something else")),
            ("SSH-2.0-OpenSSH\r\n", Err("something else")),
            ("HTTP/1.1 20", Err("something else")),
        ] {
            let found = read_answer(answer);
            assert_eq!(found.is_ok(), expected.is_ok(), "{answer}");
            let (Ok(found) | Err(found)) = found;
            let (Ok(expected) | Err(expected)) = expected;
            assert!(found.starts_with(expected), "{answer}: {found}");
        }
    }

    #[test]
    fn one_asks_this_machine_if_all_addresses_are_listened_at() {
        for (at, asked) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("192.0.2.1:1", "192.0.2.1:1"),
        ] {
            assert_eq!(reachable(at.parse().unwrap()).to_string(), asked);
        }
    }
}
