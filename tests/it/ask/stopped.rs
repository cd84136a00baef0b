//! Input that stays open, output that nobody reads, and interrupts.

use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::Asking;
use crate::call::Server;
use crate::support::{Broker, Daemon, Fibrpc, Process, SOON, Settings, until_still};

#[test]
fn an_interrupt_sums_up_although_the_input_is_open() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "60s");
    for (arguments, stderr) in [
        (
            &["-"][..],
            "fibrpc: line 1: x: not an integer; ask for a whole number such as 30\nfibrpc: interrupted: 1 answered, 1 failed",
        ),
        (
            &["-q", "-"],
            "fibrpc: line 1: x: not an integer; ask for a whole number such as 30",
        ),
    ] {
        let mut asking = Asking::start(&settings, arguments);
        asking.write("x\n1\n2\n3\n");
        let requests = [server.request(), server.request(), server.request()];
        server.reply(&requests[0], b"1");
        server.reply(&requests[2], b"3");
        assert_eq!(asking.line(), "1");
        asking.process.signal("INT");
        let status = asking.process.wait(SOON);
        assert_eq!(status.signal(), Some(2), "{arguments:?}");
        assert_eq!(asking.end().stderr, stderr);
    }
}

#[test]
fn a_closed_output_ends_it_quietly_although_the_input_is_open() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let (stdin, mut input) = io::pipe().unwrap();
    let (output, stdout) = io::pipe().unwrap();
    let (mut process, _folder) = Fibrpc::new(&settings).args(["-"]).start_with(stdin, stdout);
    input.write_all(b"30\n").unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(output);
    output.read_line(&mut line).unwrap();
    drop(output);
    // It cannot know before the next answer. Then it ends, and does not wait for further input.
    input.write_all(b"31\n").unwrap();
    assert_eq!(process.wait(SOON).code(), Some(0));
    assert_eq!((line.as_str(), process.stderr()), ("832040\n", vec![]));
}

/// A `fibrpc` whose input is always full, written by a thread of ours, and whose output nobody reads.
struct Stuck {
    process: Process,
    written: Arc<AtomicU64>,
    _unread: PipeReader,
    _folder: TempDir,
}

impl Stuck {
    fn start(settings: &Settings, arguments: &[&str], line: &str) -> Self {
        let (stdin, mut input) = io::pipe().unwrap();
        let (unread, stdout) = io::pipe().unwrap();
        let fibrpc = Fibrpc::new(settings).args(arguments);
        let (process, folder) = fibrpc.start_with(stdin, stdout);
        let written = Arc::new(AtomicU64::new(0));
        let lines = line.repeat(100);
        let counter = Arc::clone(&written);
        // Ends with the process.
        std::thread::spawn(move || {
            while input.write_all(lines.as_bytes()).is_ok() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self {
            process,
            written,
            _unread: unread,
            _folder: folder,
        }
    }
}

#[test]
fn what_nobody_reads_is_not_asked_for() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    // 20,899 digits each: the pipe holds three of them.
    let stuck = Stuck::start(&settings, &["--in-flight", "10", "-"], "99999\n");
    until_still(|| daemon.processor_time());
    let peak = stuck.process.peak_resident();
    assert!(peak < 64 << 20, "{peak}");
}

#[test]
fn an_interrupt_waits_briefly_for_a_stopped_reader_and_a_second_one_not_at_all() {
    let nowhere = Settings::at("amqp://127.0.0.1:1");
    let [first, second] = [false, true].map(|again| {
        let mut stuck = Stuck::start(&nowhere, &["--json", "-"], "x\n");
        until_still(|| stuck.written.load(Ordering::Relaxed));
        let took = stuck.process.interrupt(again);
        assert_eq!(stuck.process.wait(SOON).signal(), Some(2));
        took
    });
    // The first one gives it two seconds to write what it has.
    assert!(second < first, "{second:?}, {first:?}");
}
