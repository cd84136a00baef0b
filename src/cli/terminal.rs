//! Colours: where a terminal shows them and its user wants them, for a few words that matter.
//!
//! The choice of `--color` is the process's, kept by anstream, so that clap's own help obeys it as well.

use crate::stdio;
use anstream::ColorChoice;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use std::ffi::OsString;

/// Of what is wrong.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// Of what deserves a look.
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();

/// Of what is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    // Documentation would go into the help. On a terminal, unless NO_COLOR is set or TERM is dumb.
    Auto,
    // Into files and pipes as well.
    Always,
    Never,
}

impl Color {
    /// What the command line says, read before clap does, whose words on a wrong command line are to obey
    /// it. Where it makes no sense, clap says so.
    pub(super) fn scan(args: &[OsString]) -> Self {
        let words = args.iter().map(|word| word.to_str().unwrap_or_default());
        let words: Vec<&str> = words.take_while(|word| *word != "--").collect();
        let value = words.iter().enumerate().rev().find_map(|(index, word)| {
            if *word == "--color" {
                return words.get(index + 1).copied();
            }
            word.strip_prefix("--color=")
        });
        value.map_or(Self::Auto, |value| {
            Self::from_str(value, false).unwrap_or(Self::Auto)
        })
    }

    /// Puts it in force for all that is printed from now on.
    pub(super) fn choose(self) {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// Whether standard output gets colours.
pub(super) fn stdout_has_color() -> bool {
    stdio::stdout().has_color()
}

/// Whether standard error gets colours.
pub(super) fn stderr_has_color() -> bool {
    stdio::stderr().has_color()
}

/// The text in a style, where `color` says so.
pub(super) fn painted(text: &str, style: Style, color: bool) -> String {
    if color {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_found_wherever_it_stands() {
        for (args, color) in [
            ("fibrpc 30", Color::Auto),
            ("fibrpc --color never 30", Color::Never),
            ("fibrpc ping --color=always", Color::Always),
            ("fibrpc --jsn --color never", Color::Never),
            ("fibrpc --color always --color never", Color::Never),
            ("fibrpc --color", Color::Auto),
            ("fibrpc --color sometimes", Color::Auto),
            ("fibrpc -- --color never", Color::Auto),
        ] {
            let args: Vec<OsString> = args.split(' ').map(OsString::from).collect();
            assert_eq!(Color::scan(&args), color, "{args:?}");
        }
    }

    #[test]
    fn a_style_is_ended_where_it_began() {
        assert_eq!(painted("x", BAD, false), "x");
        assert_eq!(painted("x", GOOD, true), "\u{1b}[32mx\u{1b}[0m");
    }
}
