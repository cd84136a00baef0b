//! A child process with its output captured, limits on every wait, and a certain end.
//!
//! It leads its own process group, which is killed when the value is dropped or the test process ends.
//! When a test panics, what the process had written to stderr is shown.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{SOON, guard};

/// What a finished process left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// From start to end.
    pub elapsed: Duration,
}

impl Output {
    /// The exit code; panics if a signal ended the process.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{self:?}"))
    }
}

/// A running child process.
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    started: Instant,
    stdout: Option<JoinHandle<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    stderr: Arc<Lines>,
}

impl Process {
    /// Starts `command` with `input` on its standard input.
    pub fn start(command: &mut Command, input: &[u8]) -> Self {
        let stdin = if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        };
        let mut process = Self::start_with(command, stdin, Stdio::piped());
        if let Some(mut stdin) = process.child.stdin.take() {
            let input = input.to_vec();
            // A process that ends without reading everything is no fault of the test.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        process
    }

    /// Starts `command` on these ends; what goes elsewhere than into a pipe of ours is not captured.
    pub fn start_with(command: &mut Command, stdin: Stdio, stdout: Stdio) -> Self {
        let started = Instant::now();
        let mut child = command
            .process_group(0)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        // The command would keep its ends of the test's pipes open.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        guard::watch_group(child.id());
        let stdout = child.stdout.take().map(|mut stdout| {
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = stdout.read_to_end(&mut bytes);
                bytes
            })
        });
        let stderr = Arc::new(Lines::default());
        let pipe = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let reader = std::thread::spawn({
            let lines = Arc::clone(&stderr);
            move || lines.read_from(pipe)
        });
        Self {
            name: command.get_program().to_string_lossy().into_owned(),
            child,
            status: None,
            started,
            stdout,
            reader: Some(reader),
            stderr,
        }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Sends a signal by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        assert!(self.status.is_none(), "{} has ended", self.name);
        send_signal(name, &self.pid().to_string());
    }

    /// Interrupts it, again and again until it ends if it is to hear that more than once; returns how long it took.
    pub fn interrupt(&mut self, again: bool) -> Duration {
        let began = Instant::now();
        self.signal("INT");
        super::until(SOON, "an end by SIGINT", || {
            if self.is_running() {
                again.then(|| self.signal("INT"));
                return None;
            }
            Some(began.elapsed())
        })
    }

    /// Waits for the end and for all that it wrote to stderr; kills and panics after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.poll() {
                // Its last lines may still be in the pipe.
                self.stderr.wait_for_end(limit);
                return status;
            }
            if Instant::now() > end {
                self.end();
                panic!("{} did not end within {limit:?}", self.name);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits for the end and collects what it wrote; kills and panics after `limit`.
    pub fn output(mut self, limit: Duration) -> Output {
        let status = self.wait(limit);
        let elapsed = self.started.elapsed();
        let stdout = self.stdout.take().map_or(Ok(Vec::new()), JoinHandle::join);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        Output {
            status,
            stdout: String::from_utf8(stdout.expect("the reader does not panic"))
                .expect("stdout is UTF-8"),
            stderr: self.stderr().join("\n"),
            elapsed,
        }
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.all()
    }

    /// Waits for a line on stderr that contains `pattern`, and returns it.
    pub fn wait_for_line(&self, pattern: &str, limit: Duration) -> String {
        self.wait_for_line_from(0, pattern, limit).1
    }

    /// Like [`Process::wait_for_line`], ignoring the first `start` lines; also returns where to go on.
    pub fn wait_for_line_from(
        &self,
        start: usize,
        pattern: &str,
        limit: Duration,
    ) -> (usize, String) {
        self.stderr
            .wait_for(start, pattern, limit)
            .unwrap_or_else(|| panic!("no {pattern:?} from {} within {limit:?}", self.name))
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let kib = self.proc_status("VmRSS:");
        kib * 1024
    }

    /// The most memory that was ever resident, in bytes.
    pub fn peak_resident(&self) -> u64 {
        self.proc_status("VmHWM:") * 1024
    }

    /// Processor time so far, of all threads.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()));
        let stat = stat.expect("it runs");
        // After the name, which may hold anything: state is the first, utime and stime are 12 and 13.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks = fields.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10) // 100 per second on every Linux
    }

    /// How often the threads with this name have waited so far.
    pub fn waits_of(&self, name: &str) -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it runs");
        // A thread may end in between.
        let statuses = threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("status")).ok());
        statuses
            .filter(|status| status.starts_with(&format!("Name:\t{name}\n")))
            .filter_map(|status| number_after(&status, "voluntary_ctxt_switches:"))
            .sum()
    }

    /// Number of threads.
    pub fn threads(&self) -> u64 {
        self.proc_status("Threads:")
    }

    /// Number of open file descriptors.
    pub fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        std::fs::read_dir(folder).expect("it runs").count()
    }

    fn proc_status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()));
        number_after(&status.expect("it runs"), key).expect("the key is there")
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("it is our child");
            if self.status.is_some() {
                guard::group_ended(self.pid());
            }
        }
        self.status
    }

    fn end(&mut self) {
        if self.poll().is_none() {
            send_signal("KILL", &format!("-{}", self.pid()));
            self.status = self.child.wait().ok();
            guard::group_ended(self.pid());
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- stderr of {} ({})", self.name, self.pid());
            eprintln!("{}", self.stderr().join("\n"));
        }
    }
}

/// The number after `key` in a file of `/proc` that has a line for each key.
fn number_after(status: &str, key: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    line?.split_whitespace().next()?.parse().ok()
}

/// `kill -s NAME TARGET`, by the shell's own: `unsafe` is forbidden, and kill(1) may be missing.
pub fn send_signal(name: &str, target: &str) {
    let script = r#"kill -s "$0" -- "$1""#;
    let status = Command::new("sh")
        .args(["-c", script, name, target])
        .status()
        .expect("sh starts");
    assert!(status.success(), "kill -s {name} {target}: {status}");
}

/// Lines as they arrive.
#[derive(Default)]
struct Lines {
    state: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Lines {
    fn read_from(&self, pipe: impl BufRead) {
        for line in pipe.split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            self.state.lock().unwrap().0.push(line);
            self.changed.notify_all();
        }
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    fn all(&self) -> Vec<String> {
        self.state.lock().unwrap().0.clone()
    }

    /// Until no more lines can come; for `limit` if something else keeps the pipe open.
    fn wait_for_end(&self, limit: Duration) {
        let state = self.state.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(state, limit, |(_, over)| !*over);
        drop(waited.unwrap());
    }

    fn wait_for(&self, start: usize, pattern: &str, limit: Duration) -> Option<(usize, String)> {
        let end = Instant::now() + limit;
        let mut state = self.state.lock().unwrap();
        loop {
            let (lines, over) = &*state;
            let mut new = lines.iter().enumerate().skip(start);
            if let Some((index, line)) = new.find(|(_, line)| line.contains(pattern)) {
                return Some((index + 1, line.clone()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if *over || left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}
