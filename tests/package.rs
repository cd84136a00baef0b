//! Holds what is packaged to the code: the units, their hardening, the manual pages, the versions.
//!
//! Quick and without a broker. Checks that need a tool say so where it is missing, and pass; the
//! scripts install all of them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "all of it is test code"
)]

use fibrpc::config::{Config, Reload, keys};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// Runs a tool; `None`, and a word about it, where the machine has not got it.
fn tool(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("LEFT OUT: cannot run {program}: {error}");
            None
        }
    }
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(out).into_owned() + &String::from_utf8_lossy(err)
}

mod units {
    use super::*;

    const UNIT: &str = "packaging/systemd/fibrpcd.service";
    const INSTANCE: &str = "packaging/systemd/fibrpcd@.service";
    const EXAMPLES: [&str; 3] = ["credentials", "ip-address-allow", "memory"];

    /// All values of a directive.
    fn values<'a>(unit: &'a str, directive: &str) -> Vec<&'a str> {
        let value = |line: &'a str| line.strip_prefix(directive)?.strip_prefix('=');
        unit.lines().filter_map(value).collect()
    }

    fn seconds(unit: &str, directive: &str) -> Duration {
        let values = values(unit, directive);
        let [value] = values[..] else {
            panic!("{directive}: {values:?}");
        };
        let digits = value.strip_suffix('s').unwrap();
        Duration::from_secs(digits.parse().unwrap())
    }

    /// A folder with both units and all drop-ins as systemd wants to see them; the programs are
    /// exchanged for one that is there, since verifying wants to find them.
    fn folder() -> (tempfile::TempDir, [PathBuf; 2]) {
        let folder = tempfile::tempdir().unwrap();
        let place = |from: &str, name: &str| {
            let unit = read(from)
                .replace("/usr/sbin/fibrpcd", "/bin/sh")
                .replace("/bin/kill", "/bin/sh");
            let path = folder.path().join(name);
            fs::write(&path, unit).unwrap();
            path
        };
        let units = [
            place(UNIT, "fibrpcd.service"),
            place(INSTANCE, "fibrpcd@reports.service"),
        ];
        (folder, units)
    }

    #[test]
    fn times_fit_the_defaults() {
        let server = Config::default().server;
        for file in [UNIT, INSTANCE] {
            let unit = read(file);
            // Acks, closes and the last lines of the log take their time after the drain.
            let stop = server.drain_timeout + Duration::from_secs(10);
            assert!(seconds(&unit, "TimeoutStopSec") >= stop, "{file}");
            let start = server.ready_timeout + Duration::from_secs(10);
            assert!(seconds(&unit, "TimeoutStartSec") >= start, "{file}");
            // Serving again within 40 s of a hang: the watchdog, the restart, and a connection.
            let back = seconds(&unit, "WatchdogSec") + seconds(&unit, "RestartSec");
            assert!(back <= Duration::from_secs(35), "{file}");
        }
    }

    #[test]
    fn the_daemon_believes_what_the_unit_says_of_stopping() {
        let stop = seconds(&read(UNIT), "TimeoutStopSec").as_secs();
        let line = format!("UNIT_STOP_TIMEOUT: Duration = Duration::from_secs({stop});");
        assert!(read("src/daemon/notify.rs").contains(&line), "{line}");
    }

    #[test]
    fn it_restarts_but_not_on_usage_and_configuration_errors() {
        for file in [UNIT, INSTANCE] {
            let unit = read(file);
            for (directive, expect) in [
                ("Type", "notify"),
                ("Restart", "on-failure"),
                ("RestartPreventExitStatus", "USAGE CONFIG"),
                ("StartLimitIntervalSec", "0"),
                ("KillMode", "mixed"),
            ] {
                assert_eq!(values(&unit, directive), [expect], "{file}: {directive}");
            }
            let [check, signal] = values(&unit, "ExecReload")[..] else {
                panic!("{file}: check, then signal");
            };
            assert!(check.ends_with(" --check"), "{file}");
            assert_eq!(signal, "/bin/kill -HUP $MAINPID", "{file}");
        }
    }

    #[test]
    fn an_instance_differs_in_configuration_and_state_only() {
        let instance = read(INSTANCE)
            .replace(", instance %i", "")
            .replace(" --config /etc/fibrpc/%i.toml", "")
            .replace("StateDirectory=fibrpcd/%i", "StateDirectory=fibrpcd");
        let directives = |unit: &str| -> Vec<String> {
            let lines = unit.lines().map(str::to_owned);
            lines.filter(|line| !line.starts_with('#')).collect()
        };
        let instance: Vec<String> = directives(&instance).into_iter().skip(1).collect();
        assert_eq!(instance, directives(&read(UNIT)));
    }

    #[test]
    fn the_user_is_the_one_that_sysusers_makes() {
        let user = values(&read(UNIT), "User").concat();
        let sysusers = read("packaging/systemd/fibrpcd.sysusers");
        let line = sysusers.lines().find(|line| !line.starts_with('#'));
        assert!(line.unwrap().starts_with(&format!("u {user} - ")));
    }

    #[test]
    fn systemd_finds_nothing_wrong_with_units_and_examples() {
        let (folder, units) = folder();
        let drop_ins = folder.path().join("fibrpcd.service.d");
        fs::create_dir(&drop_ins).unwrap();
        for example in EXAMPLES {
            let from = root().join(format!("packaging/systemd/examples/{example}.conf"));
            fs::copy(from, drop_ins.join(format!("{example}.conf"))).unwrap();
        }
        let [unit, instance] = units.map(|path| path.to_str().unwrap().to_owned());
        // Without --man: the pages are not installed here. The package test does it with them.
        let args = ["verify", "--man=no", &unit, &instance];
        if let Some(output) = tool("systemd-analyze", &args) {
            assert!(output.status.success(), "{}", text(&output));
            let ours = |line: &&str| line.contains("fibrpcd");
            assert_eq!(text(&output).lines().find(ours), None);
        }
    }

    #[test]
    fn exposure_is_at_most_1_1() {
        let (_folder, units) = folder();
        for unit in units {
            let path = unit.to_str().unwrap();
            let args = ["security", "--offline=true", "--threshold=11", path];
            if let Some(output) = tool("systemd-analyze", &args) {
                assert!(output.status.success(), "{}", text(&output));
            }
        }
    }
}

