//! The manual pages document everything that the programs accept, and nothing else.

use super::{read, root, text, tool};
use fibrpc::internals::client::FAILURE_KINDS;
use fibrpc::internals::config::Reload;
use fibrpc::internals::fibonacci::settings::KEYS;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

const DAEMON: &str = "man/fibrpcd.8";
const CLIENT: &str = "man/fibrpc.1";
const CONFIGURATION: &str = "man/fibrpc.toml.5";

/// The term lines of the lists in one section.
fn terms(page: &str, section: &str) -> Vec<String> {
    let text = read(page);
    let start = text.find(&format!("\n.Sh {section}\n")).unwrap() + 1;
    let rest = &text[start..];
    let end = rest.find("\n.Sh ").unwrap_or(rest.len());
    let terms = rest[..end]
        .lines()
        .filter_map(|line| line.strip_prefix(".It "));
    terms.map(|term| term.replace("\\-", "-")).collect()
}

/// The entry of a key in the configuration's page: its term line and its text.
fn entry(key: &str) -> (String, String) {
    let text = read(CONFIGURATION);
    let mut entries = text.split("\n.It ");
    let found = entries.find(|entry| entry.split_whitespace().nth(1) == Some(key));
    let found = found.unwrap_or_else(|| panic!("{key} is not in {CONFIGURATION}"));
    let body = found.split("\n.El").next().unwrap();
    let (term, body) = body.split_once('\n').unwrap();
    (term.to_owned(), body.to_owned())
}

#[test]
fn every_key_with_its_default_and_its_kind_of_reload() {
    for key in KEYS.iter() {
        let (term, body) = entry(key.name);
        let default = match key.default_value() {
            Some(toml::Value::String(text)) => format!(" No = {}", format!("Qq {text}").trim()),
            Some(value) => format!(" No = {value}"),
            None => String::new(),
        };
        assert_eq!(term, format!("Cm {}{default}", key.name));
        let reload = match key.reload {
            Reload::Hot => "Reload: at once.",
            Reload::Session => "Reload: new session.",
            Reload::Restart => "Reload: restart.",
        };
        assert!(body.trim_end().ends_with(reload), "{}: {reload}", key.name);
    }
}

#[test]
fn no_key_that_is_none() {
    for section in ["BROKER", "QUEUE", "SERVER", "CLIENT", "LOG"] {
        for term in terms(CONFIGURATION, section) {
            let name = term.split_whitespace().nth(1).unwrap();
            assert!(KEYS.iter().any(|key| key.name == name), "{name}");
        }
    }
}

fn help(program: &str, command: &[String]) -> String {
    let words = command.iter().map(String::as_str).chain(["--help"]);
    text(&tool(program, &words.collect::<Vec<_>>()).unwrap())
}

/// The commands below one that a program's own help lists.
fn below(program: &str, command: &[String]) -> Vec<Vec<String>> {
    let help = help(program, command);
    let (_, list) = help.split_once("Commands:\n").unwrap_or_default();
    let list = list.lines().take_while(|line| line.starts_with("  "));
    // Deeper lines go on with what a command does.
    let list = list.filter(|line| !line.starts_with("   "));
    list.map(|line| {
        let name = line.split_whitespace().next().unwrap_or_default();
        [command, &[name.to_owned()]].concat()
    })
    .collect()
}

/// A program and all its commands, each as the words that follow the program; those that print help
/// on others are left out below the first level.
fn commands(program: &str) -> Vec<Vec<String>> {
    let mut found = vec![Vec::new()];
    let mut next = 0;
    while let Some(command) = found.get(next).cloned() {
        let is_help = |command: &Vec<String>| command.last().is_some_and(|word| word == "help");
        let mut below = below(program, &command);
        below.retain(|below| !is_help(below) || below.len() == 1);
        found.extend(
            below
                .into_iter()
                .filter(|below| !found.contains(below))
                .collect::<Vec<_>>(),
        );
        next += 1;
    }
    found
}

/// The flags that the help of a command names at the beginning of its lines.
fn flags(program: &str, command: &[String]) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for line in help(program, command).lines() {
        let words = line.trim_start().split([' ', ',', '.']);
        let is_flag = |word: &&str| word.starts_with('-') && word.len() > 1;
        let words = words.filter(|word| !word.is_empty()).take_while(is_flag);
        flags.extend(words.map(|flag| flag.trim_start_matches('-').to_owned()));
    }
    flags
}

