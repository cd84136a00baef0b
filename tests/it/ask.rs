//! `fibrpc -` and `fibrpc --file F`: any amount of numbers, one per line.

mod stopped;

use std::fs;
use std::io::{self, BufRead as _, BufReader, PipeWriter, Write as _};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::call::{Server, assert_fails, fibrpc};
use crate::support::ledger::fibonacci_numbers;
use crate::support::ports::Ports;
use crate::support::{Broker, Daemon, Fibrpc, Output, Process, SOON, Settings};

/// A `fibrpc` whose input stays open for as long as the test needs it.
struct Asking {
    process: Process,
    input: Option<PipeWriter>,
    lines: Receiver<String>,
    _folder: TempDir,
}

impl Asking {
    fn start(settings: &Settings, arguments: &[&str]) -> Self {
        let (stdin, input) = io::pipe().unwrap();
        let (output, stdout) = io::pipe().unwrap();
        let fibrpc = Fibrpc::new(settings).args(arguments);
        let (process, folder) = fibrpc.start_with(stdin, stdout);
        let (sender, lines) = mpsc::sync_channel(10);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            process,
            input: Some(input),
            lines,
            _folder: folder,
        }
    }

    fn write(&mut self, text: &str) {
        self.input
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(SOON).unwrap()
    }

    fn end(mut self) -> Output {
        self.input = None;
        self.process.output(SOON)
    }
}

fn ask(settings: &Settings, arguments: &[&str], input: &[u8]) -> Output {
    Fibrpc::new(settings).args(arguments).stdin(input).run(SOON)
}

fn objects(output: &Output) -> Vec<Value> {
    let lines = output.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn thousands_of_lines_are_answered_correctly_in_little_memory() {
    const COUNT: usize = 5000;
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut asking = Asking::start(&settings, &["-"]);
    let mut input = asking.input.take().unwrap();
    let writer = std::thread::spawn(move || {
        for n in 0..COUNT {
            writeln!(input, "{n}").unwrap();
        }
        input
    });
    for (n, value) in fibonacci_numbers(COUNT).into_iter().enumerate() {
        assert_eq!(asking.line(), value, "{n}");
    }
    // It waits for more, so that it can still be looked at.
    asking.input = Some(writer.join().unwrap());
    let peak = asking.process.peak_resident();
    assert!(peak < 64 << 20, "{peak}");
    let output = asking.end();
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
}

/// Some editors and `PowerShell` write one before the first line.
#[test]
fn byte_order_marks() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("numbers");
    let wide = "\u{feff}30\r\n7\r\n".encode_utf16();
    let wide: Vec<u8> = wide.flat_map(u16::to_le_bytes).collect();
    for (input, code, stdout, stderr) in [
        (&b"\xef\xbb\xbf30\r\n7\r\n"[..], 0, "832040\n13\n", ""),
        (
            &wide,
            65,
            "",
            "fibrpc: line 1: \u{fffd}\u{fffd}: UTF-16; save it as UTF-8\n\
             fibrpc: 0 answered, 1 failed",
        ),
    ] {
        fs::write(&file, input).unwrap();
        for arguments in [&["-"][..], &["--file", file.to_str().unwrap()]] {
            let output = ask(&settings, arguments, input);
            assert_eq!(output.code(), code, "{output:?}");
            assert_eq!(
                (output.stdout.as_str(), output.stderr.as_str()),
                (stdout, stderr)
            );
        }
    }
    let output = ask(&settings, &["--json", "-"], b"\xef\xbb\xbf30");
    assert_eq!(objects(&output)[0]["n"], 30);
}