mod manuals {
    use super::*;

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
        for key in keys() {
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
                assert!(keys().any(|key| key.name == name), "{name}");
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
            let is_help =
                |command: &&Vec<String>| command.last().is_some_and(|word| word == "help");
            let commands = commands.iter().filter(|command| !is_help(command));
            let flags: BTreeSet<String> = commands
                .flat_map(|command| flags(program, command))
                .collect();
            assert!(flags.contains("version"), "{flags:?}");
            assert_eq!(written, flags, "{page}");
        }
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
        let daemon = read("src/daemon/mod.rs");
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
        // What is too rare for the help: `const EXIT_SYSTEM: u8 = 71;`.
        let mut code = String::new();
        for file in fs::read_dir(root().join("src/cli")).unwrap() {
            code += &fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        }
        let constants = code.lines().filter(|line| line.contains("const EXIT_"));
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
        // SIGUSR1 means something to the feature `test-wedge` only.
        let is_signal =
            |word: &&str| word.starts_with("SIG") && word.len() > 3 && *word != "SIGUSR1";
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
        let mut daemon = variables(&["src/daemon", "src/server", "src/config", "src/broker"]);
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
                // Which other pages a machine has says nothing about this one.
                let elsewhere = |line: &&str| {
                    !line.contains("referenced manual not found") && !line.contains("mandoc.db")
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
}

mod debian {
    use super::*;

    fn manifest() -> toml::Table {
        read("Cargo.toml").parse().unwrap()
    }

    fn metadata() -> toml::Table {
        let manifest = manifest();
        let metadata = &manifest["package"]["metadata"]["deb"];
        metadata.as_table().unwrap().clone()
    }

    #[test]
    fn the_changelog_is_of_this_version() {
        let changelog = read("packaging/deb/changelog");
        let expect = format!("fibrpc ({}-1) ", env!("CARGO_PKG_VERSION"));
        assert!(changelog.starts_with(&expect), "{expect}");
    }

    #[test]
    fn changelog_copyright_and_package_name_one_maintainer() {
        let maintainer = metadata()["maintainer"].as_str().unwrap().to_owned();
        assert!(read("packaging/deb/changelog").contains(&format!(" -- {maintainer}  ")));
        let name = maintainer.split(" <").next().unwrap();
        assert!(read("packaging/deb/copyright").contains(name));
        assert!(read("LICENSE-MIT").contains(name));
    }

    #[test]
    fn everything_that_is_installed_exists() {
        for asset in metadata()["assets"].as_array().unwrap() {
            let source = asset[0].as_str().unwrap();
            if source.starts_with("target/") {
                continue;
            }
            let path = root().join(source.replace("*.conf", ""));
            assert!(path.exists(), "{source}");
        }
    }

    #[test]
    fn completions_are_made_and_installed_where_each_shell_looks() {
        let assets = metadata()["assets"].to_string();
        let script = read("scripts/deb");
        for (shell, file, installed) in [
            ("bash", "fibrpc.bash", "bash-completion/completions/fibrpc"),
            ("zsh", "_fibrpc", "zsh/vendor-completions/_fibrpc"),
            (
                "fish",
                "fibrpc.fish",
                "fish/vendor_completions.d/fibrpc.fish",
            ),
        ] {
            let line = format!("\"target/completions/{file}\", \"usr/share/{installed}\"");
            assert!(assets.contains(&line), "{line}: {assets}");
            let line = format!("completions {shell} >target/completions/{file}");
            assert!(script.contains(&line), "{line}");
        }
    }

    #[test]
    fn manuals_are_where_their_section_says() {
        let assets = metadata()["assets"].to_string();
        for page in fs::read_dir(root().join("man")).unwrap() {
            let name = page.unwrap().file_name().into_string().unwrap();
            let section = name.rsplit('.').next().unwrap();
            let line = format!("\"man/{name}\", \"usr/share/man/man{section}/\"");
            assert!(assets.contains(&line), "{line}: {assets}");
        }
    }
}
