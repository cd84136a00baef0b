//! `fibrpc` as its users see it: on a terminal, with and without colours, interrupted, and in a script that checks
//! its exit status.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::call::{Server, fibrpc};
use crate::support::ports::Ports;
use crate::support::{Broker, Daemon, Fibrpc, Output, SOON, Settings, Terminal, lacks};

/// A word in bold red.
const RED: &str = "\u{1b}[1m\u{1b}[31mfibrpc:\u{1b}[0m ";

/// `fibrpc` on its way to a terminal.
pub fn command(settings: &Settings, arguments: &[&str]) -> (Command, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fibrpc.toml");
    fs::write(&file, settings.text()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_fibrpc"));
    command.arg("--config").arg(file).args(arguments);
    (command, folder)
}

pub fn on_terminal(terminal: Terminal, settings: &Settings, arguments: &[&str]) -> Output {
    let (command, _folder) = command(settings, arguments);
    terminal.run(&command)
}

fn nowhere() -> (Settings, String) {
    let ports = Ports::<1>::reserve();
    let address = format!("127.0.0.1:{}", ports.first());
    let line = format!(
        "cannot reach broker {address}: connection refused; is rabbitmq-server running there?"
    );
    (Settings::at(&format!("amqp://{address}")), line)
}

#[test]
fn the_servers_status_decides_the_exit_status() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let mut server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost);
    for (code, status) in [
        ("INVALID_ARGUMENT", 65),
        ("OUT_OF_RANGE", 65),
        ("DEADLINE_EXCEEDED", 75),
        ("RESOURCE_EXHAUSTED", 75),
        ("UNAVAILABLE", 69),
        ("PERMISSION_DENIED", 77),
        ("INTERNAL", 70),
        ("A_NEW_ONE", 76),
    ] {
        let (process, _folder) = Fibrpc::new(&settings).args(["30"]).start();
        let request = server.request();
        server.refuse(&request, code, "so it is; do that");
        let output = process.output(SOON);
        assert_eq!(
            (output.code(), output.stdout.as_str()),
            (status, ""),
            "{code}"
        );
        let line = &output.stderr;
        assert!(line.starts_with("fibrpc: 30: "), "{line}");
        assert!(
            line.contains("so it is; do t") && line.lines().count() == 1,
            "{line}"
        );
    }
}

