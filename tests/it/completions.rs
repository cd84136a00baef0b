//! The completion scripts, loaded by the shells that they are for. `scripts/test` installs these.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Fibrpc, SOON, Terminal, lacks};

/// A script in a file of the name that its shell looks for.
fn script(shell: &str, name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = Fibrpc::bare().args(["completions", shell]).run(SOON);
    assert_eq!((output.code(), output.stderr.as_str()), (0, ""));
    fs::write(folder.path().join(name), output.stdout).unwrap();
    folder
}

/// What a shell makes of the words so far, sorted.
fn run(shell: &str, program: &str, folder: &Path) -> Vec<String> {
    let mut command = Command::new(shell);
    if shell == "bash" {
        command.args(["--norc", "--noprofile"]);
    }
    let output = command
        .args(["-c", program])
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("PATH", "/usr/bin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{shell}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let mut found: Vec<String> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| line.split('\t').next().unwrap().to_owned())
        .collect();
    found.sort();
    found
}

/// Words so far, the last of them unfinished, and what they may become. A folder holds the script and
/// nothing else, so that is the only file.
const CASES: &[(&str, &[&str])] = &[
    ("fibrpc pi", &["ping"]),
    ("fibrpc --js", &["--json"]),
    ("fibrpc --in", &["--in-flight"]),
    ("fibrpc --color al", &["always"]),
    ("fibrpc --json stat", &["status"]),
    ("fibrpc config s", &["show"]),
    ("fibrpc config check --qu", &["--queue", "--quiet"]),
    ("fibrpc ping --co", &["--color", "--config", "--count"]),
    ("fibrpc status --wat", &["--watch"]),
    ("fibrpc completions f", &["fish"]),
    ("fibrpc --file the-", &["the-script"]),
    ("fibrpc --config the-", &["the-script"]),
    ("fibrpc call --meth", &["--method"]),
    ("fibrpc call q --file the-", &["the-script"]),
    ("fibrpc bench --body-file the-", &["the-script"]),
];

#[test]
fn bash_completes_commands_flags_and_values() {
    let folder = script("bash", "the-script");
    for (words, expect) in CASES {
        let program = format!(
            r#"source ./the-script
            complete -p fibrpc >/dev/null || exit
            compopt() {{ :; }} # is for a shell that somebody types into
            COMP_WORDS=({words})
            COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _fibrpc fibrpc "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD - 1]}}"
            printf '%s\n' "${{COMPREPLY[@]}}""#
        );
        assert_eq!(run("bash", &program, folder.path()), *expect, "{words}");
    }
}

#[test]
fn fish_completes_commands_flags_and_values() {
    if lacks("fish") {
        return;
    }
    let folder = script("fish", "the-script");
    for (words, expect) in CASES {
        let program = format!("source ./the-script; complete -C '{words}'");
        assert_eq!(run("fish", &program, folder.path()), *expect, "{words}");
    }
    let nothing = run(
        "fish",
        "source ./the-script; complete -C 'fibrpc the-'",
        folder.path(),
    );
    assert!(nothing.is_empty(), "a number is no file: {nothing:?}");
}

#[test]
fn zsh_completes_commands_flags_and_values() {
    if lacks("zsh") || lacks("python3") {
        return;
    }
    let folder = script("zsh", "_fibrpc");
    fs::write(folder.path().join("the-script"), "").unwrap();
    let mut zsh = Command::new("zsh");
    zsh.arg("-f")
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", folder.path())
        .env("PS1", "> ");
    let setup = format!(
        "cd {folder}; fpath=({folder} $fpath); autoload -U compinit; compinit -u -D; print LOAD''ED\\n",
        folder = folder.path().display()
    );
    let mut session = Terminal::new().see("> ").type_keys(&setup).see("LOADED");
    for (words, expect) in CASES {
        session = session.see("> ").type_keys(&format!("{words}\\t"));
        // One goes into the line; several are listed in their order.
        for word in *expect {
            session = session.see(word);
        }
        session = session.type_keys("\\x15\\n");
    }
    let output = session.type_keys("exit\\n").run(&zsh);
    assert_eq!(output.code(), 0, "{output:?}");
}
