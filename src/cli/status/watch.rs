//! Watching a queue on a terminal: the last view, failures beside it, and what has changed.
//!
//! Owns all that is shown. A failed look does not take the last view away, which is then shown with its age.

use super::super::connect::{Notice, waiting_for_broker};
use super::super::output::{Closed, Output};
use super::super::terminal::{BAD, DOUBTFUL, painted};
use super::changes::Changes;
use super::look::{REFRESH, judge, look};
use super::screen::{Screen, paper, rows};
use super::table::Paper;
use super::view::lines;
use super::wrap::wrapped;
use crate::broker::clock::unix_ms;
use crate::client::{Monitor, Overview};
use crate::config::Config;
use crate::inherited::Ignored;
use crate::protocol::Status;
use crate::text::{duration, safe};
use futures_util::stream::StreamExt as _;
use rustix::process::{getpgrp, getsid};
use signal_hook::consts::{SIGTSTP, SIGWINCH};
use signal_hook_tokio::Signals;
use std::pin::pin;
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr as _;

/// The most changes that are shown.
const MAX_CHANGES: usize = 10;

/// How long a look may take before it is mentioned, and how often the text is renewed then.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is shown.
struct Watched<'a> {
    config: &'a Config,
    /// The last look that succeeded.
    view: Option<(Instant, Overview)>,
    /// Why the last look failed.
    failure: Option<String>,
    /// When the last look ended.
    looked: Option<String>,
    /// Since when the present look has lasted, once that is long.
    waiting: Option<Instant>,
    changes: Changes,
}

/// Looks and shows until it is dropped.
pub(super) async fn watch(
    config: &Config,
    fleet: &mut Option<Monitor>,
    screen: &mut Option<Screen>,
    output: &mut Output,
) -> Result<(), Closed> {
    // Without the signals, a frame has the new size with the next look, and Ctrl-Z leaves the screen as it is.
    let mut signals = Signals::new(caught()).ok();
    let mut signal = async || match &mut signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    };
    let screen = screen.insert(Screen::enter(output).await?);
    let mut watched = Watched {
        config,
        view: None,
        failure: None,
        looked: None,
        waiting: None,
        changes: Changes::default(),
    };
    // What takes long is shown on the screen.
    let mut silent = Notice { due: false };
    loop {
        let began = Instant::now();
        let looked = {
            let mut looking = pin!(look(fleet, &mut silent, config));
            loop {
                tokio::select! {
                    looked = &mut looking => break looked,
                    signal = signal() => react(signal, screen, output).await?,
                    () = tokio::time::sleep(PATIENCE) => watched.waiting = Some(began),
                }
                screen.show(watched.lines(paper(), rows()), output).await?;
            }
        };
        watched.take(judge(looked, output));
        let mut pause = pin!(tokio::time::sleep(REFRESH));
        loop {
            screen.show(watched.lines(paper(), rows()), output).await?;
            tokio::select! {
                () = &mut pause => break,
                signal = signal() => react(signal, screen, output).await?,
            }
        }
    }
}

/// The signals that concern the screen. Ctrl-Z is not caught if it is ignored, or if no shell could continue the process: then
/// the kernel does not stop it.
fn caught() -> Vec<i32> {
    let is_job = getsid(None).is_ok_and(|session| session != getpgrp());
    let stops = is_job && !Ignored::now().has(SIGTSTP);
    let stop = stops.then_some(SIGTSTP);
    [SIGWINCH].into_iter().chain(stop).collect()
}

/// Stops if that is wanted. In any case, a new frame follows.
async fn react(signal: Option<i32>, screen: &Screen, output: &Output) -> Result<(), Closed> {
    match signal {
        Some(SIGTSTP) => screen.suspend(output).await,
        _ => Ok(()),
    }
}

impl Watched<'_> {
    fn take(&mut self, looked: Result<Overview, Status>) {
        let time = clock(unix_ms());
        self.changes.look(&time, &looked);
        self.waiting = None;
        self.looked = Some(time);
        match looked {
            Ok(view) => {
                self.view = Some((Instant::now(), view));
                self.failure = None;
            }
            Err(status) => self.failure = Some(status.message().to_owned()),
        }
    }

    /// The frame, for a terminal of this size.
    fn lines(&self, paper: Paper, rows: usize) -> Vec<String> {
        let mut shown = self.status(paper);
        if let Some((_, view)) = &self.view {
            let patience = Overview::report_timeout(self.config.client.timeout);
            let name = &self.config.queue.name;
            shown.extend(lines(name, view, patience, paper));
        }
        // A blank line and a heading are before them.
        let room = rows.saturating_sub(shown.len() + 2).min(MAX_CHANGES);
        let changes: Vec<_> = self.changes.newest(room).collect();
        if !changes.is_empty() {
            shown.extend([String::new(), "changes, newest first:".into()]);
            let wrapped = changes
                .iter()
                .flat_map(|change| wrapped(change, paper.width));
            shown.extend(wrapped.take(room));
        }
        shown
    }

    /// What is going on, and the time.
    fn status(&self, paper: Paper) -> Vec<String> {
        let time = self.looked.as_deref().unwrap_or_default();
        let heading = format!("fibrpc status, every {}, Ctrl-C ends", duration(REFRESH));
        let blank = paper
            .width
            .unwrap_or(80)
            .saturating_sub(heading.width() + time.width());
        let mut lines = vec![if blank > 1 {
            format!("{heading}{}{time}", " ".repeat(blank))
        } else {
            time.to_owned()
        }];
        let mut tell = |text: &str, style| {
            let wrapped = wrapped(&safe(text), paper.width).into_iter();
            lines.extend(wrapped.map(|line| painted(&line, style, paper.color)));
        };
        if let Some(failure) = &self.failure {
            tell(&format!("{failure}; trying again"), BAD);
            if let Some((seen, _)) = &self.view {
                let age = Duration::from_secs(seen.elapsed().as_secs());
                tell(
                    &format!("what follows was seen {} ago", duration(age)),
                    DOUBTFUL,
                );
            }
        }
        if let Some(since) = self.waiting {
            let lasted = Duration::from_secs(since.elapsed().as_secs());
            let waiting = match &self.view {
                Some(_) if self.failure.is_none() => "waiting for broker and daemons".into(),
                _ => waiting_for_broker(self.config),
            };
            tell(&format!("{waiting}, {}", duration(lasted)), DOUBTFUL);
        }
        lines
    }
}

/// The time of day, in UTC as in the journal's records of another machine.
fn clock(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000).rem_euclid(86_400);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}Z", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_shows_the_time_of_day() {
        assert_eq!(clock(1_764_287_566_123), "23:52:46Z");
        assert_eq!(clock(0), "00:00:00Z");
    }
}
