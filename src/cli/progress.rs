//! The progress bar on a terminal, or a line of text in its place. Belongs to the writing thread.

use crate::stdio;
use crate::text::{duration, safe};
use indicatif::style::TemplateError;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};
use std::fmt::Write;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Delay before the bar appears.
pub(super) const PATIENCE: Duration = Duration::from_millis(500);

/// Interval between updates of the bar.
pub(super) const REFRESH: Duration = Duration::from_millis(100);

/// Maximum redraws per second.
const DRAWN: u8 = 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// Numbers answered or failed.
    pub(super) numbers: u64,
    /// How much of the input that is, in the unit of its size.
    pub(super) position: u64,
    /// What the program waits for, if that takes long.
    pub(super) waiting: Option<String>,
}

/// A bar that is invisible until it is drawn.
#[derive(Debug)]
pub(super) struct Progress {
    /// The size of the input, if known.
    size: Option<u64>,
    bar: ProgressBar,
}

impl Progress {
    /// Draws nothing yet; the elapsed time starts.
    pub(super) fn new(size: Option<u64>) -> Self {
        Self::styled(size, style(size.is_some()))
    }

    /// The same for text only.
    pub(super) fn of_words() -> Self {
        Self::styled(None, ProgressStyle::with_template("{msg}"))
    }

    fn styled(size: Option<u64>, style: Result<ProgressStyle, TemplateError>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        // If our template did not parse, indicatif's own would stay.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { size, bar }
    }

    pub(super) fn say(&self, words: &str) {
        self.appear();
        self.bar.set_message(safe(words).into_owned());
        self.bar.tick();
    }

    pub(super) fn draw(&self, done: &Done) {
        self.appear();
        if let Some(total) = total(self.size, done) {
            self.bar.set_length(total);
        }
        let waiting = done.waiting.as_ref();
        let waiting = waiting.map_or(String::new(), |waiting| format!(": {waiting}"));
        self.bar.set_message(safe(&waiting).into_owned());
        self.bar.set_position(done.numbers);
        self.bar.tick();
    }

    fn appear(&self) {
        if self.bar.is_hidden() && is_possible() {
            let screen = Box::new(Screen::default());
            let target = ProgressDrawTarget::term_like_with_hz(screen, DRAWN);
            self.bar.set_draw_target(target);
        }
    }

    /// Hides the bar while `write` may write to the terminal.
    pub(super) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Standard error for indicatif, whose own type would lose what a non-blocking terminal does not accept at once.
#[derive(Debug, Default)]
struct Screen {
    /// Output that waits for [`TermLike::flush`].
    drawn: Mutex<String>,
}

impl Screen {
    fn drawn(&self) -> MutexGuard<'_, String> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the cursor in the direction of the letter.
    fn go(&self, steps: usize, letter: char) -> io::Result<()> {
        match steps {
            0 => Ok(()),
            _ => self.write_str(&format!("\u{1b}[{steps}{letter}")),
        }
    }

    fn size() -> Option<(u16, u16)> {
        let size = rustix::termios::tcgetwinsize(stdio::stderr()).ok()?;
        (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        Self::size().map_or(80, |(_, columns)| columns)
    }

    fn height(&self) -> u16 {
        Self::size().map_or(24, |(rows, _)| rows)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.write_str(&format!("{s}\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.drawn().push_str(s);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.drawn());
        stdio::stderr().write_all(drawn.as_bytes())
    }
}

/// Whether standard error can show a bar.
pub(super) fn is_possible() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    io::stderr().is_terminal() && !dumb
}

/// The total number of numbers, extrapolated from the input so far.
fn total(size: Option<u64>, done: &Done) -> Option<u64> {
    let Done {
        numbers, position, ..
    } = *done;
    let total = u128::from(numbers) * u128::from(size?) / u128::from(position.max(1));
    Some(u64::try_from(total).unwrap_or(u64::MAX).max(numbers))
}

fn style(size_is_known: bool) -> Result<ProgressStyle, TemplateError> {
    let style = ProgressStyle::with_template(if size_is_known {
        "{bar:24} {percent:>3}%  {human_pos} done, {rate}, {left}{msg}"
    } else {
        "{human_pos} done, {rate}, {elapsed}{msg}"
    })?;
    // Writing to a line of the terminal does not fail.
    let rate = |state: &ProgressState, w: &mut dyn Write| {
        let _ = w.write_str(&rate(state.per_sec()));
    };
    let left = |state: &ProgressState, w: &mut dyn Write| {
        let _ = w.write_str(&left(state.per_sec(), state.eta()));
    };
    let style = style.progress_chars("=> ");
    Ok(style.with_key("rate", rate).with_key("left", left))
}

fn rate(per_second: f64) -> String {
    let digits = usize::from(per_second < 10.0);
    format!("{per_second:.digits$}/s")
}

fn left(per_second: f64, left: Duration) -> String {
    if per_second > 0.0 {
        format!("{} left", duration(Duration::from_secs(left.as_secs())))
    } else {
        "time left unknown".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_extrapolated_from_the_input_so_far() {
        let done = |numbers, position| Done {
            numbers,
            position,
            waiting: None,
        };
        for (size, numbers, position, expect) in [
            (None, 5, 10, None),
            (Some(10), 5, 5, Some(10)),
            (Some(1000), 10, 100, Some(100)),
            (Some(1000), 0, 0, Some(0)),
            (Some(10), 20, 15, Some(20)), // a file that has grown
            (Some(u64::MAX), u64::MAX, 1, Some(u64::MAX)),
        ] {
            assert_eq!(total(size, &done(numbers, position)), expect);
        }
    }

    #[test]
    fn both_bars_can_be_drawn() {
        assert!(style(true).is_ok() && style(false).is_ok());
        for (per_second, text) in [(0.0, "0.0/s"), (3.21, "3.2/s"), (81_234.5, "81234/s")] {
            assert_eq!(rate(per_second), text);
        }
        assert_eq!(left(0.0, Duration::ZERO), "time left unknown");
        assert_eq!(left(1.0, Duration::from_secs(90)), "1m30s left");
    }
}
