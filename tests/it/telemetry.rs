//! The telemetry endpoint of `fibrpcd`: what it shows, where it listens, and what any client can do to it.

mod hostile;
mod pages;
mod sockets;

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::support::{Broker, Daemon, SOON, Settings, until};

/// An address where nothing listens.
const NOBODY: &str = "amqp://127.0.0.1:1";

/// A folder for a local socket, and clients that connect to it.
struct Endpoint {
    folder: TempDir,
}

/// A response.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Endpoint {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("telemetry.sock")
    }

    fn listen(&self) -> String {
        format!("unix:{}", self.path().display())
    }

    /// These settings, with the endpoint switched on.
    fn on(&self, settings: Settings) -> Settings {
        settings.set("telemetry.listen", self.listen())
    }

    /// Connects as soon as somebody listens.
    fn connect(&self) -> UnixStream {
        let stream = until(SOON, "the endpoint listens", || {
            UnixStream::connect(self.path()).ok()
        });
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Sends this and reads to the end.
    fn send(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be closed before all is sent.
        let _ = stream.write_all(request);
        read_all(&mut stream)
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        answer(&self.send(request.as_bytes()))
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    /// Waits until a path is answered with this status.
    fn wait_for(&self, path: &str, status: u16) -> Answer {
        until(SOON, &format!("{path} is {status}"), || {
            let answer = self.get(path);
            (answer.status == status).then_some(answer)
        })
    }
}

/// Everything until the other side closes. A reset ends it as well.
fn read_all(stream: &mut UnixStream) -> String {
    let mut all = Vec::new();
    if let Err(error) = stream.read_to_end(&mut all) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    String::from_utf8(all).unwrap()
}

fn answer(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    Answer {
        status: status.parse().unwrap_or(0),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

/// The exit status of a probe, and what it says.
fn probe(settings: &Settings, what: &str) -> (i32, String) {
    let mut daemon = Daemon::start_with(settings, |command| {
        command.args(["--probe", what]);
    });
    let line = daemon.wait_for_line("fibrpcd: ", SOON);
    (daemon.wait(SOON).code().unwrap(), line)
}

fn consuming(broker: &Broker, vhost: &str, endpoint: &Endpoint) -> (Daemon, Settings) {
    let settings = endpoint.on(Settings::new(broker, vhost).set("queue.type", "classic"));
    let daemon = Daemon::start_consuming(broker, vhost, &settings);
    (daemon, settings)
}
