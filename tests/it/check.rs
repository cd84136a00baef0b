//! The command line of `fibrpcd` when it does not serve: `--check`, errors, exit statuses.

use std::fs;
use std::process::{Command, Output};

fn fibrpcd(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fibrpcd"))
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn lines(stderr: &[u8]) -> Vec<String> {
    let text = String::from_utf8(stderr.to_vec()).unwrap();
    text.lines().map(Into::into).collect()
}

#[test]
fn a_good_configuration_is_one_line_on_stderr() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.toml");
    // Nothing listens there, and it is not contacted.
    fs::write(&file, "broker.url = \"amqp://127.0.0.1:1\"\n").unwrap();
    let file = file.to_str().unwrap();
    for flag in ["--check", "-t"] {
        let output = fibrpcd(&[flag, "--config", file]);
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.is_empty());
        assert_eq!(
            lines(&output.stderr),
            [format!("fibrpcd: configuration is good: {file}")]
        );
    }
}

#[test]
fn all_problems_are_shown_and_the_exit_status_says_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    fs::write(&file, "[server]\nprefetch = 0\nmax_m = 3\n").unwrap();
    let file = file.to_str().unwrap();
    // With or without --check: a broken configuration never starts.
    for arguments in [&["--check", "--config", file][..], &["--config", file]] {
        let output = fibrpcd(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        assert!(output.stdout.is_empty());
        let lines = lines(&output.stderr);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().any(|line| line.contains("server.prefetch")));
        assert!(lines.iter().any(|line| line.contains("server.max_n")));
        assert!(lines.iter().all(|line| line.starts_with("fibrpcd: ")));
    }
}

#[test]
fn usage_errors_exit_64_and_help_is_data() {
    for arguments in [&["30"][..], &["--chek"], &["--log-level", "loud"]] {
        let output = fibrpcd(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(output.stdout.is_empty());
        assert!(!output.stderr.is_empty());
    }
    for (flag, expect) in [("-h", "Usage: fibrpcd"), ("-V", env!("CARGO_PKG_VERSION"))] {
        let output = fibrpcd(&[flag]);
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert!(output.stderr.is_empty());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(expect), "{text}");
    }
}
