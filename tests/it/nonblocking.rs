//! Standard output and error in non-blocking mode, as other programs leave a terminal or a pipe.

use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _};
use std::path::Path;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::stdio::{FIBRPC, FIBRPCD, sh, shell};
use crate::support::{Broker, Daemon, Notify, Output, Process, SOON, Settings, until};

/// A pipe whose writer never waits.
fn pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap() | OFlags::NONBLOCK;
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

fn is_full(writer: &PipeWriter) -> bool {
    let mut ready = [PollFd::new(writer, PollFlags::OUT)];
    poll(&mut ready, Some(&rustix::time::Timespec::default())).unwrap() == 0
}

/// Runs a shell's command whose standard output never waits, and reads that only once it is full: what was
/// written, and how the command ended.
fn read_late(script: &str, arguments: &[&str]) -> (String, Output) {
    let (mut reader, writer) = pipe();
    let mut command = shell(script, arguments);
    let stdout = Stdio::from(writer.try_clone().unwrap());
    let mut process = Process::start_with(&mut command, Stdio::null(), stdout);
    until(SOON, "a full pipe, or the end", || {
        (is_full(&writer) || !process.is_running()).then_some(())
    });
    drop(writer);
    let mut written = String::new();
    reader.read_to_string(&mut written).unwrap();
    (written, process.output(SOON))
}

/// A file with lines that are not numbers, for which no server is needed.
fn bad_numbers(folder: &Path) -> String {
    let file = folder.join("bad");
    let lines: Vec<String> = (0..3000)
        .map(|i| format!("not-a-number-really-{i}\n"))
        .collect();
    fs::write(&file, lines.concat()).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn non_blocking_standard_output_gets_everything() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let url = broker.url(&vhost);
    let (written, output) = read_late(
        r#"export FIBRPC_BROKER__URL="$1"; exec "$0" 1000000"#,
        &[FIBRPC, &url],
    );
    assert_eq!(
        (output.code(), output.stderr.as_str(), written.len()),
        (0, "", 208_989)
    );
    let whole = sh(
        r#"export FIBRPC_BROKER__URL="$1"; exec "$0" 1000000"#,
        &[FIBRPC, &url],
    );
    assert!(written == whole.stdout);
}

#[test]
fn non_blocking_standard_error_gets_every_complaint() {
    let folder = tempfile::tempdir().unwrap();
    let file = bad_numbers(folder.path());
    let (written, output) = read_late(r#"exec "$0" --file "$1" 2>&1 >/dev/null"#, &[FIBRPC, &file]);
    assert_eq!(output.code(), 65);
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 3001, "with the summary");
    for (i, line) in lines[..3000].iter().enumerate() {
        let expect = format!(
            "fibrpc: line {}: not-a-number-really-{i}: not an integer; ask for a whole number such as 30",
            i + 1
        );
        assert_eq!(*line, expect);
    }
    assert_eq!(lines[3000], "fibrpc: 0 answered, 3000 failed");

    let (written, output) = read_late(r#"exec "$0" --json --file "$1""#, &[FIBRPC, &file]);
    assert_eq!((output.code(), output.stderr.as_str()), (65, ""));
    assert_eq!(written.lines().count(), 3000);
    assert!(
        written.ends_with("such as 30\",\"retryable\":false}\n"),
        "{written}"
    );
}

/// A daemon whose standard error never waits and is full, as nobody has read it. Each reload logs a line for each
/// of [`WRONG`] unknown keys, numbered.
struct Full {
    daemon: Process,
    notify: Notify,
    reader: PipeReader,
    writer: PipeWriter,
    _folder: tempfile::TempDir,
}

const WRONG: usize = 20;

impl Full {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fibrpc.toml");
        let settings = Settings::at("amqp://127.0.0.1:1")
            .set("log.target", "stderr")
            .set("server.ready_timeout", "100ms");
        fs::write(&file, settings.text()).unwrap();
        let (reader, writer) = pipe();
        let script = r#"exec "$0" --config "$1" 2>&1"#;
        let mut command = shell(script, &[FIBRPCD, file.to_str().unwrap()]);
        let notify = Notify::new();
        command.env("NOTIFY_SOCKET", notify.path());
        let stdout = Stdio::from(writer.try_clone().unwrap());
        let daemon = Process::start_with(&mut command, Stdio::null(), stdout);
        // From then on it says when it reloads.
        notify.wait_for("READY=1", SOON);
        let line = |i| format!("wrong-{i}-{} = 1\n", "x".repeat(60));
        fs::write(&file, (0..WRONG).map(line).collect::<String>()).unwrap();
        let full = Self {
            daemon,
            notify,
            reader,
            writer,
            _folder: folder,
        };
        until(SOON, "a full pipe", || {
            full.reload();
            is_full(&full.writer).then_some(())
        });
        // And one more for which there is no room.
        full.reload();
        full
    }

    fn reload(&self) {
        let reloads = || {
            let all = self.notify.all();
            all.iter()
                .filter(|one| one.starts_with("RELOADING=1"))
                .count()
        };
        let before = reloads();
        self.daemon.signal("HUP");
        until(SOON, "a reload", || (reloads() > before).then_some(()));
    }
}

#[test]
fn a_log_on_non_blocking_standard_error_loses_nothing() {
    let mut full = Full::start();
    let mut reader = full.reader;
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    drop(full.writer);
    full.daemon.signal("TERM");
    assert_eq!(full.daemon.wait(SOON).code(), Some(0));
    let text = reading.join().unwrap();
    let numbers = text.lines().filter_map(|line| {
        let number = line.split_once(": wrong-")?.1.split('-').next()?;
        Some(number.parse::<usize>().unwrap())
    });
    let numbers: Vec<usize> = numbers.collect();
    assert!(
        numbers.len() > WRONG && numbers.len().is_multiple_of(WRONG),
        "{text}"
    );
    assert!(
        numbers
            .iter()
            .enumerate()
            .all(|(i, number)| *number == i % WRONG),
        "{numbers:?}"
    );
    assert!(text.ends_with("INFO stopped\n"), "{text}");
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_exit() {
    let mut full = Full::start();
    full.daemon.signal("TERM");
    assert_eq!(full.daemon.wait(SOON).code(), Some(0));
}