#[test]
fn every_flag_and_no_other() {
    for (page, program) in [
        (DAEMON, env!("CARGO_BIN_EXE_fibrpcd")),
        (CLIENT, env!("CARGO_BIN_EXE_fibrpc")),
    ] {
        let mut written = BTreeSet::new();
        for term in terms(page, "DESCRIPTION") {
            let flags = term.split("Fl ").skip(1);
            let name = |flag: &str| flag.split_whitespace().next().unwrap().to_owned();
            written.extend(flags.map(|flag| name(flag).trim_start_matches('-').to_owned()));
        }
        let commands = commands(program);
        let is_help = |command: &&Vec<String>| command.last().is_some_and(|word| word == "help");
        let commands = commands.iter().filter(|command| !is_help(command));
        let flags: BTreeSet<String> = commands
            .flat_map(|command| flags(program, command))
            .collect();
        assert!(flags.contains("version"), "{flags:?}");
        assert_eq!(written, flags, "{page}");
    }
}

/// The table of what a failure says of the request.
#[test]
fn every_kind_of_failure_and_no_other() {
    let rows: Vec<String> = terms(CLIENT, "DIAGNOSTICS");
    let kinds = FAILURE_KINDS.iter().map(|kind| {
        format!(
            "\"{}\" Ta {} Ta {} Ta {} Ta {}",
            kind.words,
            kind.code.exit_status(),
            kind.published.word(),
            kind.worked_on.word(),
            kind.retry().word()
        )
    });
    // The first row names the columns.
    assert_eq!(rows[1..], kinds.collect::<Vec<_>>());
}

#[test]
fn every_command_and_no_other() {
    let terms = terms(CLIENT, "DESCRIPTION");
    let written = terms.iter().filter_map(|term| term.strip_prefix("Cm "));
    let name = |term: &str| term.split(" Ar ").next().unwrap_or_default().to_owned();
    let written: BTreeSet<String> = written.map(name).collect();
    let commands = commands(env!("CARGO_BIN_EXE_fibrpc"));
    // Those that have others below them do nothing by themselves.
    let leads = |command: &&Vec<String>| {
        !commands
            .iter()
            .any(|other| other.len() > command.len() && other.starts_with(command))
    };
    let leaves: BTreeSet<String> = commands
        .iter()
        .filter(leads)
        .map(|command| command.join(" "))
        .collect();
    assert!(leaves.contains("config show"), "{leaves:?}");
    assert_eq!(written, leaves);
}

/// A command's own flags stand below it in the page, those of all commands do not.
#[test]
fn flags_are_written_with_their_command() {
    let text = read(CLIENT).replace("\\-", "-");
    let program = env!("CARGO_BIN_EXE_fibrpc");
    let common = flags(program, &["config".into(), "show".into()]);
    for command in commands(program).iter().skip(1) {
        if command[0] == "help" {
            continue;
        }
        let entry = text
            .split(&format!("\n.It Cm {}", command.join(" ")))
            .nth(1)
            .unwrap_or_default();
        let entry = entry.split("\n.It Cm ").next().unwrap_or_default();
        for flag in flags(program, command).difference(&common) {
            let found = entry.lines().any(|line| {
                line.starts_with(".It Fl")
                    && line
                        .split(' ')
                        .any(|word| word.trim_start_matches('-') == flag)
            });
            assert!(found, "{command:?}: {flag}");
        }
    }
}

