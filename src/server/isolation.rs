//! Finds the request that ends sessions: after a session or process has died, deliveries are taken one at a time, so that the
//! next death can be attributed to one request.
//!
//! This lasts until one request settles, if no message can have caused the death. Otherwise it lasts until as many have
//! settled as may be redelivered (acks sent shortly before a death may be lost); a request that takes long counts for many,
//! since a session holds few of these. If it ended with the first, each request ahead of the culprit would cost another death,
//! and each of the others a delivery, of which a queue may allow few.
//!
//! Owns the strikes: across sessions in memory, across processes in a small file in the state directory (systemd's
//! `StateDirectory=`), if there is one. Without it, the death of the process leaves nothing, and only deaths of sessions
//! count. Each session has a clone, which knows the session's current request; everything else is shared.

use super::state::Counters;
use super::strike_file::StrikeFile;
use crate::protocol::RequestMessage;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A request is rejected after this many deaths.
pub(super) const STRIKES: u32 = 3;

/// Identifies a request across redeliveries.
pub(super) type Fingerprint = u64;

/// The fingerprint of a request. It includes the reply address and the body, because the tutorial's clients do not use
/// unique ids.
pub(super) fn fingerprint(request: &RequestMessage) -> Fingerprint {
    let mut hasher = DefaultHasher::new();
    (&request.correlation_id, &request.reply_to, &request.body).hash(&mut hasher);
    hasher.finish()
}

/// What is to be done with a request in isolation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Proceed,
    /// Reject it without computing it, after telling its caller.
    Answer(Poison),
    /// Reject it without a reply, because the reply may be what ends the session.
    Reject(Poison),
}

/// A request that has ended sessions too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Poison {
    pub(super) fingerprint: Fingerprint,
    pub(super) strikes: u32,
}

/// The isolation of one session.
#[derive(Debug, Default)]
pub(super) struct Isolation {
    /// The session's current request.
    current: Option<Fingerprint>,
    /// For how many others it stands, beside itself.
    others: u64,
    /// `isolated` is how many requests are still to be taken one at a time. Changed under the lock, and read without it, since
    /// it is asked for each request.
    counters: Arc<Counters>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    strikes: HashMap<Fingerprint, u32>,
    /// Those that ended a session and not the process. Since all that a session sends for a request is its reply, another
    /// reply would end the next session as well.
    deadly_replies: HashSet<Fingerprint>,
    /// The current requests of all sessions.
    in_hand: Vec<Fingerprint>,
    file: StrikeFile,
}

/// For another session, which has no current request yet.
impl Clone for Isolation {
    fn clone(&self) -> Self {
        Self {
            current: None,
            others: 0,
            counters: Arc::clone(&self.counters),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Isolation {
    /// Without a state directory. Counts strikes and suspects there.
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            counters,
            ..Self::default()
        }
    }

    /// Reads what the previous process left in `directory`; a clean end leaves nothing. `suspects`: how many requests it
    /// can have had in flight.
    pub(super) fn load(directory: &Path, suspects: u64, counters: Arc<Counters>) -> Self {
        let (file, left) = StrikeFile::open(directory);
        let suspects = left.as_ref().map_or(0, |_| suspects.max(1));
        let left = left.unwrap_or_default();
        let mut shared = Shared {
            strikes: left.lines().filter_map(parse).collect(),
            file,
            ..Shared::default()
        };
        shared.save();
        let isolation = Self {
            current: None,
            others: 0,
            counters,
            shared: Arc::new(Mutex::new(shared)),
        };
        isolation.suspect(suspects);
        isolation
    }

    /// Whether deliveries are to be taken one at a time.
    pub(super) fn active(&self) -> bool {
        self.suspects() > 0
    }

    /// Makes a request the current one, unless it has too many strikes, and decides what to do with it.
    pub(super) fn begin(&mut self, request: Fingerprint) -> Decision {
        let mut shared = lock(&self.shared);
        let strikes = shared.strikes.get(&request).copied().unwrap_or(0);
        let poison = Poison {
            fingerprint: request,
            strikes: strikes.min(STRIKES),
        };
        if strikes > STRIKES || (strikes == STRIKES && shared.deadly_replies.contains(&request)) {
            return Decision::Reject(poison);
        }
        shared.put_down(&mut self.current);
        self.current = Some(request);
        self.others = 0;
        shared.in_hand.push(request);
        shared.save();
        if strikes == STRIKES {
            Decision::Answer(poison)
        } else {
            Decision::Proceed
        }
    }

    /// Once it is settled, the current request counts for this many.
    pub(super) fn weigh(&mut self, requests: u64) {
        self.others = requests.saturating_sub(1);
    }

    /// Clears the current request, which was settled.
    pub(super) fn settled(&mut self) {
        let mut shared = lock(&self.shared);
        if let Some(request) = shared.put_down(&mut self.current) {
            shared.forget(request);
        }
        let settled = 1 + std::mem::take(&mut self.others);
        self.suspect(self.suspects().saturating_sub(settled));
        shared.save();
    }

    /// Forgets a request that was rejected. The next one that settles ends the isolation.
    pub(super) fn rejected(&mut self, request: Fingerprint) {
        let mut shared = lock(&self.shared);
        shared.put_down(&mut self.current);
        shared.forget(request);
        self.suspect(1);
        shared.save();
    }

    /// The session died, and up to `returning` requests may be redelivered. `culpable`: a message can be the cause. Returns
    /// whether this narrows the suspects down.
    pub(super) fn died(&mut self, culpable: bool, returning: u64) -> bool {
        let mut shared = lock(&self.shared);
        let last = self.suspects();
        let suspects = if culpable { returning.max(1) } else { 1 };
        self.suspect(last.max(suspects));
        let accused = shared.put_down(&mut self.current).filter(|_| culpable);
        if let Some(request) = accused {
            *shared.strikes.entry(request).or_insert(0) += 1;
            shared.deadly_replies.insert(request);
            Counters::add(&self.counters.strikes);
        }
        shared.save();
        culpable && (accused.is_some() || last == 0)
    }

    /// The session ends in order, so its current request is not suspected.
    pub(super) fn left(&mut self) {
        let mut shared = lock(&self.shared);
        if shared.put_down(&mut self.current).is_some() {
            shared.save();
        }
    }

    /// The process ends in order, and leaves no file.
    pub(super) fn ended(&mut self) {
        lock(&self.shared).file.remove();
    }

    fn suspects(&self) -> u64 {
        Counters::get(&self.counters.isolated)
    }

    fn suspect(&self, suspects: u64) {
        self.counters.isolated.store(suspects, Ordering::Relaxed);
    }
}

/// The data is valid even if the lock is poisoned: nothing panics while holding it.
fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Clears a session's current request, and returns it.
    fn put_down(&mut self, current: &mut Option<Fingerprint>) -> Option<Fingerprint> {
        let request = current.take()?;
        if let Some(index) = self.in_hand.iter().position(|one| *one == request) {
            self.in_hand.swap_remove(index);
        }
        Some(request)
    }

    fn forget(&mut self, request: Fingerprint) {
        self.strikes.remove(&request);
        self.deadly_replies.remove(&request);
    }

    /// Writes what the next process needs if this one dies now.
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
        self.file.write(&text);
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
