//! The command line of `fibrpc`: from its words to [`Args`], or to one line that says what is wrong with them.
//!
//! Numbers alone are the command that asks; each other command owns its flags, in its own module.

use super::ask::{self, Ask};
use super::bench::Bench;
use super::call::Call;
use super::common::Common;
use super::completions::Completions;
use super::configuration;
use super::doctor::Doctor;
use super::input::source::STDIN;
use super::ping::Ping;
use super::status::Watch;
use clap::error::{Error, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::ffi::OsString;

/// The command line.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "fibrpc",
    version,
    about = "Ask for Fibonacci numbers by RPC over RabbitMQ",
    override_usage = "fibrpc [OPTIONS] [N]...\n       fibrpc [OPTIONS] <COMMAND>",
    help_template = ask::HELP,
    after_long_help = ask::AFTER_HELP
)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) ask: Ask,

    #[command(flatten)]
    pub(super) common: Common,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// The other commands. Their help is that of their flags.
#[derive(Debug, Clone, Subcommand)]
pub(super) enum Command {
    Call(Call),
    Ping(Ping),
    Status(Watch),
    Doctor(Doctor),
    Bench(Bench),

    /// Show or check the configuration
    #[command(subcommand, help_template = configuration::HELP, arg_required_else_help = false)]
    Config(configuration::Command),

    Completions(Completions),
}

/// Parses the command line. Help and version are an `Err` as well.
pub(super) fn parse(args: &[OsString]) -> Result<Args, Error> {
    use clap::FromArgMatches as _;
    let parsed = Args::try_parse_from(args);
    let wrong = match &parsed {
        Ok(args) => confused(args),
        Err(error) if error.use_stderr() => {
            // A misspelt command may explain the error.
            let lenient = Args::command().ignore_errors(true);
            let rest = lenient.try_get_matches_from(args);
            let rest = rest.and_then(|rest| Args::from_arg_matches(&rest));
            rest.ok().as_ref().and_then(misspelt)
        }
        Err(_) => None,
    };
    match wrong {
        Some(wrong) => Err(Args::command().error(ErrorKind::InvalidValue, wrong)),
        None => parsed,
    }
}

/// Mistakes that clap accepts.
fn confused(args: &Args) -> Option<String> {
    if let Some(misspelt) = misspelt(args) {
        return Some(misspelt);
    }
    let ask = &args.ask;
    if ask.numbers.len() > 1 && ask.numbers.iter().any(|n| n == STDIN) {
        return Some("'-' (standard input) cannot be used with other numbers".into());
    }
    let ask_only = [
        ask.numbers.first().map(String::as_str),
        ask.file.is_some().then_some("--file"),
        ask.in_flight.is_some().then_some("--in-flight"),
        ask.wait.then_some("--wait"),
    ];
    let ask_only = ask_only.into_iter().flatten().next();
    match (ask_only, &args.command) {
        (_, Some(Command::Completions(_))) if args.common.json => {
            Some("'--json' cannot be used with 'completions'".into())
        }
        (_, Some(Command::Call(call))) if args.common.queue.is_some() || call.queue.is_some() => {
            Some("'--queue' cannot be used with 'call', whose first argument is the queue".into())
        }
        (Some(word), Some(_)) => Some(format!("'{word}' cannot be used with a command")),
        _ => None,
    }
}

/// A first word that is most likely a misspelt command.
fn misspelt(args: &Args) -> Option<String> {
    let word = args.ask.numbers.first()?;
    let near = near_command(word)?;
    Some(format!("unknown command '{word}'; did you mean '{near}'?"))
}

/// The command with a similar name.
fn near_command(word: &str) -> Option<String> {
    // The limit of clap's own suggestions, with a distance that counts swapped letters once.
    let command = Args::command();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let near = |name: &str| strsim::damerau_levenshtein(name, word) <= name.len() / 3;
    names
        .filter(|name| near(name))
        .min_by_key(|name| strsim::damerau_levenshtein(name, word))
        .map(str::to_owned)
}

/// clap's message, which has several paragraphs, as one line: what is wrong, then what to do.
pub(super) fn one_line(error: &Error) -> String {
    let text = error.to_string();
    let wrong = text.split("\n\nUsage:").next().unwrap_or_default();
    let wrong = wrong
        .split("\n\nFor more information")
        .next()
        .unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    for paragraph in wrong.trim().split("\n\n") {
        let words: Vec<&str> = paragraph.split_whitespace().collect();
        let words = words.join(" ");
        parts.push(
            words
                .trim_start_matches("error: ")
                .trim_start_matches("tip: ")
                .to_owned(),
        );
    }
    if parts.len() < 2 && !wrong.contains("; ") {
        parts.push("see fibrpc --help".to_owned());
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests;
