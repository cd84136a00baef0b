//! Unusual standard input, output and error: closed, read-only, /dev/null; and few descriptors.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Broker, Daemon, Output, Process, SOON, Settings};

pub const FIBRPC: &str = env!("CARGO_BIN_EXE_fibrpc");
pub const FIBRPCD: &str = env!("CARGO_BIN_EXE_fibrpcd");

/// A shell that runs `script` with these as `$0`, `$1` and so on.
pub fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("bash");
    command.args(["-c", script]).args(arguments).env_clear();
    command.env("LC_ALL", "C.UTF-8");
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// The same to its end.
pub fn sh(script: &str, arguments: &[&str]) -> Output {
    Process::start(&mut shell(script, arguments), b"").output(SOON)
}

/// What is printed without a broker.
const PRINTED: [&str; 8] = [
    "fibrpc --help",
    "fibrpc -h",
    "fibrpc ping --help",
    "fibrpc --version",
    "fibrpc completions bash",
    "fibrpc config show",
    "fibrpcd --version",
    "fibrpcd --help",
];

/// A script that runs one of our programs, with the two in `$0` and `$1`.
fn script(command: &str, redirection: &str) -> String {
    let (program, arguments) = command.split_once(' ').unwrap();
    let program = if program == "fibrpc" { "$0" } else { "$1" };
    format!("exec \"{program}\" {arguments} {redirection}")
}

fn redirected(command: &str, redirection: &str) -> Output {
    sh(&script(command, redirection), &[FIBRPC, FIBRPCD])
}

#[test]
fn a_standard_output_that_cannot_be_written_is_an_error() {
    for command in PRINTED {
        let program = command.split(' ').next().unwrap();
        for (redirection, why) in [
            (
                ">&-",
                "it is closed; redirect it to /dev/null to discard the output",
            ),
            (
                "<&- >&-",
                "it is closed; redirect it to /dev/null to discard the output",
            ),
            ("1</dev/null", "Bad file descriptor (os error 9)"),
            ("1<.", "Bad file descriptor (os error 9)"),
            (">/dev/full", "No space left on device (os error 28)"),
        ] {
            let output = redirected(command, redirection);
            let line = format!("{program}: cannot write to standard output: {why}");
            assert_eq!(
                (output.code(), output.stderr),
                (74, line),
                "{command} {redirection}"
            );
        }
        // There is nowhere to report it.
        for redirection in [">&- 2>&-", "<&- >&- 2>&-"] {
            assert_eq!(redirected(command, redirection).code(), 74, "{command}");
        }
    }
}

