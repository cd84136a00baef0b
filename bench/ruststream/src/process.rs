//! The servers as processes: how they are started, and what the kernel knows about them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// How to start a server.
pub struct Program {
    pub name: &'static str,
    pub queue: &'static str,
    path: String,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Program {
    /// `examples/price.rs`.
    pub fn fibrpc(port: u16, path: &str) -> Self {
        Self {
            name: "fibrpc",
            queue: "prices",
            path: path.to_owned(),
            arguments: vec![url(port)],
            environment: Vec::new(),
        }
    }

    /// `server.rs` of this folder, also with automatic recovery, which is off by default.
    pub fn ruststream(port: u16, path: &str, recovers: bool) -> Self {
        let mut environment = vec![("AMQP_URL", url(port))];
        if recovers {
            environment.push(("RECOVER", "yes".to_owned()));
        }
        Self {
            name: if recovers {
                "RustStream, recovery on"
            } else {
                "RustStream"
            },
            queue: "ruststream",
            path: path.to_owned(),
            arguments: vec!["run".to_owned()],
            environment,
        }
    }
}

fn url(port: u16) -> String {
    format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
}

/// A running server, killed when it is dropped.
pub struct Server(Child);

impl Server {
    pub fn start(program: &Program) -> io::Result<Self> {
        Command::new(&program.path)
            .args(&program.arguments)
            .envs(program.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }

    /// Kills it, if it has not ended already.
    pub fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Its open sockets, by inode.
    pub fn sockets(&self) -> io::Result<BTreeSet<String>> {
        let mut sockets = BTreeSet::new();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.0.id()))? {
            // A descriptor may be closed meanwhile.
            if let Ok(target) = fs::read_link(entry?.path()) {
                let target = target.to_string_lossy().into_owned();
                if target.starts_with("socket:") {
                    sockets.insert(target);
                }
            }
        }
        Ok(sockets)
    }

    /// Processor time of all its threads so far.
    pub fn processor_time(&self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // After the name in parentheses: state, and utime and stime eleven fields later.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut fields = fields.split_whitespace().skip(11);
        let mut ticks = || fields.next()?.parse::<u64>().ok();
        let ticks = ticks().unwrap_or(0) + ticks().unwrap_or(0);
        Ok(Duration::from_millis(
            ticks * 1_000 / rustix::param::clock_ticks_per_second(),
        ))
    }

    /// Most resident memory so far, in MiB.
    pub fn peak_memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.unwrap_or(0) / 1_024)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
