//! The body of a request and of its reply: files, standard input, terminals, and what is not sent.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use super::{assert_prints, object, router};
use crate::call::{Server, assert_fails, fibrpc};
use crate::manners::on_terminal;
use crate::services::{QUEUE, serve_router};
use crate::support::{Broker, Fibrpc, SOON, Settings, Terminal, lacks};

#[test]
fn bytes_are_not_changed_on_their_way() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let serving = serve_router(broker, &vhost, router(), |builder| builder);
    let folder = tempfile::tempdir().unwrap();
    let (sent, received) = (folder.path().join("sent"), folder.path().join("received"));
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    fs::write(&sent, &bytes).unwrap();
    let from_file = ["call", QUEUE, "--file", sent.to_str().unwrap()];
    for (arguments, stdin) in [
        (&from_file[..], Stdio::null()),
        (&["call", QUEUE, "-"], File::open(&sent).unwrap().into()),
        (
            &["call", QUEUE, "--file", "-"],
            File::open(&sent).unwrap().into(),
        ),
    ] {
        let stdout = File::create(&received).unwrap();
        let fibrpc = Fibrpc::new(&settings).args(arguments);
        let (mut process, _folder) = fibrpc.start_with(stdin, stdout);
        assert!(process.wait(SOON).success(), "{arguments:?}");
        assert!(fs::read(&received).unwrap() == bytes, "{arguments:?}");
    }
    let reply = object(
        &Fibrpc::new(&settings)
            .args([&from_file[..], &["--json"]].concat())
            .run(SOON),
    );
    assert_eq!(reply["content_type"], "application/octet-stream");
    let encoded = reply["body_base64"].as_str().unwrap();
    assert!(encoded.starts_with("AAECAwQF") && reply.get("body").is_none());

    // Neither a word of the command line nor an empty body is changed.
    for body in ["", "\n", " a\tb \r\n", "π\n\n"] {
        let output = fibrpc(&settings, &["call", QUEUE, body]);
        assert_prints(&output, body, "");
    }
    assert_prints(&fibrpc(&settings, &["call", QUEUE]), "", "");
    serving.drain();
}

#[test]
fn a_terminal_shows_safe_text_and_types_a_body() {
    if lacks("python3") {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let serving = serve_router(broker, &vhost, router(), |builder| builder);
    let body = "a\u{1b}[2J\r\n\tb\u{202e}";
    let output = on_terminal(Terminal::new(), &settings, &["call", QUEUE, body]);
    assert_prints(&output, "a\\u{1b}[2J\r\n\tb\\u{202e}\r\n", "");

    let reading =
        "fibrpc: reading the body from the terminal; Ctrl-D at the beginning of a line ends it";
    let typing = Terminal::new().see(reading).type_keys("typed\\n\\x04");
    let output = on_terminal(typing, &settings, &["call", QUEUE, "-"]);
    assert!(output.stdout.ends_with("typed\r\ntyped\r\n"), "{output:?}");
    assert_eq!(output.code(), 0);
    serving.drain();
}

#[test]
fn a_body_that_cannot_be_sent_is_refused_before_it_connects() {
    let nowhere = Settings::at("amqp://127.0.0.1:1");
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    File::create(&large)
        .unwrap()
        .set_len((16 << 20) + 1)
        .unwrap();
    let name = large.to_str().unwrap();
    let output = fibrpc(&nowhere, &["call", "q", "--file", name]);
    let too_large =
        |name: &str| format!("fibrpc: {name} is larger than a request body may be: 16777216 bytes");
    assert_fails(&output, 65, &too_large(name));
    let (stdin, mut input) = io::pipe().unwrap();
    let feeding = std::thread::spawn(move || io::copy(&mut io::repeat(b'x'), &mut input));
    let fibrpc_call = Fibrpc::new(&nowhere).args(["call", "q", "-"]);
    let (process, _folder) = fibrpc_call.start_with(stdin, Stdio::piped());
    assert_fails(&process.output(SOON), 65, &too_large("standard input"));
    assert!(feeding.join().unwrap().is_err());

    let output = fibrpc(&nowhere, &["call", "q", "--file", "/nowhere"]);
    assert_fails(
        &output,
        66,
        "fibrpc: cannot read /nowhere: no such file; check the path",
    );
    for (arguments, why) in [
        (
            &["call", "q", "-", "--file", "x"][..],
            "the argument '[BODY]' cannot be used with '--file <FILE>'; see fibrpc --help",
        ),
        (
            &["call", "q", "--queue", "p"],
            "'--queue' cannot be used with 'call', whose first argument is the queue; see fibrpc --help",
        ),
        (
            &["call", "", "x"],
            "queue.name: must not be empty, is \"\" (command line); write for example \"rpc_queue\"",
        ),
        (
            &["call", "q", "-m", "fibrpc.ping"],
            "invalid value 'fibrpc.ping' for '--method <NAME>': the method name `fibrpc.ping` is reserved; choose another name",
        ),
        (
            &["bench", "-n", "5", "--body", "x"],
            "the argument '--n <MIX>' cannot be used with '--body <BODY>'; see fibrpc --help",
        ),
    ] {
        assert_fails(&fibrpc(&nowhere, arguments), 64, &format!("fibrpc: {why}"));
    }
}

#[test]
fn an_interrupt_ends_a_call_and_the_reading_before_it() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let mut server = Server::start(broker, &vhost);
    let (process, _folder) = Fibrpc::new(&settings).args(["call", "rpc_queue"]).start();
    server.request();
    process.signal("INT");
    let output = process.output(SOON);
    assert_eq!(
        (output.status.signal(), output.stderr.as_str()),
        (Some(2), "")
    );

    let (stdin, input) = io::pipe().unwrap();
    let reading = Fibrpc::new(&settings).args(["call", "rpc_queue", "-"]);
    let (mut process, _folder) = reading.start_with(stdin, Stdio::null());
    process.interrupt(true);
    assert_eq!(process.wait(SOON).signal(), Some(2));
    drop(input);
    assert!(server.is_left_alone());
}
