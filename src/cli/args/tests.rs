//! Command lines as users write them.

use super::*;
use std::time::Duration;

fn parsed(args: &[&str]) -> Result<Args, Error> {
    let args = ["fibrpc"].iter().chain(args);
    parse(&args.map(OsString::from).collect::<Vec<_>>())
}

#[test]
fn the_command_is_well_formed() {
    Args::command().debug_assert();
}

#[test]
fn numbers_are_kept_as_written() {
    for (args, numbers) in [
        (&[][..], &[][..]),
        (&["7"], &["7"]),
        (&["3", "2", "1"], &["3", "2", "1"]),
        (&["-1", "5"], &["-1", "5"]),
        (&["abc", "1e3", ""], &["abc", "1e3", ""]),
        (&["--json", "8", "-v", "9"], &["8", "9"]),
        (&["--", "-x"], &["-x"]),
        (&["-"], &["-"]),
        (&["-", "--in-flight", "1"], &["-"]),
    ] {
        assert_eq!(parsed(args).unwrap().ask.numbers, numbers, "{args:?}");
    }
}

#[test]
fn common_flags_go_before_or_after_the_command() {
    for args in [
        &["--json", "ping", "-c", "3", "--interval", "10ms"][..],
        &["ping", "--json", "-c3", "-i10ms"],
    ] {
        let args = parsed(args).unwrap();
        assert!(args.common.json);
        let Some(Command::Ping(ping)) = args.command else {
            panic!("{args:?}")
        };
        assert_eq!(ping.count, Some(3));
        assert_eq!(ping.interval, Duration::from_millis(10));
    }
    let args = parsed(&["status", "--watch"]).unwrap();
    assert!(matches!(args.command, Some(Command::Status(watch)) if watch.watch));
    assert!(parsed(&["30"]).unwrap().command.is_none());
    for wrong in ["0s", "soon", "-1s"] {
        assert!(parsed(&["ping", "-i", wrong]).is_err(), "{wrong}");
    }
    assert!(parsed(&["ping", "-c", "0"]).is_err());
}

#[test]
fn flags_become_settings() {
    let args = parsed(&["--timeout", "1s", "--queue", "jobs", "--config", "c.toml"]).unwrap();
    let overrides = args.common.overrides();
    assert_eq!(overrides.config, Some("c.toml".into()));
    assert_eq!(
        overrides.values,
        [
            ("client.timeout", "1s".into()),
            ("queue.name", "jobs".into())
        ]
    );
    assert!(parsed(&[]).unwrap().common.overrides().values.is_empty());
}

#[test]
fn errors_are_one_line_with_what_to_do() {
    for (args, line) in [
        (
            &["--jsn"][..],
            "unexpected argument '--jsn' found; a similar argument exists: '--json'",
        ),
        (
            &["--queue"],
            "a value is required for '--queue <NAME>' but none was supplied; see fibrpc --help",
        ),
        (
            &["-q", "-v"],
            "the argument '--quiet' cannot be used with '--verbose...'; see fibrpc --help",
        ),
        (&["pnig"], "unknown command 'pnig'; did you mean 'ping'?"),
        (
            &["statsu", "--watch"],
            "unknown command 'statsu'; did you mean 'status'?",
        ),
        (
            &["--json", "pnig", "-c", "3"],
            "unknown command 'pnig'; did you mean 'ping'?",
        ),
        (
            &["config", "chekc"],
            "unrecognized subcommand 'chekc'; a similar subcommand exists: 'check'",
        ),
        (
            &["config"],
            "'fibrpc config' requires a subcommand but one was not provided [subcommands: show, check, help]; see fibrpc --help",
        ),
        (
            &["completions", "bsh"],
            "invalid value 'bsh' for '<SHELL>' [possible values: bash, zsh, fish]; a similar value exists: 'bash'",
        ),
        (
            &["completions", "bash", "--json"],
            "'--json' cannot be used with 'completions'; see fibrpc --help",
        ),
        (
            &["--queue", "a", "call", "b"],
            "'--queue' cannot be used with 'call', whose first argument is the queue; see fibrpc --help",
        ),
        (
            &["call", "b", "--queue", "a"],
            "'--queue' cannot be used with 'call', whose first argument is the queue; see fibrpc --help",
        ),
        (
            &["ping", "--cuont", "3"],
            "unexpected argument '--cuont' found; a similar argument exists: '--count'",
        ),
        (
            &["--in-flight", "0"],
            "invalid value '0' for '--in-flight <COUNT>': 0 is not in 1..=10000; see fibrpc --help",
        ),
        (
            &["-", "5"],
            "'-' (standard input) cannot be used with other numbers; see fibrpc --help",
        ),
        (
            &["5", "--file", "x"],
            "the argument '[N]...' cannot be used with '--file <FILE>'; see fibrpc --help",
        ),
        (
            &["--wait", "ping"],
            "'--wait' cannot be used with a command; see fibrpc --help",
        ),
    ] {
        assert_eq!(one_line(&parsed(args).unwrap_err()), line, "{args:?}");
    }
}

