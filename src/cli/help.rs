//! The layout of `-h` and `--help`: examples before the flags.

/// A help template with these examples. Their heading looks like clap's own; clap drops the escapes if colors are off.
macro_rules! examples {
    ($($line:literal)+) => {
        concat!(
            "{about-with-newline}\n\u{1b}[1m\u{1b}[4mExamples:\u{1b}[0m\n",
            $("  ", $line, "\n",)+
            "\n{usage-heading} {usage}\n\n{all-args}{after-help}\n"
        )
    };
}

pub(super) use examples;
