//! The ledger of one fault, and its assertions.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::cluster::PREFETCH;
use crate::durable;
use crate::load::{self, Call};

/// What came of it.
#[derive(Debug, Clone)]
pub struct Row {
    /// Of the fault.
    pub name: &'static str,
    /// When it began.
    pub struck: Instant,
    /// When the cut ended, if it was one.
    pub healed: Option<Instant>,
    /// Of both streams.
    pub streams: [Vec<Call>; 2],
    /// Of the processes.
    pub one_shots: Vec<Call>,
    /// Of the durable requests.
    pub durable: durable::Report,
    /// How each daemon came back, if it had to.
    pub returns: [Option<Return>; 2],
    /// How many nodes were hit.
    pub faults: u64,
    /// What does not hold.
    pub problems: Vec<String>,
}

/// A daemon that left a node and consumes again, from another one or the same.
#[derive(Debug, Clone, Copy)]
pub struct Return {
    /// Since the fault.
    pub after: Duration,
    /// Since it knew that the connection was of no use any more.
    pub away: Duration,
}

impl Return {
    /// From what the daemon has logged since the fault at this time.
    pub fn read(lines: &[String], struck: SystemTime) -> Option<Self> {
        let left = lines.iter().find(|line| !line.contains("consuming"))?;
        let back = lines.iter().find(|line| line.contains("consuming"))?;
        let struck = struck.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
        let since = |seconds: f64| {
            // Of the day, which may end meanwhile.
            Duration::from_secs_f64(
                (time_of_day(back).unwrap_or(seconds) - seconds).rem_euclid(DAY),
            )
        };
        Some(Self {
            after: since(struck),
            away: since(time_of_day(left)?),
        })
    }
}

const DAY: f64 = 86400.0;

/// The time in a line such as `2026-11-27T14:08:17.732979Z INFO ...`, in seconds.
fn time_of_day(line: &str) -> Option<f64> {
    let time = line.get(11..26)?;
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}

impl Row {
    /// All calls by fibrpc.
    fn calls(&self) -> impl Iterator<Item = &Call> {
        self.streams.iter().flatten().chain(&self.one_shots)
    }

    /// The longest time that either stream was without an answer.
    pub fn gap(&self) -> Duration {
        let gaps = self.streams.iter().map(|calls| load::gap(calls));
        gaps.max().unwrap_or_default()
    }

    /// Nothing that was confirmed is lost, nothing is wrong, and what came twice was in flight at the fault.
    pub fn require_clean(&mut self) {
        let wrong = self.calls().filter(|call| call.wrong).count();
        let Self {
            durable, faults, ..
        } = self;
        let durable = durable.clone();
        let faults = *faults;
        self.require(wrong == 0, || format!("{wrong} wrong values by fibrpc"));
        self.require(durable.wrong.is_empty(), || {
            format!("wrong: {:?}", durable.wrong)
        });
        let lost = durable.lost;
        self.require(lost == 0, || format!("{lost} confirmed and never answered"));
        let few = durable.most <= 1 + faults && durable.twice <= 2 * PREFETCH as u64 * faults;
        self.require(few, || {
            format!(
                "{} answers beyond the first, {} to one request",
                durable.twice, durable.most
            )
        });
    }

    /// Every call made this long after the fault, or later, was answered.
    pub fn require_served(&mut self, from: Duration) {
        let failed = self.failed(|asked| asked >= self.struck + from);
        self.require_at_most(0, &failed, &format!("{from:?} after the fault or later"));
    }

    /// Every call made this long after the cut, or later, was answered, except those made just before the end of the cut or
    /// after it.
    pub fn require_served_until_healed(&mut self, from: Duration, just_before: Duration) {
        let end = self.healed.expect("there was a cut");
        let failed = self.failed(|asked| asked >= self.struck + from && asked + just_before < end);
        let made = format!("{from:?} after the cut and before its end");
        self.require_at_most(0, &failed, &made);
    }

    /// At most so many of the calls failed that were made just before the end of the cut or after it.
    pub fn require_few_failed_since_healed(&mut self, most: usize, just_before: Duration) {
        let end = self.healed.expect("there was a cut");
        let failed = self.failed(|asked| asked + just_before >= end);
        self.require_at_most(most, &failed, "when the cut ended or later");
    }

    /// Of the calls made at certain times those that were not answered: when, since the fault, and why.
    fn failed(&self, made: impl Fn(Instant) -> bool) -> Vec<String> {
        let failed = self
            .calls()
            .filter(|call| made(call.asked))
            .filter_map(|call| {
                let said = call.outcome.as_ref().err()?;
                let at = call.asked.saturating_duration_since(self.struck);
                Some(format!("at {at:.1?}: {said}"))
            });
        failed.collect()
    }

    fn require_at_most(&mut self, most: usize, failed: &[String], made: &str) {
        self.require(failed.len() <= most, || {
            let some = &failed[..failed.len().min(5)];
            format!(
                "{} calls failed that were made {made}, {most} may: {some:#?}",
                failed.len()
            )
        });
    }

    /// Those daemons that had to consume from another node did so this soon.
    pub fn require_again(&mut self, which: &[usize], within: Duration) {
        let again = self.returns.map(|it| it.map(|it| it.after));
        for daemon in which {
            let soon = again[*daemon].is_some_and(|after| after <= within);
            self.require(soon, || {
                format!(
                    "daemon {daemon} consumed again after {:.1?}, None being never",
                    again[*daemon]
                )
            });
        }
    }

    /// What must hold, and the words if it does not.
    pub fn require(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    /// The head of the table.
    pub fn head() -> String {
        format!(
            "{:<16} {:^19}  {:^15}  {:^40}  {:>6}  {}",
            "", "streams", "one-shots", "durable requests", "broker", "daemons",
        ) + &format!(
            "\n{:<16} {:>9} {:>9}  {:>7} {:>7}  {:>14} {:>4} {:>5} {:>5} {:>8}  {:>6}  {}",
            "fault",
            "answered",
            "gap",
            "ans.",
            "slowest",
            "answered",
            "lost",
            "wrong",
            "twice",
            "slowest",
            "gap",
            "away for",
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |calls: &[Call]| {
            let answered = calls.iter().filter(|call| call.outcome.is_ok());
            format!("{}/{}", answered.count(), calls.len())
        };
        let streams = self.streams.concat();
        let Self {
            name,
            one_shots,
            durable: d,
            ..
        } = self;
        let wrong = self.calls().filter(|call| call.wrong).count() + d.wrong.len();
        let again = self
            .returns
            .map(|it| it.map_or("-".into(), |it| seconds(it.away)));
        write!(
            f,
            "{name:<16} {:>9} {:>9}  {:>7} {:>7}  {:>14} {:>4} {wrong:>5} {:>5} {:>8}  {:>6}  {}",
            of(&streams),
            seconds(self.gap()),
            of(one_shots),
            seconds(load::slowest(one_shots)),
            format!("{}/{}/{}", d.answered, d.confirmed, d.asked),
            d.lost,
            d.twice,
            seconds(d.slowest),
            seconds(d.broker),
            again.join(" "),
        )
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