#[test]
fn a_system_that_gives_too_little_is_told_apart() {
    // One file more than the three that everybody has, for the loader.
    let output = Command::new("sh")
        .args(["-c", r#"ulimit -n 4; exec "$0" 30"#])
        .arg(env!("CARGO_BIN_EXE_fibrpc"))
        .env_clear()
        .output()
        .unwrap();
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{line}");
    assert!(
        line.starts_with("fibrpc: cannot start: Too many open files"),
        "{line}"
    );
}

#[test]
fn numbers_can_be_typed() {
    if lacks("python3") {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let typing = Terminal::new()
        .see("fibrpc: reading numbers from the terminal, one per line; Ctrl-D ends the input")
        .type_keys("30\\n")
        .see("832040\r\n")
        .type_keys("x\\n")
        .see("line 2: x: not an integer")
        .type_keys("10\\n")
        .see("55\r\n")
        .type_keys("\\x04");
    let output = on_terminal(typing, &settings, &["-"]);
    assert_eq!(output.code(), 65, "{output:?}");
    assert!(
        output.stdout.ends_with("fibrpc: 2 answered, 1 failed\r\n"),
        "{output:?}"
    );
    // No progress bar while somebody types.
    assert!(!output.stdout.contains(" done, "), "{output:?}");
}

#[test]
fn many_numbers_have_a_bar_on_a_terminal_and_nowhere_else() {
    if lacks("python3") {
        return;
    }
    let broker = Broker::shared();
    let folder = tempfile::tempdir().unwrap();
    let numbers = folder.path().join("numbers");
    fs::write(&numbers, "1\n".repeat(12)).unwrap();
    let file = numbers.to_str().unwrap();
    let answers = folder.path().join("answers");
    for (arguments, bar) in [
        (&["--file", file][..], true),
        (&["-"], true),
        (
            &["1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "1", "1"],
            true,
        ),
        (&["--json", "--file", file], false),
        (&["-q", "--file", file], false),
    ] {
        let vhost = broker.vhost();
        let mut server = Server::start(broker, &vhost);
        let settings = Settings::new(broker, &vhost);
        let slow = std::thread::spawn(move || {
            for _ in 0..12 {
                let request = server.request();
                std::thread::sleep(Duration::from_millis(150));
                server.reply(&request, b"1");
            }
            // Kept: with its connection the broker may lose what it has not read yet.
            server
        });
        let terminal = Terminal::new().stdin(&numbers).stdout(&answers);
        let output = on_terminal(terminal, &settings, arguments);
        slow.join().unwrap();
        assert_eq!(output.code(), 0, "{output:?}");
        let screen = &output.stdout;
        if !bar {
            // What takes a second is waited for aloud, unless that is not wanted.
            let is_quiet = arguments.contains(&"-q");
            let waits = |line: &&str| !is_quiet && line.starts_with("fibrpc: waiting for ");
            assert_eq!(screen.lines().find(|line| !waits(line)), None, "{screen}");
            continue;
        }
        assert!(
            screen.contains("%  ") && screen.contains(" done, "),
            "{screen}"
        );
        assert!(
            screen.contains("/s, ") && screen.contains("s left"),
            "{screen}"
        );
        assert!(
            screen.ends_with("\r\u{1b}[2K"),
            "it is taken away: {screen:?}"
        );
        assert_eq!(fs::read_to_string(&answers).unwrap(), "1\n".repeat(12));
        fs::remove_file(&answers).unwrap();
    }
}

#[test]
fn a_wait_of_a_second_is_explained_on_a_terminal() {
    if lacks("python3") {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let _server = Server::start(broker, &vhost);
    let settings = Settings::new(broker, &vhost).set("client.timeout", "4s");
    let waiting = "fibrpc: waiting for a reply from queue \"rpc_queue\", at most 4s\r\n";
    let output = on_terminal(Terminal::new().see(waiting), &settings, &["30"]);
    assert_eq!(output.code(), 75, "{output:?}");
    let output = on_terminal(Terminal::new(), &settings, &["-q", "30"]);
    assert!(!output.stdout.contains("waiting"), "{output:?}");
    assert_eq!(fibrpc(&settings, &["30"]).stderr.lines().count(), 1);

    // A pipe that nobody writes to, and then one without a further number.
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let file = fifo.to_str().unwrap();
    let waiting = format!("fibrpc: waiting for numbers from {file}\r\n");
    let terminal = Terminal::new().see(&waiting).type_keys("\\x03");
    let output = on_terminal(terminal, &settings, &["--file", file]);
    assert_eq!(output.code(), 130, "{output:?}");

    // It listens, and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = mute.local_addr().unwrap();
    let settings = Settings::at(&format!("amqp://{address}")).set("client.timeout", "3s");
    let waiting = format!("fibrpc: waiting for broker {address}\r\n");
    for arguments in [&["30"][..], &["ping"], &["status"]] {
        let terminal = Terminal::new().see(&waiting);
        let output = on_terminal(terminal, &settings, arguments);
        assert_eq!(output.code(), 69, "{output:?}");
    }
}

#[test]
fn errors_have_colours_where_they_are_wanted() {
    if lacks("python3") {
        return;
    }
    let (settings, line) = nowhere();
    let red = format!("{RED}{line}");
    let plain = format!("fibrpc: {line}");
    // In pipes.
    assert_eq!(fibrpc(&settings, &["30"]).stderr, plain);
    assert_eq!(fibrpc(&settings, &["--color", "always", "30"]).stderr, red);
    // On a terminal.
    for (arguments, variable, expect) in [
        (&["30"][..], None, &red),
        (&["30"], Some(("NO_COLOR", "1")), &plain),
        (&["30"], Some(("NO_COLOR", "")), &red),
        (&["30"], Some(("TERM", "dumb")), &plain),
        (&["--color=never", "30"], None, &plain),
        (&["--color=always", "30"], Some(("NO_COLOR", "1")), &red),
    ] {
        let (mut command, _folder) = command(&settings, arguments);
        command.envs(variable);
        let output = Terminal::new().run(&command);
        assert_eq!(
            (output.code(), output.stdout.trim_end()),
            (69, expect.as_str()),
            "{variable:?}"
        );
    }
}

#[test]
fn help_obeys_the_same_choice_and_a_wrong_command_line_too() {
    if lacks("python3") {
        return;
    }
    let bold = |output: &Output| output.stdout.contains("\u{1b}[1m");
    let help = |arguments: &[&str]| Fibrpc::bare().args(arguments).run(SOON);
    assert!(!bold(&help(&["-h"])) && !bold(&help(&["ping", "--help"])));
    assert!(bold(&help(&["--color", "always", "-h"])));
    assert!(bold(&help(&["ping", "--help", "--color=always"])));
    let mut command = Command::new(env!("CARGO_BIN_EXE_fibrpc"));
    command.arg("-h");
    assert!(bold(&Terminal::new().run(&command)));
    command.env("NO_COLOR", "1");
    assert!(!bold(&Terminal::new().run(&command)));
    let wrong = help(&["--color", "always", "--jsn"]);
    assert!(wrong.stderr.starts_with(RED), "{wrong:?}");
    assert!(!wrong.stderr[RED.len()..].contains('\u{1b}'), "{wrong:?}");
}

#[test]
fn the_state_of_a_daemon_has_a_colour() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    crate::support::until(SOON, "the daemon's answer", || {
        let output = fibrpc(&settings, &["status", "--color=always"]);
        output
            .stdout
            .contains("\u{1b}[32mconsuming\u{1b}[0m")
            .then_some(())
    });
    let output = fibrpc(&settings, &["status"]);
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
}

#[test]
fn ctrl_c_at_the_terminal_is_seen_by_the_shell_as_130() {
    if lacks("python3") {
        return;
    }
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    for (arguments, see, last) in [
        (
            &["-"][..],
            "Ctrl-D ends the input",
            "fibrpc: interrupted: 0 answered, 0 failed",
        ),
        (
            &["ping"],
            "reply from ",
            "1 sent, 1 received, 0% lost, min/avg/p99/max = ",
        ),
        (&["status", "--watch"], "queue rpc_queue: ", ""),
    ] {
        let (command, _folder) = command(&settings, arguments);
        let mut shell = Command::new("bash");
        shell
            .args(["-c", r#"trap : INT; "$0" "$@"; echo "status $?""#])
            .arg(command.get_program())
            .args(command.get_args());
        let typing = Terminal::new().see(see).type_keys("\\x03").see(last);
        let output = typing.run(&shell);
        assert_eq!(output.code(), 0, "{output:?}");
        assert!(output.stdout.ends_with("status 130\r\n"), "{output:?}");
    }
}

#[test]
fn wrong_words_are_one_line_with_a_suggestion() {
    let (settings, _) = nowhere();
    for (arguments, line) in [
        (
            &["pnig"][..],
            "unknown command 'pnig'; did you mean 'ping'?",
        ),
        (
            &["stauts", "--watch"],
            "unknown command 'stauts'; did you mean 'status'?",
        ),
        (
            &["config", "shwo"],
            "unrecognized subcommand 'shwo'; a similar subcommand exists: 'show'",
        ),
        (
            &["--wiat", "30"],
            "unexpected argument '--wiat' found; a similar argument exists: '--wait'",
        ),
    ] {
        let output = fibrpc(&settings, arguments);
        let line = format!("fibrpc: {line}");
        assert_eq!(
            (
                output.code(),
                output.stdout.as_str(),
                output.stderr.as_str()
            ),
            (64, "", line.as_str())
        );
    }
}
