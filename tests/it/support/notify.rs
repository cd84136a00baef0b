//! The receiving end of systemd's notification protocol.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::{guard, until};

/// A notification socket, and what arrived on it. Read all the time, as systemd does: a few datagrams
/// that nobody reads would hold up who sends them.
pub struct Notify {
    path: PathBuf,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    _folder: TempDir,
}

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<String>>,
    ended: AtomicBool,
}

impl Notify {
    /// Makes the socket.
    pub fn new() -> Self {
        // Not below target/: a socket's path has at most 107 bytes.
        let folder = tempfile::tempdir().expect("a temporary folder");
        guard::watch_folder(folder.path());
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        let turn = Duration::from_millis(50);
        socket
            .set_read_timeout(Some(turn))
            .expect("a socket option");
        let shared = Arc::new(Shared::default());
        let reader = std::thread::spawn({
            let shared = shared.clone();
            move || shared.read(&socket)
        });
        Self {
            path,
            shared,
            reader: Some(reader),
            _folder: folder,
        }
    }

    /// What to put into `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every datagram so far.
    pub fn all(&self) -> Vec<String> {
        self.shared.received.lock().unwrap().clone()
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

    /// Waits until, after the first `from` datagrams, there was one whose `STATUS` contains `pattern`;
    /// returns how many there are up to it, and that `STATUS`.
    pub fn wait_for_status_from(
        &self,
        from: usize,
        pattern: &str,
        limit: Duration,
    ) -> (usize, String) {
        until(limit, &format!("STATUS with {pattern:?}"), || {
            let all = self.shared.received.lock().unwrap();
            let mut later = all.iter().enumerate().skip(from);
            later.find_map(|(index, datagram)| {
                let status = status(datagram)?;
                let found = status.contains(pattern);
                found.then(|| (index + 1, status.to_owned()))
            })
        })
    }

    /// How often a session began: `STATUS` said that it connects, and then that it consumes.
    pub fn sessions(&self) -> u64 {
        let mut connecting = false;
        let mut sessions = 0;
        for status in self.all().iter().filter_map(|datagram| status(datagram)) {
            if status.starts_with("connecting to broker") {
                connecting = true;
            } else if status.starts_with("consuming ") && connecting {
                connecting = false;
                sessions += 1;
            }
        }
        sessions
    }
}

impl Shared {
    fn read(&self, socket: &UnixDatagram) {
        let mut buffer = [0; 4096];
        while !self.ended.load(Ordering::Relaxed) {
            if let Ok(length) = socket.recv(&mut buffer) {
                let datagram = String::from_utf8_lossy(&buffer[..length]).into_owned();
                self.received.lock().unwrap().push(datagram);
            }
        }
    }
}

impl Drop for Notify {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn status(datagram: &str) -> Option<&str> {
    let mut lines = datagram.lines();
    lines.find_map(|line| line.strip_prefix("STATUS="))
}
