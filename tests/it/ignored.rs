//! Signals that were ignored when a program was started: `nohup`, `trap ''`, a script's background jobs.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{Process, SOON};

/// `program` started by a shell that ignores these signals.
fn ignoring(signals: &str, program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command
        .env("FIBRPC_BROKER__URL", "amqp://127.0.0.1:1")
        .args([
            "-c",
            &format!(r#"trap '' {signals}; exec "$0" "$@""#),
            program,
        ])
        .args(arguments);
    command
}

#[test]
fn the_client_leaves_ignored_signals_ignored() {
    for (ignored, sent) in [
        ("INT", &["INT"][..]),
        ("TERM", &["TERM", "TERM"]),
        ("INT TERM HUP", &["INT", "TERM", "HUP", "INT"]),
    ] {
        let mut command = ignoring(ignored, env!("CARGO_BIN_EXE_fibrpc"), &["-"]);
        let (reader, mut writer) = std::io::pipe().unwrap();
        let process = Process::start_with(&mut command, Stdio::from(reader), Stdio::piped());
        writer.write_all(b"x\n").unwrap();
        process.wait_for_line("line 1: x: not an integer", SOON);
        for signal in sent {
            process.signal(signal);
        }
        // It goes on as if nothing had been.
        writer.write_all(b"y\n").unwrap();
        process.wait_for_line("line 2: y: not an integer", SOON);
        drop(writer);
        let output = process.output(SOON);
        assert_eq!(output.status.code(), Some(65), "{ignored}: {output:?}");
        assert!(
            output.stderr.ends_with("fibrpc: 0 answered, 2 failed"),
            "{output:?}"
        );
    }
}

#[test]
fn the_client_obeys_signals_that_are_not_ignored() {
    let mut command = ignoring("INT", env!("CARGO_BIN_EXE_fibrpc"), &["-"]);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let process = Process::start_with(&mut command, Stdio::from(reader), Stdio::piped());
    writer.write_all(b"x\n").unwrap();
    process.wait_for_line("line 1: x: not an integer", SOON);
    process.signal("TERM");
    let output = process.output(SOON);
    assert_eq!(output.status.code(), None, "{output:?}");
    assert!(
        output.stderr.contains("fibrpc: interrupted: "),
        "{output:?}"
    );
}

#[test]
fn the_daemon_can_always_be_stopped_and_reloaded() {
    let arguments = ["--log-target", "stderr"];
    let mut command = ignoring("INT TERM HUP", env!("CARGO_BIN_EXE_fibrpcd"), &arguments);
    let mut process = Process::start_with(&mut command, Stdio::null(), Stdio::null());
    process.wait_for_line("WARN SIGTERM was ignored ", SOON);
    process.wait_for_line("INFO SIGINT stays ignored", SOON);
    process.signal("INT");
    process.signal("INT");
    process.signal("HUP");
    process.wait_for_line("reloaded", SOON);
    process.signal("TERM");
    assert_eq!(process.wait(SOON).code(), Some(0));
    let stops = process.stderr();
    let stops = stops.iter().filter(|line| line.contains(" stopping: "));
    assert_eq!(stops.count(), 1, "{:?}", process.stderr());
}

#[test]
fn the_daemon_says_nothing_of_signals_that_are_not_ignored() {
    let arguments = ["--log-target", "stderr"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_fibrpcd"));
    command
        .args(arguments)
        .env("FIBRPC_BROKER__URL", "amqp://127.0.0.1:1");
    let mut process = Process::start_with(&mut command, Stdio::null(), Stdio::null());
    process.wait_for_line("disconnected from", SOON);
    process.signal("INT");
    assert_eq!(process.wait(SOON).code(), Some(0));
    let lines = process.stderr();
    assert!(
        !lines.iter().any(|line| line.contains("ignored")),
        "{lines:?}"
    );
}
