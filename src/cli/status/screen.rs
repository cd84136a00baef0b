//! The terminal while somebody watches: an alternate screen, on which each frame is written over the one before.
//!
//! Owns the last frame, which [`Screen::leave`] leaves on the ordinary screen. Nothing else is changed of the terminal than what
//! leaving restores, and nothing is cleared before it is rewritten, so nothing flickers.

use super::super::output::{Closed, Output};
use super::table::Paper;
use crate::stdio;
use signal_hook::consts::SIGTSTP;
use signal_hook::low_level;
use std::io::{self, IsTerminal as _};

/// The alternate screen; long lines are cut, not continued.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?7l";

const LEAVE: &str = "\u{1b}[?7h\u{1b}[?1049l";

/// To the first line.
const HOME: &str = "\u{1b}[H";

/// Erases the rest of a line.
const REST_OF_LINE: &str = "\u{1b}[K";

/// Erases all below.
const REST_OF_SCREEN: &str = "\u{1b}[J";

/// A screen that was entered.
#[derive(Debug)]
pub(super) struct Screen {
    frame: Vec<String>,
}

impl Screen {
    /// Whether standard output is a terminal that can do this.
    pub(super) fn is_possible() -> bool {
        let term = std::env::var_os("TERM").unwrap_or_default();
        io::stdout().is_terminal() && !term.is_empty() && term != "dumb"
    }

    pub(super) async fn enter(output: &Output) -> Result<Self, Closed> {
        output.bytes(ENTER.into()).await?;
        Ok(Self { frame: Vec::new() })
    }

    /// Shows these lines, as many as there is room for.
    pub(super) async fn show(&mut self, lines: Vec<String>, output: &Output) -> Result<(), Closed> {
        let frame = frame(&lines, rows());
        self.frame = lines;
        output.bytes(frame.into()).await
    }

    /// Returns to the ordinary screen and stops the process, as Ctrl-Z does by default. Enters the screen again once the
    /// process is continued.
    pub(super) async fn suspend(&self, output: &Output) -> Result<(), Closed> {
        output.bytes(LEAVE.into()).await?;
        output.written().await?;
        // Known signals have a default.
        let _ = low_level::emulate_default_handler(SIGTSTP);
        output.bytes(ENTER.into()).await
    }

    /// Returns to the ordinary screen, with the last frame on it.
    pub(super) async fn leave(self, output: &Output) -> Result<(), Closed> {
        output.bytes(LEAVE.into()).await?;
        for line in self.frame {
            output.line(line).await?;
        }
        Ok(())
    }
}

/// The paper of standard output.
pub(super) fn paper() -> Paper {
    Paper {
        width: size().map(|(_, columns)| columns),
        color: stdio::stdout().has_color(),
    }
}

/// How many lines there are.
pub(super) fn rows() -> usize {
    size().map_or(24, |(rows, _)| rows)
}

fn size() -> Option<(usize, usize)> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdio::stdout()).ok()?;
    let (rows, columns) = (size.ws_row.into(), size.ws_col.into());
    (rows > 0 && columns > 0).then_some((rows, columns))
}

/// The text that shows these lines on a terminal with this many rows.
fn frame(lines: &[String], rows: usize) -> String {
    let mut frame = HOME.to_owned();
    let shown = if lines.len() > rows {
        rows.saturating_sub(1)
    } else {
        lines.len()
    };
    let rest = lines.len() - shown;
    let more = (rest > 0).then(|| format!("... {rest} more lines"));
    let lines: Vec<String> = lines[..shown].iter().cloned().chain(more).collect();
    let lines = lines.iter().map(|line| format!("{line}{REST_OF_LINE}"));
    // Without a line end after the last, which would scroll.
    frame.push_str(&lines.collect::<Vec<_>>().join("\n"));
    frame.push_str(REST_OF_SCREEN);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_overwrites_the_last_one_and_fits() {
        let lines = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            frame(&lines, 3),
            "\u{1b}[Ha\u{1b}[K\nb\u{1b}[K\nc\u{1b}[K\u{1b}[J"
        );
        assert_eq!(
            frame(&lines, 2),
            "\u{1b}[Ha\u{1b}[K\n... 2 more lines\u{1b}[K\u{1b}[J"
        );
    }
}
