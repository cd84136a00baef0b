//! Problems are reported all at once, in one line each, with their places.

use super::{Folder, load_file, load_text, with_config};
use fibrpc::internals::config::{Environment, Keys, Overrides, Program, load_from};
use fibrpc::internals::fibonacci::settings::max_n;
use std::time::Duration;

#[test]
fn all_problems_are_reported_in_the_order_of_their_places() {
    let folder = Folder::new();
    let path = folder.write(
        "a.toml",
        "brokr = 1\n[broker]\nheartbeat = \"0s\"\nheartbeet = 1\nurl = \"amqp://u:k4nary#@h\"\n\
         [queue]\nname = \"\"\n",
    );
    folder.write("a.toml.d/1.toml", "x = [");
    let environment = Environment::empty()
        .with("FIBRPC_SERVER__PREFETCH", "many")
        .with("FIBRPC_SERVER__PREFECH", "1");
    let overrides = Overrides {
        values: vec![("log.level", "loud".into())],
        ..with_config(&path)
    };
    let problems = load_from(Program::Daemon, &overrides, &environment).unwrap_err();
    let problems: Vec<_> = problems
        .iter()
        .map(|problem| folder.plain(&problem.0))
        .collect();
    assert!(
        problems[2].starts_with("a.toml.d/1.toml:1:6: not valid TOML: "),
        "{}",
        problems[2]
    );
    let expected = [
        "brokr: unknown key (a.toml:1); did you mean broker?",
        "broker.heartbeet: unknown key (a.toml:4); did you mean broker.heartbeat?",
        &problems[2],
        "FIBRPC_SERVER__PREFECH: unknown setting (environment); \
         did you mean FIBRPC_SERVER__PREFETCH?",
        "broker.url: contains a raw `#`, is \"amqp://***@h\" (a.toml:5); \
         in a user name, password or vhost write %23 for it",
        "broker.heartbeat: must be at least 1s, is \"0s\" (a.toml:3); write for example \"10s\"",
        "queue.name: must not be empty, is \"\" (a.toml:7); write for example \"rpc_queue\"",
        "server.prefetch: must be a whole number, is \"many\" (FIBRPC_SERVER__PREFETCH); \
         write digits, without quotes",
        "log.level: must be one of \"error\", \"warn\", \"info\", \"debug\", is \"loud\" \
         (command line); write one of these",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_file_with_many_problems_lists_a_hundred_and_counts_the_rest() {
    // As many as fit into the largest file that is read.
    let lines: Vec<_> = (0..100_000).map(|n| format!("k{n:05}=1")).collect();
    let problems = load_text(&lines.join("\n")).unwrap_err();
    assert_eq!(problems.len(), 101);
    let hundredth = "k00099: unknown key (a.toml:100); see fibrpc.toml(5) for all keys";
    assert_eq!(problems[99], hundredth);
    let rest = "a.toml: 99900 more problems in this file; correct those above first";
    assert_eq!(problems[100], rest);
    // A hundred are listed completely.
    let problems = load_text(&lines[..100].join("\n")).unwrap_err();
    assert_eq!(problems.len(), 100);
    let problems = load_text(&lines[..101].join("\n")).unwrap_err();
    let rest = "a.toml: 1 more problem in this file; correct those above first";
    assert_eq!((problems.len(), problems[100].as_str()), (101, rest));
}

#[test]
fn a_problem_is_one_line_whatever_the_name_of_its_file() {
    let folder = Folder::new();
    let path = folder.write("a\n\u{202e}.toml", "x = 1\ny = [");
    let lines = |path: &std::path::Path| {
        let problems = load_file(path).unwrap_err();
        let problems = problems.iter().map(|problem| folder.plain(&problem.0));
        problems.collect::<Vec<_>>()
    };
    let start = r"a\n\u{202e}.toml:2:";
    assert!(lines(&path)[0].starts_with(start), "{:?}", lines(&path));
    let path = folder.write("a\n\u{202e}.toml", "x = 1");
    let unknown = r"x: unknown key (a\n\u{202e}.toml:1); see fibrpc.toml(5) for all keys";
    assert_eq!(lines(&path), [unknown]);
}

#[test]
fn syntax_errors_name_line_and_column() {
    for (text, place) in [
        ("[queue]\nname = \"x", "a.toml:2:"),
        ("[queue]\nname = x\n", "a.toml:2:8: "),
        ("é = 1\n", "a.toml:1:"),
        ("[queue]\nname = \"x\"\nname = \"y\"\n", "a.toml:3:1: "),
        ("[broker]\nurl = amqp://u:k4nary@h", "a.toml:2:7: "),
        ("[broker]\nurl = \"amqp://u:k4nary@h", "a.toml:2:"),
        ("x = 99999999999999999999", "a.toml:1:5: "),
    ] {
        let problems = load_text(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}");
        assert!(problems[0].starts_with(place), "{text}: {}", problems[0]);
        assert!(!problems[0].contains("k4nary"), "{text}: {}", problems[0]);
        assert_eq!(problems[0].lines().count(), 1);
    }
}

#[test]
fn files_that_are_not_text_are_refused() {
    let folder = Folder::new();
    let fifo = folder.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink("loop", folder.path("loop")).unwrap();
    for (path, words) in [
        (
            folder.write("latin1", b"# ok\n# caf\xe9\n"),
            "is not UTF-8 in line 2",
        ),
        (
            folder.write("large", vec![b'#'; (1 << 20) + 1]),
            "is larger than 1048576 bytes",
        ),
        (folder.path(""), "is a directory"),
        (
            fifo,
            "is a pipe, and no data arrived within 5s; write to it, or use a file",
        ),
        ("/dev/zero".into(), "is not a regular file or a pipe"),
        (folder.path("loop"), "symbolic link"),
    ] {
        // In a thread, since opening a FIFO may block, which the test must notice.
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || drop(tell.send(load_file(&path))));
        let problems = told.recv_timeout(Duration::from_secs(60));
        let problems = problems.expect("loading blocks").unwrap_err();
        let texts: Vec<_> = problems.iter().map(|problem| &problem.0).collect();
        assert!(
            texts[0].starts_with("cannot read ") && texts[0].contains(words),
            "{texts:?}"
        );
    }
    assert!(load_file(&folder.write("fits", vec![b'#'; 1 << 20])).is_ok());
    assert!(
        !load_file(&folder.write("nul", b"a = \"\0\""))
            .unwrap_err()
            .is_empty()
    );
}

#[test]
fn a_value_that_toml_cannot_hold_does_not_hide_other_problems() {
    let problems =
        load_text("x = 1\nserver.max_n = 99999999999999999999\nlog.level = 5").unwrap_err();
    let starts = [
        "x: unknown key (a.toml:1)",
        "a.toml:2:16: not valid TOML: ",
        "log.level: must be one of",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn the_keys_of_a_service_are_known_with_it_alone() {
    let folder = Folder::new();
    let path = folder.write("a.toml", "server.max_n = 7");
    let with = with_config(&path);
    let load = |overrides: &Overrides| load_from(Program::Daemon, overrides, &Environment::empty());
    let loaded = load(&with).unwrap();
    assert_eq!(max_n(&loaded.config), 7);
    let without = Overrides {
        keys: Keys::default(),
        ..with
    };
    let problems = load(&without).unwrap_err();
    let text = "server.max_n: unknown key (a.toml:1); see fibrpc.toml(5) for all keys";
    assert_eq!(folder.plain(&problems[0].0), text);
    let misspelt = load_text("server.max-n = 7").unwrap_err();
    assert!(
        misspelt[0].ends_with("did you mean server.max_n?"),
        "{misspelt:?}"
    );
}
