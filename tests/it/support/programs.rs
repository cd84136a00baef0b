//! The programs under test, and the Python programs of the tutorial.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Output, Process};
use super::tools::python_with_pika;
use super::{Broker, Notify, guard};

/// The name of configuration files.
const FILE: &str = "fibrpc.toml";

/// A configuration file in the making: dotted keys and TOML values.
#[derive(Debug, Clone, Default)]
pub struct Settings(BTreeMap<String, toml::Value>);

impl Settings {
    /// The broker and virtual host to use, and the defaults.
    pub fn new(broker: &Broker, vhost: &str) -> Self {
        Self::at(&broker.url(vhost))
    }

    /// Like [`Settings::new`], for any URL.
    pub fn at(url: &str) -> Self {
        Self::default().set("broker.url", url)
    }

    /// Sets one key, such as `queue.type`.
    pub fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Self {
        self.0.insert(key.into(), value.into());
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let line = |(key, value)| format!("{key} = {value}\n");
        self.0.iter().map(line).collect()
    }
}

/// A running `fibrpcd`, killed when dropped.
pub struct Daemon {
    process: Process,
    folder: TempDir,
}

impl Daemon {
    /// Starts the daemon; returns at once.
    pub fn start(settings: &Settings) -> Self {
        Self::start_with(settings, |_| {})
    }

    /// Starts the daemon with `NOTIFY_SOCKET` set.
    pub fn start_notifying(settings: &Settings, notify: &Notify) -> Self {
        Self::start_with(settings, |command| {
            command.env("NOTIFY_SOCKET", notify.path());
        })
    }

    /// Starts the daemon after `change` has seen the command.
    pub fn start_with(settings: &Settings, change: impl FnOnce(&mut Command)) -> Self {
        let folder = temporary_folder("daemon-");
        let mut command = program(env!("CARGO_BIN_EXE_fibrpcd"), folder.path());
        command.arg("--config").arg(write(settings, folder.path()));
        change(&mut command);
        Self {
            process: Process::start(&mut command, b""),
            folder,
        }
    }

    /// Its configuration file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join(FILE)
    }

    /// Replaces its configuration file, and sends SIGHUP.
    pub fn reload(&self, settings: &Settings) {
        write(settings, self.folder.path());
        self.signal("HUP");
    }

    /// Starts the daemon and waits until it consumes from `rpc_queue` or what `queue.name` says, and knows and says so. The
    /// broker knows it a moment earlier.
    pub fn start_consuming(broker: &Broker, vhost: &str, settings: &Settings) -> Self {
        let daemon = Self::start(settings);
        let queue = settings.0.get("queue.name").and_then(toml::Value::as_str);
        let queue = queue.unwrap_or("rpc_queue");
        broker.wait_for_depth(vhost, queue, super::SOON, |depth| depth.consumers > 0);
        daemon.wait_for_line(&format!("consuming {queue}"), super::SOON);
        daemon
    }
}

impl Deref for Daemon {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl DerefMut for Daemon {
    fn deref_mut(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// A run of `fibrpc` in the making.
pub struct Fibrpc {
    command: Command,
    input: Vec<u8>,
    folder: TempDir,
}

impl Fibrpc {
    /// With a configuration file.
    pub fn new(settings: &Settings) -> Self {
        let mut fibrpc = Self::bare();
        let file = write(settings, fibrpc.folder.path());
        fibrpc.command.arg("--config").arg(file);
        fibrpc
    }

    /// Without any configuration.
    pub fn bare() -> Self {
        let folder = temporary_folder("client-");
        Self {
            command: program(env!("CARGO_BIN_EXE_fibrpc"), folder.path()),
            input: Vec::new(),
            folder,
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// What comes on standard input; nothing otherwise.
    pub fn stdin(mut self, input: &[u8]) -> Self {
        self.input = input.to_vec();
        self
    }

    /// Runs it to its end; kills and panics after `limit`.
    pub fn run(self, limit: Duration) -> Output {
        let (process, _folder) = self.start();
        process.output(limit)
    }

    /// Starts it on these ends. Its configuration is deleted with the second value.
    pub fn start_with(
        mut self,
        stdin: impl Into<Stdio>,
        stdout: impl Into<Stdio>,
    ) -> (Process, TempDir) {
        let process = Process::start_with(&mut self.command, stdin.into(), stdout.into());
        (process, self.folder)
    }

    /// Starts it. Its configuration is deleted with the second value.
    pub fn start(mut self) -> (Process, TempDir) {
        (Process::start(&mut self.command, &self.input), self.folder)
    }
}

/// One of `examples/*.rs`, which are built with the tests.
pub fn example(name: &str) -> Command {
    let tests = std::env::current_exe().expect("we run");
    let programs = tests.ancestors().nth(2).expect("target/debug/deps/it");
    Command::new(programs.join("examples").join(name))
}

/// Starts one of `tests/fixtures/*.py`.
pub fn python(script: &str, broker: &Broker, vhost: &str, arguments: &[&str]) -> Process {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut command = Command::new(*PYTHON);
    command
        .arg("-u")
        .arg(fixtures.join(script))
        .args(["--port", &broker.port().to_string(), "--vhost", vhost])
        .args(arguments);
    Process::start(&mut command, b"")
}

static PYTHON: LazyLock<&str> = LazyLock::new(|| {
    python_with_pika().expect("Python with pika; a test that needs it asks `lacks_pika` first")
});

/// A program with nothing of our environment but the path.
fn program(path: &str, home: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("HOME", home);
    for name in ["PATH", "LLVM_PROFILE_FILE", "RUST_BACKTRACE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn write(settings: &Settings, folder: &Path) -> PathBuf {
    let file = folder.join(FILE);
    std::fs::write(&file, settings.text()).expect("a file in a temporary folder");
    // There may be a password in it, of which the programs would warn.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&file, private).expect("it is ours");
    file
}

fn temporary_folder(prefix: &str) -> TempDir {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(parent);
    let folder = folder.expect("a temporary folder");
    guard::watch_folder(folder.path());
    folder
}
