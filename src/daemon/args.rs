//! The command line of `fibrpcd`. Few flags: everything else is configuration.

use crate::config::Overrides;
use crate::fibonacci::settings::KEYS;
use clap::Parser;
use std::path::PathBuf;

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(
    name = "fibrpcd",
    version,
    about = "Serve Fibonacci requests from a RabbitMQ queue",
    after_help = "SIGTERM and SIGINT finish the work in flight and exit; a second one exits at once.\n\
                  SIGHUP reloads the configuration.\n\n\
                  See fibrpcd(8) and fibrpc.toml(5)."
)]
pub struct Args {
    /// Read FILE instead of /etc/fibrpc.toml and /etc/fibrpc.toml.d/*.toml
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration and exit: 0 if it is valid, 78 if not
    #[arg(short = 't', long)]
    pub check: bool,

    /// Ask the running daemon and exit: 0 if it is live or ready, 1 if not
    ///
    /// The daemon has to have an endpoint, see telemetry.listen in fibrpc.toml(5).
    #[arg(long, value_name = "WHAT", value_enum, conflicts_with = "check")]
    pub probe: Option<Probe>,

    /// Log level
    #[arg(long, value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug"])]
    pub log_level: Option<String>,

    /// Log destination; auto: the journal if stderr is connected to it, else stderr
    #[arg(long, value_name = "TARGET", value_parser = ["auto", "journald", "stderr"])]
    pub log_target: Option<String>,
}

/// What a probe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Probe {
    /// Whether the daemon makes progress
    Live,
    /// Whether it answers requests
    Ready,
}

impl Args {
    /// The settings that override files and environment.
    pub fn overrides(&self) -> Overrides {
        let flags = [
            ("log.level", &self.log_level),
            ("log.target", &self.log_target),
        ];
        Overrides {
            config: self.config.clone(),
            values: flags
                .into_iter()
                .filter_map(|(key, value)| Some((key, value.as_deref()?.into())))
                .collect(),
            keys: KEYS,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args, clap::error::ErrorKind> {
        let words = std::iter::once("fibrpcd").chain(line.split_whitespace());
        Args::try_parse_from(words).map_err(|error| error.kind())
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory as _;
        Args::command().debug_assert();
    }

    #[test]
    fn flags_become_overrides() {
        let args = parse("-t --config /a --log-level debug --log-target stderr").unwrap();
        assert!(args.check);
        let overrides = args.overrides();
        assert_eq!(overrides.config, Some("/a".into()));
        assert_eq!(
            overrides.values,
            [
                ("log.level", "debug".into()),
                ("log.target", "stderr".into())
            ]
        );
        assert_eq!(parse("--probe ready").unwrap().probe, Some(Probe::Ready));
        assert!(parse("--check").unwrap().overrides().values.is_empty());
    }

    #[test]
    fn anything_else_is_an_error() {
        use clap::error::ErrorKind;
        for (line, expect) in [
            ("start", ErrorKind::UnknownArgument),
            ("30", ErrorKind::UnknownArgument),
            ("--chek", ErrorKind::UnknownArgument),
            ("--config", ErrorKind::InvalidValue),
            ("--log-level loud", ErrorKind::InvalidValue),
            ("--probe", ErrorKind::InvalidValue),
            ("--probe alive", ErrorKind::InvalidValue),
            ("--probe live --check", ErrorKind::ArgumentConflict),
            ("--log-target syslog", ErrorKind::InvalidValue),
            ("-h", ErrorKind::DisplayHelp),
            ("-V", ErrorKind::DisplayVersion),
        ] {
            assert_eq!(parse(line), Err(expect), "{line}");
        }
    }
}