#[test]
fn a_discarded_standard_output_is_no_error() {
    for command in PRINTED {
        for redirection in [">/dev/null", "1<>/dev/null", "2>&-", "<&- 1<>/dev/null"] {
            let output = redirected(command, redirection);
            assert_eq!(
                (output.code(), output.stderr.as_str()),
                (0, ""),
                "{command} {redirection}"
            );
        }
    }
    // What Python, systemd and others do: /dev/null, opened for both ways, as all three.
    let python = "import subprocess as s, sys; null = s.DEVNULL; \
                  sys.exit(s.run(sys.argv[1:], stdin=null, stdout=null, stderr=null).returncode)";
    let output = sh(
        r#"python3 -c "$0" "$1" completions bash"#,
        &[python, FIBRPC],
    );
    assert_eq!(output.code(), 0, "{output:?}");
    let null = || {
        Stdio::from(
            fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/null")
                .unwrap(),
        )
    };
    let mut command = Command::new(FIBRPCD);
    let status = command
        .arg("--help")
        .stdin(null())
        .stdout(null())
        .stderr(null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    for command in ["fibrpc completions bash", "fibrpcd --help"] {
        // The other end is closed before it starts.
        let script = script(command, "").replacen("exec", "exec 3> >(:); wait $!; exec", 1);
        let output = sh(&format!("{script} >&3"), &[FIBRPC, FIBRPCD]);
        assert_eq!(
            (output.code(), output.stderr.as_str()),
            (0, ""),
            "{command}"
        );
    }
}

#[test]
fn answers_and_reports_that_cannot_be_written_are_an_error() {
    let broker = Broker::shared();
    let vhost = broker.vhost();
    let settings = Settings::new(broker, &vhost);
    let _daemon = Daemon::start_consuming(broker, &vhost, &settings);
    let url = broker.url(&vhost);
    for arguments in [
        "30",
        "--json 30",
        "status",
        "status --json",
        "doctor",
        "doctor --json",
        "ping -c 1",
        "bench --requests 10",
        "config show",
        "config check",
        "config check --json",
    ] {
        let script = format!(r#"export FIBRPC_BROKER__URL="$1"; exec "$0" {arguments}"#);
        let output = sh(&format!("{script} >&-"), &[FIBRPC, &url]);
        assert_eq!(output.code(), 74, "{arguments}: {output:?}");
        let last = "fibrpc: cannot write to standard output: it is closed; redirect it to /dev/null to discard the output";
        assert_eq!(output.stderr.lines().last(), Some(last), "{arguments}");
        let output = sh(&format!("{script} >/dev/null"), &[FIBRPC, &url]);
        // The doctor has warnings about a guest's password in the clear.
        let good = if arguments.starts_with("doctor") {
            0..=1
        } else {
            0..=0
        };
        assert!(good.contains(&output.code()), "{arguments}: {output:?}");
    }
}

#[test]
fn a_standard_input_that_cannot_be_read_is_an_error() {
    let closed = "it is closed; redirect a file or a pipe to it";
    for (arguments, name, why) in [
        ("- <&-", "standard input", closed),
        ("--file - <&-", "standard input", closed),
        ("--file /dev/stdin <&-", "/dev/stdin", closed),
        ("--file /dev/fd/0 <&-", "/dev/fd/0", closed),
        ("--file /proc/self/fd/0 <&-", "/proc/self/fd/0", closed),
        ("--file /dev/stdin <&- >&-", "/dev/stdin", closed),
        ("- <.", "standard input", "is a directory; name a file"),
        (
            "- 0>/dev/null",
            "standard input",
            "Bad file descriptor (os error 9)",
        ),
    ] {
        let output = sh(&format!(r#"exec "$0" {arguments}"#), &[FIBRPC]);
        let line = format!("fibrpc: cannot read {name}: {why}");
        assert_eq!((output.code(), output.stderr), (66, line), "{arguments}");
    }
    for arguments in [
        "- </dev/null",
        "- 0<>/dev/null",
        "--file /dev/stdin </dev/null",
        "--file /dev/null <&-",
    ] {
        let output = sh(&format!(r#"exec "$0" {arguments}"#), &[FIBRPC]);
        assert_eq!(
            (output.code(), output.stderr.as_str()),
            (0, ""),
            "{arguments}"
        );
    }
}

#[test]
fn a_wrong_command_line_is_shown_safely() {
    for program in [FIBRPC, FIBRPCD] {
        let output = sh(r#"exec "$0" $'--\e[2J\u202ewrong\u200b'"#, &[program]);
        assert_eq!(output.code(), 64, "{output:?}");
        let escaped = r"\u{202e}wrong\u{200b}";
        assert!(output.stderr.contains(escaped), "{output:?}");
        let raw = ['\u{1b}', '\u{202e}', '\u{200b}'];
        assert!(!output.stderr.contains(raw), "{output:?}");
    }
}

#[test]
fn few_descriptors_are_no_fault_of_the_output_or_input() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("numbers");
    fs::write(&file, "x\n").unwrap();
    for limit in 4..=20 {
        for (arguments, status, line) in [
            (
                "x",
                65,
                "fibrpc: x: not an integer; ask for a whole number such as 30",
            ),
            (
                "-",
                65,
                "fibrpc: line 1: x: not an integer; ask for a whole number such as 30",
            ),
            (
                "--file /dev/stdin",
                65,
                "fibrpc: line 1: x: not an integer; ask for a whole number such as 30",
            ),
            ("completions bash", 0, ""),
        ] {
            let script =
                format!(r#"exec <"$1" 2>&1 >/dev/null; ulimit -n {limit}; exec "$0" {arguments}"#);
            let output = sh(&script, &[FIBRPC, file.to_str().unwrap()]);
            let first = output.stdout.lines().next().unwrap_or_default();
            let short = output.code() == 71 && first.contains("Too many open files");
            assert!(
                short || (output.code(), first) == (status, line),
                "{limit}: {output:?}"
            );
        }
    }
}
