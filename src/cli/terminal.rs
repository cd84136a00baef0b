//! Colors for a few words, if the terminal shows them and the user wants them.
//!
//! The choice of `--color` is global, kept by anstream, so that clap's help obeys it as well.

use anstream::ColorChoice;
use clap::ValueEnum;
use clap::builder::styling::{AnsiColor, Style};
use std::ffi::OsString;

/// For errors.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();

/// For warnings.
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();

/// For what is ok.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    // Not documentation, which would go into the help. On a terminal, unless NO_COLOR is set or TERM is dumb.
    Auto,
    // In files and pipes as well.
    Always,
    Never,
}

impl Color {
    /// Reads the flag before clap does, since clap's error messages must obey it. Clap reports invalid values.
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

    /// Applies it to all further output.
    pub(super) fn choose(self) {
        match self {
            Self::Auto => ColorChoice::Auto,
            Self::Always => ColorChoice::Always,
            Self::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// The text in a style, if `color` is set.
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
    fn the_flag_is_found_in_any_position() {
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
    fn a_style_is_reset_after_the_text() {
        assert_eq!(painted("x", BAD, false), "x");
        assert_eq!(painted("x", GOOD, true), "\u{1b}[32mx\u{1b}[0m");
    }
}
