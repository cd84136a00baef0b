//! What every command shares: its flags, the configuration they select, how it is stopped, and how durations are given.

use super::exit;
use super::output::{Style, complain, warn};
use super::terminal::Color;
use crate::config::{Config, Loaded, Overrides, Problem, Program, load, parse_duration};
use crate::fibonacci::settings::KEYS;
use clap::{ArgAction, Args, ValueHint};
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the tutorial's client asks for.
pub(super) const DEFAULT_N: &str = "30";

/// The longest duration that a flag takes.
const MAX_DURATION: Duration = Duration::from_secs(365 * 24 * 3600);

/// Flags of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Print one JSON object per line
    #[arg(long, global = true)]
    pub(super) json: bool,

    /// Timeout for each reply, such as 500ms or 1m (client.timeout)
    #[arg(long, value_name = "DURATION", global = true, value_hint = ValueHint::Other)]
    pub(super) timeout: Option<String>,

    /// Request queue (queue.name)
    #[arg(long, value_name = "NAME", global = true, value_hint = ValueHint::Other)]
    pub(super) queue: Option<String>,

    /// Read FILE instead of the default configuration files
    #[arg(
        long,
        value_name = "FILE",
        global = true,
        value_hint = ValueHint::FilePath,
        hide_short_help = true
    )]
    pub(super) config: Option<PathBuf>,

    #[arg(
        long,
        value_name = "WHEN",
        global = true,
        default_value = "auto",
        hide_short_help = true,
        help = "Use colors; auto: on a terminal, unless NO_COLOR is set or TERM is dumb"
    )]
    pub(super) color: Color,

    /// Suppress everything on standard error except errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,

    /// Show where the time went; -vv also logs what the client does
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
}

/// What a command works with that uses the broker, besides its own flags.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) common: &'a Common,
    pub(super) config: &'a Config,
    /// Cancelled if the command is to stop.
    pub(super) stop: &'a CancellationToken,
}

impl Common {
    /// How to print.
    pub(super) fn style(&self) -> Style {
        Style {
            json: self.json,
            verbose: self.verbose > 0,
        }
    }

    /// What the flags set in the configuration.
    pub(super) fn overrides(&self) -> Overrides {
        let flags = [
            ("client.timeout", &self.timeout),
            ("queue.name", &self.queue),
        ];
        let set = |(key, value): (_, &Option<String>)| Some((key, value.clone()?.into()));
        Overrides {
            config: self.config.clone(),
            values: flags.into_iter().filter_map(set).collect(),
            keys: KEYS,
        }
    }

    /// Loads the configuration. If it cannot be loaded, prints why and gives the exit status.
    pub(super) fn load(&self) -> Result<Loaded, u8> {
        let overrides = self.overrides();
        match load(Program::Client, &overrides) {
            Ok(loaded) => {
                for warning in loaded.warnings.iter().filter(|_| !self.quiet) {
                    warn(warning);
                }
                Ok(loaded)
            }
            Err(problems) => {
                complain_of(&problems);
                Err(blame(Program::Client, &overrides))
            }
        }
    }
}

/// Prints each problem.
pub(super) fn complain_of(problems: &[Problem]) {
    for Problem(problem) in problems {
        complain(problem);
    }
}

/// The exit status for a configuration that cannot be loaded: the flags are at fault if it can be loaded without them.
pub(super) fn blame(program: Program, overrides: &Overrides) -> u8 {
    let files = Overrides {
        values: Vec::new(),
        ..overrides.clone()
    };
    if load(program, &files).is_ok() {
        exit::USAGE
    } else {
        exit::CONFIG
    }
}

/// Reads a duration of at least a millisecond.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("shorter than 1ms".into()),
        interval => Ok(interval),
    }
}

/// Reads a duration, which may be zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        None => Err("not a duration such as 500ms or 2s".into()),
        Some(long) if long > MAX_DURATION => Err("longer than a year".into()),
        Some(duration) => Ok(duration),
    }
}
