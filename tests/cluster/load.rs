//! Callers: streams through one long-running `fibrpc -`, and one process per number. Every value is checked.

use std::io::{BufRead, BufReader, Write, pipe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::ledger::fibonacci_numbers;
use crate::support::{Fibrpc, Process, Settings};

/// The right answers.
pub static NUMBERS: LazyLock<Vec<String>> = LazyLock::new(|| fibonacci_numbers(1000));

/// How long each call waits for its answer.
const TIMEOUT: &str = "5s";
/// From one number of a stream to the next.
const PACE: Duration = Duration::from_millis(20);
/// From one process to the next.
const ONE_SHOTS: Duration = Duration::from_millis(500);
/// What ending may take: the time of the calls that are left, and more.
const END: Duration = Duration::from_secs(60);

/// Ends a thread on request, and when it is dropped.
#[derive(Debug, Default)]
pub struct Stopped(Arc<AtomicBool>);

impl Stopped {
    /// Asks the thread to end.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// What the thread looks at.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A call and what came of it.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it was made.
    pub asked: Instant,
    /// When its outcome was there.
    pub over: Instant,
    /// Whether it was answered; if not, in the words of the program.
    pub outcome: Result<(), String>,
    /// Whether its value was another one than the right one.
    pub wrong: bool,
}

impl Call {
    /// From one line of `fibrpc --json` about `n`.
    fn read(n: usize, asked: Instant, line: &str) -> Self {
        let over = Instant::now();
        let said: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let value = said["value"].as_str();
        let outcome = match value {
            Some(_) => Ok(()),
            None => Err(line.to_owned()),
        };
        let wrong = value.is_some_and(|value| value != NUMBERS[n]);
        Self {
            asked,
            over,
            outcome,
            wrong,
        }
    }
}

/// The longest time without an answer, from the first answer to the end of the last call.
pub fn gap(calls: &[Call]) -> Duration {
    let answered = calls.iter().filter(|call| call.outcome.is_ok());
    let mut times: Vec<Instant> = answered.map(|call| call.over).collect();
    times.extend(calls.iter().map(|call| call.over).max());
    times.sort();
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    gaps.max().unwrap_or_default()
}

/// The time that the slowest answer took.
pub fn slowest(calls: &[Call]) -> Duration {
    let answered = calls.iter().filter(|call| call.outcome.is_ok());
    let times = answered.map(|call| call.over - call.asked);
    times.max().unwrap_or_default()
}

/// Fifty numbers per second through one `fibrpc -`.
pub struct Stream {
    process: Process,
    writer: JoinHandle<()>,
    reader: JoinHandle<Vec<Call>>,
    stop: Stopped,
    _folder: tempfile::TempDir,
}

impl Stream {
    /// Starts it; returns when the first answer is there.
    pub fn start(settings: &Settings) -> Self {
        let (stdin, mut numbers) = pipe().unwrap();
        let (answers, stdout) = pipe().unwrap();
        let fibrpc = Fibrpc::new(settings).args(["--json", "--timeout", TIMEOUT]);
        let fibrpc = fibrpc.args(["--in-flight", "1000", "-"]);
        let (process, folder) = fibrpc.start_with(stdin, stdout);
        let stop = Stopped::default();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answered = Arc::new(AtomicBool::new(false));
        let writer = std::thread::spawn({
            let (stop, asked) = (stop.flag(), Arc::clone(&asked));
            move || {
                let mut n = 0;
                while !stop.load(Ordering::Relaxed) {
                    asked.lock().unwrap().push(Instant::now());
                    if writeln!(numbers, "{}", n % NUMBERS.len()).is_err() {
                        return;
                    }
                    n += 1;
                    std::thread::sleep(PACE);
                }
            }
        });
        let reader = std::thread::spawn({
            let answered = Arc::clone(&answered);
            move || {
                let mut calls = Vec::new();
                for line in BufReader::new(answers).lines().map_while(Result::ok) {
                    // Answers come in the order of the numbers.
                    let asked = asked.lock().unwrap()[calls.len()];
                    calls.push(Call::read(calls.len() % NUMBERS.len(), asked, &line));
                    answered.store(true, Ordering::Relaxed);
                }
                let asked = asked.lock().unwrap();
                for asked in &asked[calls.len()..] {
                    calls.push(Call::read(0, *asked, "no line about it"));
                }
                calls
            }
        });
        crate::support::until(END, "a stream's first answer", || {
            answered.load(Ordering::Relaxed).then_some(())
        });
        Self {
            process,
            writer,
            reader,
            stop,
            _folder: folder,
        }
    }

    /// Asks no more, and waits for what was asked.
    pub fn end(mut self) -> Vec<Call> {
        self.stop.stop();
        self.writer.join().unwrap();
        self.process.wait(END);
        self.reader.join().unwrap()
    }
}

/// A process every half second.
pub struct OneShots {
    starter: JoinHandle<Vec<JoinHandle<Call>>>,
    stop: Stopped,
}

impl OneShots {
    /// Starts the first, and the others in turn.
    pub fn start(settings: &Settings) -> Self {
        let stop = Stopped::default();
        let starter = std::thread::spawn({
            let (settings, stop) = (settings.clone(), stop.flag());
            move || {
                let mut calls = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let n = calls.len() % NUMBERS.len();
                    let settings = settings.clone();
                    calls.push(std::thread::spawn(move || one_shot(&settings, n)));
                    std::thread::sleep(ONE_SHOTS);
                }
                calls
            }
        });
        Self { starter, stop }
    }

    /// Starts no more, and waits for those that run.
    pub fn end(self) -> Vec<Call> {
        self.stop.stop();
        let calls = self.starter.join().unwrap();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    }
}

/// One `fibrpc N`, to its end.
pub fn one_shot(settings: &Settings, n: usize) -> Call {
    let asked = Instant::now();
    let fibrpc = Fibrpc::new(settings).args(["--json", "--timeout", TIMEOUT]);
    let output = fibrpc.args([n.to_string()]).run(END);
    let mut call = Call::read(n, asked, output.stdout.trim_end());
    if let Err(said) = &mut call.outcome {
        let status = output.status.code();
        *said = format!("{said}{} (status {status:?})", output.stderr.trim_end());
    }
    call
}
