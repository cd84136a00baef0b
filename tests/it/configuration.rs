//! `fibrpc config show`, and the findings that `fibrpc config check` and `fibrpcd --check` have in common.

mod pipes;
mod secrets;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::certificates::Authority;

const FIBRPC: &str = env!("CARGO_BIN_EXE_fibrpc");
const FIBRPCD: &str = env!("CARGO_BIN_EXE_fibrpcd");

/// A folder with files of those names and texts.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folder
}

/// A program without any environment but a home.
fn command(program: &str, folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path());
    command.env_clear().env("HOME", folder.path());
    command
}

fn run(program: &str, folder: &TempDir, arguments: &[&str]) -> (Option<i32>, String, String) {
    seen(
        folder,
        &command(program, folder, arguments).output().unwrap(),
    )
}

/// Exit status, standard output and standard error, without the folder's random name.
fn seen(folder: &TempDir, output: &Output) -> (Option<i32>, String, String) {
    let place = format!("{}/", folder.path().display());
    let text = |bytes: &[u8]| {
        String::from_utf8(bytes.to_vec())
            .unwrap()
            .replace(&place, "")
    };
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program run by somebody whom permissions stop: not by root.
fn somebody_else(program: &str, folder: &TempDir, arguments: &[&str]) -> Command {
    const NOBODY: u32 = 65534;
    if !is_root() {
        return command(program, folder, arguments);
    }
    // Nobody may not get at our build either. Copied by a process of its own: what we have open for writing
    // while a test next door forks would be busy.
    let copy = folder.path().join("program");
    let copied = Command::new("cp").arg(program).arg(&copy).status();
    assert!(copied.unwrap().success());
    set_mode(&copy, 0o755);
    set_mode(folder.path(), 0o755);
    let mut command = command(copy.to_str().unwrap(), folder, arguments);
    command.uid(NOBODY).gid(NOBODY);
    command
}

#[test]
fn both_programs_look_into_the_files_with_the_password_and_for_tls() {
    let authority = Authority::new("tests");
    let [one, other] = [(); 2].map(|()| authority.sign(&["localhost"], |_| {}));
    let files = [
        ("c.toml", ""),
        ("certificate.pem", one.certificate.as_str()),
        ("key.pem", &one.key),
        ("other-key.pem", &other.key),
        ("empty", ""),
        ("good-password", "secret\n"),
        (
            "no-pem",
            "-----BEGIN CERTIFICATE-----\n~\n-----END CERTIFICATE-----\n",
        ),
    ];
    let folder = folder(&files);
    let password =
        |file: &str| format!("broker.url = \"amqp://u@h\"\nbroker.password_file = \"F/{file}\"");
    let ca = |file: &str| format!("ca_file = \"F/{file}\"");
    let pair = |key: &str| {
        let certificate = ca("certificate.pem");
        format!("{certificate}, cert_file = \"F/certificate.pem\", key_file = \"F/{key}\"")
    };
    let tls = |keys: &str| format!("broker.url = \"amqps://u:p@h\"\nbroker.tls = {{ {keys} }}");
    for (text, problem) in [
        (password("good-password"), None),
        (
            password("missing"),
            Some("broker.password_file: cannot use missing: no such file; check the path and "),
        ),
        (
            password("empty"),
            Some("broker.password_file: cannot use empty: is empty; check the path and "),
        ),
        (tls(&ca("certificate.pem")), None),
        (
            tls(&ca("missing")),
            Some("broker.tls.ca_file: cannot use missing: no such file; check the path and "),
        ),
        (
            tls(&ca("key.pem")),
            Some("broker.tls.ca_file: cannot use key.pem: no certificate in it but a private key"),
        ),
        (
            tls(&ca("no-pem")),
            Some("broker.tls.ca_file: cannot use no-pem: not valid PEM"),
        ),
        (
            tls(&ca(".")),
            Some("broker.tls.ca_file: cannot use .: is a directory"),
        ),
        (tls(&pair("key.pem")), None),
        (
            tls(&pair("certificate.pem")),
            Some(
                "broker.tls.key_file: cannot use certificate.pem: no private key in it but a certificate; are broker.tls.cert_file",
            ),
        ),
        (
            tls(&pair("other-key.pem")),
            Some(
                "broker.tls.cert_file: cannot use certificate.pem: its first certificate does not belong to the key in other-key.pem",
            ),
        ),
        // Nothing will need it.
        (
            "broker = { url = \"amqp://u:p@h\", tls = { server_name = \"h\" } }".into(),
            None,
        ),
    ] {
        let text = text.replace("F/", &format!("{}/", folder.path().display()));
        fs::write(folder.path().join("c.toml"), &text).unwrap();
        let daemon = run(FIBRPCD, &folder, &["--config", "c.toml", "--check"]);
        let client = run(FIBRPC, &folder, &["--config", "c.toml", "config", "check"]);
        let good = "configuration is good: c.toml\n";
        let Some(problem) = problem else {
            assert_eq!(
                (daemon.0, client.0),
                (Some(0), Some(0)),
                "{text}: {client:?}"
            );
            assert!(daemon.2.ends_with(good) && client.1 == good, "{client:?}");
            continue;
        };
        assert_eq!((daemon.0, client.0), (Some(78), Some(78)), "{text}");
        for (stderr, program) in [(daemon.2, "fibrpcd"), (client.2, "fibrpc")] {
            assert!(
                stderr.starts_with(&format!("{program}: {problem}")),
                "{stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
        }
    }
}

#[test]
fn what_this_user_may_not_read_is_a_problem_of_the_daemon_and_a_warning_to_a_user() {
    let folder = folder(&[("password", "secret")]);
    let place = folder.path();
    let password = place.join("password");
    let text = format!("broker.url = \"amqp://u@h\"\nbroker.password_file = {password:?}");
    fs::write(place.join("c.toml"), text).unwrap();
    set_mode(&password, 0o000);
    let run = |program: &str, arguments: &[&str]| {
        let mut command = somebody_else(program, &folder, arguments);
        seen(&folder, &command.output().unwrap())
    };
    let denied = "broker.password_file: cannot use password: permission denied; check the path and its permissions";
    let (code, _, stderr) = run(FIBRPCD, &["--check", "--config", "c.toml"]);
    assert_eq!((code, stderr), (Some(78), format!("fibrpcd: {denied}\n")));
    let (code, stdout, stderr) = run(FIBRPC, &["config", "check", "--config", "c.toml"]);
    assert_eq!(
        (code, stderr),
        (
            Some(0),
            format!("fibrpc: warning: {denied}; not checked any further\n")
        )
    );
    assert_eq!(stdout, "configuration is good: c.toml\n");
}

#[test]
fn the_users_own_file_is_checked_and_cannot_hide_the_daemons() {
    let own = ".config/fibrpc/fibrpc.toml";
    // The daemon ignores the user's own file; mistakes in it are reported as well.
    let folder = folder(&[(own, "client.timeout = \"7s\"\n")]);
    let (code, stdout, _) = run(FIBRPC, &folder, &["config", "check"]);
    assert_eq!(code, Some(0));
    assert!(stdout.ends_with(&format!("{own}\n")), "{stdout}");
    fs::write(folder.path().join(own), "client.timeuot = \"7s\"\n").unwrap();
    let (code, stdout, stderr) = run(FIBRPC, &folder, &["config", "check"]);
    assert_eq!((code, stdout.as_str()), (Some(78), ""));
    assert_eq!(
        stderr,
        format!("fibrpc: client.timeuot: unknown key ({own}:1); did you mean client.timeout?\n")
    );
    // A wrong flag is a usage error; it concerns both programs, and is reported once.
    let (code, _, stderr) = run(
        FIBRPC,
        &folder,
        &["config", "check", "--config", "/dev/null", "--timeout", "x"],
    );
    assert_eq!((code, stderr.lines().count()), (Some(64), 1), "{stderr}");
}

#[test]
fn a_check_for_scripts_is_one_object_a_finding() {
    let folder = folder(&[
        ("good.toml", "broker.url = \"amqp://u@h\""),
        ("bad.toml", "server.prefetch = 0\nlog.levle = \"info\""),
    ]);
    let objects = |file: &str| {
        let (code, stdout, stderr) = run(
            FIBRPC,
            &folder,
            &["--json", "--config", file, "config", "check"],
        );
        assert_eq!(stderr, "");
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        (code, lines.collect::<Vec<Value>>())
    };
    let (code, found) = objects("good.toml");
    assert_eq!((code, found.len()), (Some(0), 2), "{found:?}");
    assert_eq!(found[0]["verdict"], "warning");
    let good = json!({
        "verdict": "ok",
        "message": "configuration is good: good.toml",
        "files": ["good.toml"],
    });
    assert_eq!(found[1], good);
    let (code, found) = objects("bad.toml");
    assert_eq!((code, found.len()), (Some(78), 2), "{found:?}");
    let is_problem =
        |object: &Value| object["verdict"] == "problem" && object["message"].is_string();
    assert!(found.iter().all(is_problem), "{found:?}");
}

#[test]
fn what_is_shown_loads_to_the_same_and_holds_no_password() {
    let own = ".config/fibrpc/fibrpc.toml";
    let folder = folder(&[(
        own,
        "[broker]\nurl = \"amqp://u:k4nary@h/v\"\n\n[client]\ntimeout = \"90s\"\n",
    )]);
    let show = |arguments: &[&str]| {
        let mut command = command(FIBRPC, &folder, arguments);
        command.env("FIBRPC_QUEUE__TYPE", "classic");
        seen(&folder, &command.output().unwrap())
    };
    let (code, shown, stderr) = show(&["config", "show", "--queue", "jobs"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for line in [
        format!("url = \"amqp://u:***@h:5672/v\"  # {own}:2"),
        format!("timeout = \"1m30s\"  # {own}:5"),
        "type = \"classic\"  # FIBRPC_QUEUE__TYPE".into(),
        "name = \"jobs\"  # command line".into(),
        "prefetch = 2000  # default".into(),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    assert!(!shown.contains("k4nary"), "{shown}");
    // Once more, from what was shown: the same values from another place.
    fs::write(folder.path().join("shown.toml"), &shown).unwrap();
    let (_, again, _) = run(
        FIBRPC,
        &folder,
        &["--config", "shown.toml", "config", "show"],
    );
    let values = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(values(&again), values(&shown));

    let (code, lines, _) = show(&["--json", "config", "show"]);
    assert_eq!(code, Some(0));
    let objects: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let timeout = json!({"key": "client.timeout", "value": "1m30s", "origin": format!("{own}:5")});
    assert!(objects.contains(&timeout), "{lines}");
    assert!(!lines.contains("k4nary"), "{lines}");
}

#[test]
fn a_closed_pipe_and_a_full_disk_are_told_apart_here_as_well() {
    for arguments in [
        "config show",
        "completions zsh",
        "config check --config /dev/null",
    ] {
        for (to, code, stderr) in [
            ("| true", 0, ""),
            (
                ">/dev/full",
                74,
                "fibrpc: cannot write to standard output: No space left",
            ),
        ] {
            // The status of the first in the pipe, which bash knows.
            let script = format!("\"$0\" {arguments} {to}; exit ${{PIPESTATUS[0]}}");
            let output = Command::new("bash")
                .args(["-c", &script, FIBRPC])
                .env_clear()
                .output()
                .unwrap();
            let text = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{arguments} {to}: {text}");
            assert!(
                text.starts_with(stderr) && text.is_empty() == stderr.is_empty(),
                "{text}"
            );
        }
    }
}

/// Environment variables that choose trusted certificates are named, whether or not any certificate is left.
#[test]
fn variables_that_choose_trusted_certificates_are_named() {
    let authority = Authority::new("tests");
    let folder = folder(&[
        ("c.toml", "broker.url = \"amqps://u:p@h\"\n"),
        ("ca.pem", authority.certificate()),
    ]);
    let check = |file: &str, dir: &str| {
        Command::new(FIBRPC)
            .args(["--config", "c.toml", "config", "check"])
            .current_dir(folder.path())
            .env_clear()
            .env("SSL_CERT_FILE", file)
            .env("SSL_CERT_DIR", dir)
            .output()
            .unwrap()
    };
    for (file, dir, code) in [("/nonexistent", "", 78), ("ca.pem", "/nonexistent", 0)] {
        let output = check(file, dir);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for words in [
            "SSL_CERT_FILE=",
            "/nonexistent: no such file",
            "broker.tls.ca_file",
        ] {
            assert!(text.contains(words), "{text}");
        }
    }
}