#[test]
fn a_bad_line_fails_alone_and_is_named() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let long = "9".repeat(100_000);
    let input = [
        b"30\n\nabc\r\n 5 \r\n-1\n\xff\xfe\n\x1b[2J\n".as_slice(),
        long.as_bytes(),
        b"\n\t\n99999999999\n7",
    ];
    let input = input.concat();
    let stderr = format!(
        "fibrpc: line 3: abc: not an integer; ask for a whole number such as 30\n\
         fibrpc: line 5: -1: negative; ask for 0 or more\n\
         fibrpc: line 6: \u{fffd}\u{fffd}: not UTF-8; write one number per line\n\
         fibrpc: line 7: \\u{{1b}}[2J: not an integer; ask for a whole number such as 30\n\
         fibrpc: line 8: {}...: the line is longer than 1024 bytes; write one number per line\n\
         fibrpc: line 10: 99999999999: n = 99999999999 is above this server's limit of 1000000\n\
         fibrpc: 3 answered, 6 failed",
        "9".repeat(40)
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("numbers");
    fs::write(&file, &input).unwrap();
    let file = file.to_str().unwrap();
    for (arguments, input) in [
        (&["-"][..], input.as_slice()),
        (&["--file", "-"], &input),
        (&["--file", file], b""),
    ] {
        let output = ask(&settings, arguments, input);
        assert_eq!(
            (
                output.code(),
                output.stdout.as_str(),
                output.stderr.as_str()
            ),
            (65, "832040\n5\n13\n", stderr.as_str()),
            "{arguments:?}"
        );
    }

    // The same for scripts: an object for every line that is not empty, with its number.
    let output = ask(&settings, &["--json", "-"], &input);
    assert_eq!((output.code(), output.stderr.as_str()), (65, ""));
    let objects = objects(&output);
    let lines: Vec<_> = objects
        .iter()
        .map(|object| object["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8, 10, 11]);
    assert_eq!(
        (&objects[0]["n"], &objects[0]["value"]),
        (&30.into(), &"832040".into())
    );
    assert_eq!(
        (&objects[1]["n"], &objects[1]["code"]),
        (&"abc".into(), &"INVALID_ARGUMENT".into())
    );
    assert_eq!(objects[7]["code"], "OUT_OF_RANGE");
    // With -q the errors are left, and nothing besides.
    let output = ask(&settings, &["-q", "-"], b"x\n1\n");
    let line = "fibrpc: line 1: x: not an integer; ask for a whole number such as 30";
    assert_eq!(
        (
            output.code(),
            output.stdout.as_str(),
            output.stderr.as_str()
        ),
        (65, "1\n", line)
    );
}

#[test]
fn nothing_to_ask_for_needs_no_broker() {
    let nowhere = Settings::at("amqp://127.0.0.1:1");
    for (arguments, input, code) in [
        (&["--file", "/dev/null"][..], b"".as_slice(), 0),
        (&["-"], b"\n\n", 0),
        (&["-"], b"x\n", 65),
    ] {
        let output = ask(&nowhere, arguments, input);
        assert_eq!(
            (output.code(), output.stdout.as_str()),
            (code, ""),
            "{output:?}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_read_is_one_line() {
    let nowhere = Settings::at("amqp://127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for (name, why) in [
        (path("missing"), "no such file; check the path"),
        (path(""), "is a directory; name a file"),
        (path("a\nb"), "no such file; check the path"),
    ] {
        let output = fibrpc(&nowhere, &["--file", &name]);
        let line = format!("fibrpc: cannot read {}: {why}", name.replace('\n', "\\n"));
        assert_fails(&output, 66, &line);
    }
}

#[test]
fn no_more_are_in_flight_than_allowed_and_each_has_its_own_time() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "4s");
    let started = Instant::now();
    let mut asking = Asking::start(&settings, &["--in-flight", "2", "-"]);
    asking.write("1\n2\n3\n4\n5\n6\n");
    let mut requests = vec![server.request(), server.request()];
    // All lines are read by then. Their time does not run before they are asked: together they take longer
    // than any of them may.
    for n in 1..=6 {
        assert!(server.is_left_alone());
        std::thread::sleep(Duration::from_millis(400));
        let request = requests.remove(0);
        assert_eq!(request.body, n.to_string().as_bytes());
        server.reply(&request, &request.body);
        assert_eq!(asking.line(), n.to_string());
        if n <= 4 {
            requests.push(server.request());
        }
    }
    assert!(started.elapsed() > Duration::from_secs(4));
    let output = asking.end();
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
}

#[test]
fn the_server_may_go_and_come_back_in_the_middle() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut asking = Asking::start(&settings, &["-"]);
    asking.write("30\n");
    assert_eq!(asking.line(), "832040");
    drop(daemon);
    broker.wait_for_consumers(&vhost, "rpc_queue", 0);
    // It assumes for a second that a server that it has just seen is still there.
    std::thread::sleep(Duration::from_millis(1500));
    asking.write("31\n32\n");
    let line = asking.process.wait_for_line("line 2: 31: ", SOON);
    assert_eq!(
        line,
        "fibrpc: line 2: 31: no server on queue \"rpc_queue\"; is one running? (use --wait for a \
         server that polls or is about to start)"
    );
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    std::thread::sleep(Duration::from_millis(1500));
    asking.write("33\n");
    assert_eq!(asking.line(), "3524578");
    let output = asking.end();
    assert_eq!(output.code(), 69);
    let rest = "fibrpc: 1 more number failed in the same way\nfibrpc: 2 answered, 2 failed";
    assert!(output.stderr.ends_with(rest), "{output:?}");
}

#[test]
fn without_a_broker_it_does_not_wait_for_the_end_of_its_input() {
    let ports = Ports::<1>::reserve();
    let address = format!("127.0.0.1:{}", ports.first());
    let settings = Settings::at(&format!("amqp://{address}"));
    let why = format!(
        "cannot reach broker {address}: connection refused; is rabbitmq-server running there?"
    );
    for json in [false, true] {
        let arguments: &[&str] = if json { &["--json", "-"] } else { &["-"] };
        let mut asking = Asking::start(&settings, arguments);
        asking.write("x\n30\n");
        let status = asking.process.wait(SOON);
        assert_eq!(status.code(), Some(65), "the first failure decides");
        if json {
            let object: Value = serde_json::from_str(&asking.lines.recv().unwrap()).unwrap();
            assert_eq!(object["line"], 1);
            let object: Value = serde_json::from_str(&asking.lines.recv().unwrap()).unwrap();
            assert_eq!(
                (&object["line"], &object["message"]),
                (&2.into(), &why.clone().into())
            );
        } else {
            let stderr = asking.end().stderr;
            let lines: Vec<_> = stderr.lines().collect();
            assert_eq!(
                lines[1..],
                [
                    format!("fibrpc: {why}"),
                    "fibrpc: 0 answered, 2 failed".into()
                ]
            );
        }
    }
}
