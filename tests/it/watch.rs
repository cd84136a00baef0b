//! `fibrpc status --watch` on a terminal of its own: it fits, nothing is cleared, and the terminal is left as it was.

use std::path::Path;
use std::process::Command;

use crate::manners::{command, on_terminal};
use crate::support::proxy::Accept;
use crate::support::wire::Client;
use crate::support::{Broker, Daemon, Output, Proxy, SOON, Settings, Terminal, until};

const ENTER: &str = "\u{1b}[?1049h\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";

/// What was watched.
struct Watched {
    /// The lines of each frame, without escape sequences.
    frames: Vec<Vec<String>>,
    /// What is on the ordinary screen in the end.
    left: String,
}

/// Watches by this script, which ends with Ctrl-C.
fn watch(settings: &Settings, script: Terminal) -> Watched {
    let output = on_terminal(script.type_keys("\\x03"), settings, &["status", "--watch"]);
    assert_eq!(output.code(), 130, "{output:?}");
    watched(&output)
}

fn watched(output: &Output) -> Watched {
    let (before, rest) = output.stdout.split_once(ENTER).unwrap();
    assert_eq!(before, "", "{output:?}");
    let (screen, left) = rest.split_once(LEAVE).unwrap();
    for absent in [ENTER, LEAVE, "\u{1b}[2J"] {
        assert!(
            !screen.contains(absent) && !left.contains(absent),
            "{output:?}"
        );
    }
    let frames = screen.split(HOME).skip(1);
    let lines = |frame: &str| frame.split("\r\n").map(plain).collect::<Vec<_>>();
    Watched {
        frames: frames.map(lines).collect(),
        left: plain(left),
    }
}

/// Without escape sequences, each of which ends with a letter.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap();
        plain.push_str(&part[end + 1..]);
    }
    plain
}

fn assert_fits(frame: &[String], columns: usize, rows: usize) {
    assert!(frame.len() <= rows, "{frame:#?}");
    for line in frame {
        assert!(line.chars().count() <= columns, "{line}");
    }
}

#[test]
fn it_fits_the_terminal_whatever_its_size() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let names = ["server.example.org/12345", "server.example.org/54321"];
    let daemons = names.map(|name| Daemon::start(&settings.clone().set("server.instance", name)));
    broker.wait_for_consumers(&vhost, "rpc_queue", 2);
    let mut silent = Client::connect(broker.port(), &vhost).unwrap();
    silent.consume("rpc_queue", false).unwrap();
    let script = Terminal::new()
        .size(80, 24)
        .see("SERVED")
        .see("did not answer")
        .size(60, 6)
        .see("more lines");
    let watched = watch(&settings, script);
    let (last, first) = watched.frames.split_last().unwrap();
    for frame in first {
        assert_fits(frame, 80, 24);
    }
    assert_fits(last, 60, 6);
    let frame = first.iter().find(|frame| frame.len() > 3).unwrap();
    let text = frame.join("\n");
    assert!(
        frame[0].ends_with('Z') && frame[0].chars().count() == 80,
        "{text}"
    );
    assert!(
        text.contains("queue rpc_queue: quorum, 0 waiting, 3 consumers\n"),
        "{text}"
    );
    assert!(
        text.contains("12345  consuming ") && text.contains("54321  consuming "),
        "{text}"
    );
    assert!(
        watched.left.contains("54321  consuming "),
        "{}",
        watched.left
    );
    assert!(watched.left.ends_with('\n'), "{}", watched.left);
    drop(daemons);
}

#[test]
fn a_failure_is_shown_beside_what_was_seen_last() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let settings = settings.set("server.instance", "blue");
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let mut proxy = Proxy::new(broker.port());
    let folder = tempfile::tempdir().unwrap();
    let [seen, failed] = ["seen", "failed"].map(|name| folder.path().join(name));
    let wait_for = |file: &Path| until(SOON, "the script", || file.exists().then_some(()));
    let settings = Settings::at(&proxy.url(&vhost));
    let script = Terminal::new()
        .size(80, 24)
        .see("consuming")
        .touch(&seen)
        .see("trying again")
        .see("was seen")
        .touch(&failed)
        .see("the queue can be seen again");
    let watched = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for(&seen);
            proxy.accept(Accept::Refuse);
            proxy.reset(None);
            wait_for(&failed);
            proxy.heal();
        });
        watch(&settings, script)
    });
    for frame in &watched.frames {
        assert_fits(frame, 80, 24);
    }
    let failed = watched.frames.iter().map(|frame| frame.join("\n"));
    let mut failed = failed.filter(|frame| frame.contains("trying again"));
    assert!(failed.any(|frame| frame.contains("blue  ")));
    let last = watched.frames.last().unwrap().join("\n");
    assert!(!last.contains("trying again"), "{last}");
    assert!(last.contains("changes, newest first:\n"), "{last}");
}

#[test]
fn a_stopped_watch_gives_the_terminal_back_to_the_shell() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let (fibrpc, _folder) = command(&settings, &["status", "--watch"]);
    // A shell with job control, as people use it.
    let mut shell = Command::new("bash");
    shell.args(["-c", "set -m; \"$@\"; echo stopped; fg", "bash"]);
    shell.arg(fibrpc.get_program()).args(fibrpc.get_args());
    let script = Terminal::new()
        .see("SERVED")
        .type_keys("\\x1a")
        .see("stopped\\r")
        .see("SERVED")
        .type_keys("\\x03");
    let output = script.run(&shell);
    assert_eq!(output.code(), 130, "{output:?}");
    let (before, after) = output.stdout.split_once("stopped\r").unwrap();
    for (part, is_last) in [(before, false), (after, true)] {
        let (_, screen) = part.split_once(ENTER).unwrap();
        let (screen, left) = screen.split_once(LEAVE).unwrap();
        assert!(screen.contains("SERVED"), "{output:?}");
        assert!(!left.contains(ENTER), "{output:?}");
        assert_eq!(left.contains("SERVED"), is_last, "{output:?}");
    }
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_gets_one_view_after_another() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let (mut fibrpc, _folder) = command(&settings, &["status", "--watch"]);
    fibrpc.env("TERM", "dumb");
    let script = Terminal::new()
        .see("queue ")
        .see("queue ")
        .type_keys("\\x03");
    let output = script.run(&fibrpc);
    assert_eq!(output.code(), 130, "{output:?}");
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
}
