//! The receiving end of systemd's notification protocol.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;

use super::{guard, until};

/// A notification socket, and what arrived on it.
pub struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
    received: Mutex<Vec<String>>,
    _folder: TempDir,
}

impl Notify {
    /// Makes the socket.
    pub fn new() -> Self {
        // Not below target/: a socket's path has at most 107 bytes.
        let folder = tempfile::tempdir().expect("a temporary folder");
        guard::watch_folder(folder.path());
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("a socket option");
        Self {
            socket,
            path,
            received: Mutex::default(),
            _folder: folder,
        }
    }

    /// What to put into `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every datagram so far.
    pub fn all(&self) -> Vec<String> {
        let mut received = self.received.lock().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            received.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        received.clone()
    }

    /// The latest value of an assignment such as `STATUS`.
    pub fn last(&self, key: &str) -> Option<String> {
        let all = self.all();
        let mut values = all.iter().flat_map(|datagram| datagram.lines()).rev();
        values.find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(Into::into))
    }

    /// Waits until some datagram has had the line `line`, such as `READY=1`.
    pub fn wait_for(&self, line: &str, limit: Duration) {
        until(limit, line, || {
            let mut all = self.all().into_iter();
            all.find(|datagram| datagram.lines().any(|one| one == line))
        });
    }

    /// Waits until the latest `STATUS` contains `pattern`, and returns it.
    pub fn wait_for_status(&self, pattern: &str, limit: Duration) -> String {
        until(limit, &format!("STATUS with {pattern:?}"), || {
            self.last("STATUS")
                .filter(|status| status.contains(pattern))
        })
    }
}