/// Every command with the words that lead to it.
fn all_commands() -> Vec<(String, clap::Command)> {
    let mut found = vec![("fibrpc".to_owned(), Args::command())];
    let mut next = 0;
    while let Some((name, command)) = found.get(next).cloned() {
        let below = command.get_subcommands();
        let below = below.map(|below| (format!("{name} {}", below.get_name()), below.clone()));
        found.extend(below.collect::<Vec<_>>());
        next += 1;
    }
    assert!(found.len() > 5);
    found
}

/// What a terminal of 100 columns shows.
fn help(name: &str, flag: &str) -> String {
    let words = name.split(' ').chain([flag]).map(OsString::from);
    let shown = parse(&words.collect::<Vec<_>>()).unwrap_err();
    assert!(!shown.use_stderr(), "{name}");
    shown.to_string()
}

#[test]
fn the_short_help_fits_a_screen_and_examples_come_first() {
    for (name, _) in all_commands() {
        let help = help(&name, "-h");
        assert!(help.lines().count() <= 30, "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        let examples = help.find("Examples:");
        assert!(
            examples.is_some() && examples < help.find("Usage:"),
            "{help}"
        );
    }
}

#[test]
fn the_help_of_call_lists_no_queue_besides_its_argument() {
    for flag in ["-h", "--help"] {
        let help = help("fibrpc call", flag);
        assert!(
            help.contains("<QUEUE>") && !help.contains("--queue"),
            "{help}"
        );
    }
}

#[test]
fn the_long_help_is_complete() {
    for (name, command) in all_commands() {
        let help = help(&name, "--help");
        for argument in command.get_arguments() {
            let Some(flag) = argument.get_long() else {
                continue;
            };
            let shown = help.contains(&format!("--{flag} "))
                || help.contains(&format!("--{flag}\n"))
                || help.contains(&format!("--{flag}.."));
            assert_ne!(shown, argument.is_hide_set(), "{name}: {flag}");
        }
        for below in command.get_subcommands() {
            assert!(
                help.contains(&format!("\n  {}", below.get_name())),
                "{help}"
            );
        }
    }
}

/// The commands in lines such as `$ seq 10 | fibrpc - | head   # the first`.
fn commands_in(text: &str, prompt: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(line) = line.trim_start().strip_prefix(prompt) else {
            continue;
        };
        // Two blanks end a command in an example of the help.
        let line = line.split("  ").next().unwrap_or_default();
        found.extend(commands_of(line));
    }
    found.retain(|words| words.first().is_some_and(|word| word == "fibrpc"));
    found
}

/// The words of each command of a shell's line, where only simple quotes are used.
fn commands_of(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![String::new()]];
    let mut quoted = false;
    for letter in line.chars() {
        let command = commands.last_mut().unwrap();
        match letter {
            '\'' => quoted = !quoted,
            '|' | ';' | '>' | '<' | '#' | '&' if !quoted => commands.push(vec![String::new()]),
            ' ' if !quoted => command.push(String::new()),
            _ => command.last_mut().unwrap().push(letter),
        }
    }
    for words in &mut commands {
        words.retain(|word| !word.is_empty());
    }
    commands
}

#[test]
fn every_example_is_a_command_line() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let read = |file: &str| std::fs::read_to_string(format!("{root}{file}")).unwrap();
    let mut examples = commands_in(&read("README.md"), "$ ");
    let manual = read("man/fibrpc.1").replace("\\-", "-");
    examples.extend(commands_in(&manual, ".Dl $ "));
    let in_texts = examples.len();
    for (name, _) in all_commands() {
        examples.extend(commands_in(&help(&name, "--help"), ""));
    }
    assert!(
        in_texts > 10 && examples.len() > in_texts + 15,
        "{examples:?}"
    );
    for words in examples {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        assert!(parse(&words).is_ok(), "{words:?}");
    }
}

#[test]
fn examples_are_found_among_other_words() {
    let text = "$ seq 9 | fibrpc - | head # x\nfibrpc no\n $ fibrpc 1; echo\n$ fibrpc ping  a | fibrpc b\n\
         $ fibrpc --x 'a<b | c'";
    assert_eq!(
        commands_in(text, "$ "),
        [
            vec!["fibrpc", "-"],
            vec!["fibrpc", "1"],
            vec!["fibrpc", "ping"],
            vec!["fibrpc", "--x", "a<b | c"]
        ]
    );
}
