//! Which request takes sessions down: after a death without a clean close, deliveries are taken one
//! at a time, so that a death can be laid at one request's door.
//!
//! Until one settles, if the death can have no message for its cause. Else until as many have settled
//! as may come again (acks sent shortly before a death may be lost with it): were the others let in again after the first, each of those ahead of the culprit
//! would cost a death of its own, and the others a delivery each time, of which a queue may allow few.
//!
//! Owns the strikes, across sessions in memory and across processes in a small file in the state
//! directory (systemd's `StateDirectory=`), where there is one. Without one, the death of the process
//! itself leaves no trace and only deaths of sessions count. Each session has a clone, which knows the request
//! that it has in hand; all else they share.

use super::trace::Trace;
use crate::protocol::Request;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request that was there at so many deaths is rejected.
pub(super) const STRIKES: u32 = 3;

/// Identifies a request across redeliveries.
pub(super) type Fingerprint = u64;

/// The fingerprint of a request: ids are not unique in the tutorial's clients, so the address and the
/// body belong to it.
pub(super) fn fingerprint(request: &Request) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    (&request.correlation_id, &request.reply_to, &request.body).hash(&mut hasher);
    hasher.finish()
}

/// What becomes of a request that is about to be worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is worked on.
    Innocent,
    /// It is rejected, and its caller is told before: no work on it, only its answer.
    Answer(Poison),
    /// It is rejected without an answer, which is what ends the session, or has ended it just now.
    Reject(Poison),
}

/// A request that has taken the server down too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poison {
    pub(super) fingerprint: Fingerprint,
    pub(super) strikes: u32,
}

/// What is known of deaths.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// The request that this session has in hand, alone.
    current: Option<Fingerprint>,
    /// How many requests are still to be taken one at a time. Changed under the lock, and read without it, since it is
    /// asked for each request.
    suspects: Arc<AtomicU64>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    strikes: HashMap<Fingerprint, u32>,
    /// Those that had the session end, and not the process. All that a session sends for a request is its answer,
    /// so that another one would end the next session as well.
    deadly_answers: HashSet<Fingerprint>,
    /// The current ones of all sessions.
    in_hand: Vec<Fingerprint>,
    trace: Trace,
}

/// For another session, which has nothing in hand yet.
impl Clone for Isolation {
    fn clone(&self) -> Self {
        Self {
            current: None,
            suspects: Arc::clone(&self.suspects),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Isolation {
    /// Picks up what the process before left in `directory`: a clean end leaves nothing. `suspects`:
    /// how many requests it can have had in flight.
    pub(super) fn load(directory: Option<&Path>, suspects: u64) -> Self {
        let (trace, left) = directory.map(Trace::open).unwrap_or_default();
        let mut shared = Shared {
            trace,
            ..Shared::default()
        };
        let suspects = left.as_ref().map_or(0, |_| suspects.max(1));
        shared.strikes = left
            .iter()
            .flat_map(|left| left.lines())
            .filter_map(parse)
            .collect();
        shared.save();
        Self {
            current: None,
            suspects: Arc::new(suspects.into()),
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Whether deliveries are to be taken one at a time.
    pub(super) fn active(&self) -> bool {
        self.suspects() > 0
    }

    /// A request is about to be worked on, alone, unless it has had too many strikes.
    pub(super) fn begin(&mut self, request: Fingerprint) -> Verdict {
        let mut shared = lock(&self.shared);
        let strikes = shared.strikes.get(&request).copied().unwrap_or(0);
        let poison = Poison {
            fingerprint: request,
            strikes: strikes.min(STRIKES),
        };
        if strikes > STRIKES || (strikes == STRIKES && shared.deadly_answers.contains(&request)) {
            return Verdict::Reject(poison);
        }
        shared.put_down(&mut self.current);
        self.current = Some(request);
        shared.in_hand.push(request);
        shared.save();
        if strikes == STRIKES {
            Verdict::Answer(poison)
        } else {
            Verdict::Innocent
        }
    }

    /// A request was settled, so it is no suspect.
    pub(super) fn settled(&mut self) {
        let mut shared = lock(&self.shared);
        if let Some(request) = shared.put_down(&mut self.current) {
            shared.forget(request);
        }
        self.suspect(self.suspects().saturating_sub(1));
        shared.save();
    }

    /// A request was rejected; its strikes are served. The next one that settles ends the isolation.
    pub(super) fn rejected(&mut self, request: Fingerprint) {
        let mut shared = lock(&self.shared);
        shared.put_down(&mut self.current);
        shared.forget(request);
        self.suspect(1);
        shared.save();
    }

    /// The session died, and so many requests may come again. `culpable`: of something that a message can
    /// cause. Returns whether anything was learnt from it: who is suspected, which may end all deaths like it.
    pub(super) fn died(&mut self, culpable: bool, returning: u64) -> bool {
        let mut shared = lock(&self.shared);
        let last = self.suspects();
        let suspects = if culpable { returning.max(1) } else { 1 };
        self.suspect(last.max(suspects));
        let accused = shared.put_down(&mut self.current).filter(|_| culpable);
        if let Some(request) = accused {
            *shared.strikes.entry(request).or_insert(0) += 1;
            shared.deadly_answers.insert(request);
        }
        shared.save();
        culpable && (accused.is_some() || last == 0)
    }

    /// The session ends in order, and what it had in hand with it.
    pub(super) fn left(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.put_down(&mut self.current).is_some() {
            shared.save();
        }
    }

    /// The process ends in order.
    pub(super) fn ended(&mut self) {
        lock(&self.shared).trace.remove();
    }

    fn suspects(&self) -> u64 {
        self.suspects.load(Ordering::Relaxed)
    }

    fn suspect(&self, suspects: u64) {
        self.suspects.store(suspects, Ordering::Relaxed);
    }
}

/// Nothing that panics is done under the lock.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// A session has nothing in hand any more; what it had.
    fn put_down(&mut self, current: &mut Option<Fingerprint>) -> Option<Fingerprint> {
        let request = current.take()?;
        if let Some(index) = self.in_hand.iter().position(|one| *one == request) {
            self.in_hand.swap_remove(index);
        }
        Some(request)
    }

    fn forget(&mut self, request: Fingerprint) {
        self.strikes.remove(&request);
        self.deadly_answers.remove(&request);
    }

    /// Writes what the next process has to know if this one dies now.
    fn save(&mut self) {
        let mut text = String::from("running\n");
        for (request, strikes) in &self.strikes {
            let more = u32::from(self.in_hand.contains(request));
            let _ = writeln!(text, "{request:016x} {}", strikes + more);
        }
        for request in &self.in_hand {
            if !self.strikes.contains_key(request) {
                let _ = writeln!(text, "{request:016x} 1");
            }
        }
        self.trace.write(&text);
    }
}

fn parse(line: &str) -> Option<(Fingerprint, u32)> {
    let (request, strikes) = line.split_once(' ')?;
    Some((
        u64::from_str_radix(request, 16).ok()?,
        strikes.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests;