#[test]
fn every_exit_status_and_no_other() {
    // `Done = 0,` and so on.
    let daemon = read("src/daemon/exit.rs");
    let number = |line: &str| {
        line.trim()
            .strip_suffix(',')?
            .rsplit_once(" = ")?
            .1
            .parse()
            .ok()
    };
    let daemon: BTreeSet<u8> = daemon.lines().filter_map(number).collect();
    // In the client's help a number, two blanks and what it means.
    let help = help(env!("CARGO_BIN_EXE_fibrpc"), &[]);
    let (_, help) = help.split_once("Exit status:").unwrap();
    let number = |line: &str| line.trim().split_once("  ")?.0.parse().ok();
    let mut client: BTreeSet<u8> = help.lines().filter_map(number).collect();
    // What is too rare for the help: `const SYSTEM: u8 = 71;`.
    let code = read("src/cli/exit.rs");
    let constants = code.lines().filter(|line| line.contains("const "));
    let number = |line: &str| {
        line.rsplit_once(" = ")?
            .1
            .trim_end_matches(';')
            .parse()
            .ok()
    };
    client.extend(constants.filter_map(number).collect::<Vec<u8>>());
    for (page, statuses) in [(DAEMON, daemon), (CLIENT, client)] {
        assert!(statuses.len() > 4, "{page}: {statuses:?}");
        let terms = terms(page, "EXIT STATUS");
        let written: BTreeSet<u8> = terms.iter().map(|term| term.parse().unwrap()).collect();
        assert_eq!(written, statuses, "{page}");
    }
}

#[test]
fn every_signal() {
    let code = read("src/daemon/signals.rs");
    let words = code.split(|char: char| !char.is_ascii_alphanumeric());
    // SIGUSR1 is for builds with `--cfg test_wedge` only.
    let is_signal = |word: &&str| word.starts_with("SIG") && word.len() > 3 && *word != "SIGUSR1";
    let signals: BTreeSet<&str> = words.filter(is_signal).collect();
    assert!(signals.len() > 2, "{signals:?}");
    let terms = terms(DAEMON, "DESCRIPTION").join("\n");
    for signal in signals {
        assert!(terms.contains(&format!("Dv {signal}")), "{signal}");
    }
}

/// The environment variables that the code of some folders names.
fn variables(folders: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut queue: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(path) = queue.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(path).unwrap();
            queue.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let code = fs::read_to_string(path).unwrap();
        let code = code.split("#[cfg(test)]").next().unwrap();
        for call in [
            "var(",
            "var_os(",
            "path(",
            "absolute(",
            "_VARIABLE: &str = ",
        ] {
            for rest in code.split(&format!("{call}\"")).skip(1) {
                let name = rest.split('"').next().unwrap();
                let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
                if name.chars().all(is_name) {
                    found.insert(name.to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn every_variable() {
    let of_sd_notify = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
    let both = ["FIBRPC_CONFIG", "FIBRPC_SECTION__KEY"];
    let of_anstream = ["NO_COLOR", "TERM"];
    let mut daemon = variables(&[
        "src/daemon",
        "src/telemetry/endpoint",
        "src/server",
        "src/config",
        "src/broker",
    ]);
    daemon.extend(of_sd_notify.into_iter().chain(both).map(str::to_owned));
    // Where the user's own file is: only the client reads it.
    daemon.retain(|name| name != "HOME" && name != "XDG_CONFIG_HOME");
    let mut client = variables(&["src/cli", "src/client", "src/config", "src/broker"]);
    client.extend(both.into_iter().chain(of_anstream).map(str::to_owned));
    for (page, variables) in [(DAEMON, daemon), (CLIENT, client)] {
        assert!(variables.contains("CREDENTIALS_DIRECTORY"), "{variables:?}");
        let terms = terms(page, "ENVIRONMENT").join(" ");
        let written: BTreeSet<&str> = terms
            .split([' ', ','])
            .filter(|word| word.len() > 2)
            .collect();
        for variable in variables {
            assert!(written.contains(&variable[..]), "{page}: {variable}");
        }
    }
}

#[test]
fn mandoc_finds_nothing_wrong() {
    for page in [DAEMON, CLIENT, CONFIGURATION] {
        let path = root().join(page);
        if let Some(output) = tool("mandoc", &["-T", "lint", path.to_str().unwrap()]) {
            // Which other pages are installed does not matter, and it takes ALERTS for CAVEATS.
            let elsewhere = |line: &&str| {
                !line.contains("referenced manual not found")
                    && !line.contains("mandoc.db")
                    && !line.contains("possible typo in section name: Sh ALERTS")
            };
            let found: Vec<String> = text(&output)
                .lines()
                .filter(elsewhere)
                .map(str::to_owned)
                .collect();
            assert!(found.is_empty(), "{found:#?}");
        }
    }
}
