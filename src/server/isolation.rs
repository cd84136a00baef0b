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
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// How many requests are still to be taken one at a time.
    suspects: u64,
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
        if let Some(left) = left {
            shared.suspects = suspects.max(1);
            shared.strikes = left.lines().filter_map(parse).collect();
        }
        shared.save();
        Self {
            current: None,
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Whether deliveries are to be taken one at a time.
    pub(super) fn active(&self) -> bool {
        self.shared().suspects > 0
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
        shared.suspects = shared.suspects.saturating_sub(1);
        shared.save();
    }

    /// A request was rejected; its strikes are served. The next one that settles ends the isolation.
    pub(super) fn rejected(&mut self, request: Fingerprint) {
        let mut shared = lock(&self.shared);
        shared.put_down(&mut self.current);
        shared.forget(request);
        shared.suspects = 1;
        shared.save();
    }

    /// The session died, and so many requests may come again. `culpable`: of something that a message can
    /// cause. Returns whether anything was learnt from it: who is suspected, which may end all deaths like it.
    pub(super) fn died(&mut self, culpable: bool, returning: u64) -> bool {
        let mut shared = lock(&self.shared);
        let was_active = shared.suspects > 0;
        let suspects = if culpable { returning.max(1) } else { 1 };
        shared.suspects = shared.suspects.max(suspects);
        let accused = shared.put_down(&mut self.current).filter(|_| culpable);
        if let Some(request) = accused {
            *shared.strikes.entry(request).or_insert(0) += 1;
            shared.deadly_answers.insert(request);
        }
        shared.save();
        culpable && (accused.is_some() || !was_active)
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
        self.shared().trace.remove();
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
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
mod tests {
    use super::*;

    const POISON: Poison = Poison {
        fingerprint: 7,
        strikes: STRIKES,
    };

    #[test]
    fn three_deaths_in_isolation_condemn_a_request() {
        let mut isolation = Isolation::default();
        isolation.died(true, 1);
        assert!(isolation.active(), "the first death accuses nobody");
        for _ in 0..STRIKES {
            assert_eq!(isolation.begin(7), Verdict::Innocent);
            isolation.died(true, 1);
        }
        assert_eq!(isolation.begin(7), Verdict::Reject(POISON));
        isolation.rejected(7);
        assert_eq!(
            isolation.begin(7),
            Verdict::Innocent,
            "a verdict is carried out once"
        );
    }

    #[test]
    fn a_settled_request_ends_isolation_and_its_strikes() {
        let mut isolation = Isolation::default();
        isolation.died(true, 1);
        assert_eq!(isolation.begin(7), Verdict::Innocent);
        isolation.died(true, 1);
        assert_eq!(isolation.begin(7), Verdict::Innocent);
        isolation.settled();
        assert!(!isolation.active());
        isolation.died(true, 1);
        for _ in 0..STRIKES {
            assert_eq!(
                isolation.begin(7),
                Verdict::Innocent,
                "counting starts afresh"
            );
            isolation.died(true, 1);
        }
        assert_eq!(isolation.begin(7), Verdict::Reject(POISON));
    }

    #[test]
    fn all_that_were_in_flight_are_taken_one_at_a_time() {
        let mut isolation = Isolation::default();
        isolation.died(true, 3);
        for _ in 0..3 {
            assert!(isolation.active());
            isolation.settled();
        }
        assert!(!isolation.active());
        isolation.died(true, 64);
        isolation.died(true, 1);
        isolation.settled();
        assert!(isolation.active(), "a later death clears nobody");
        isolation.rejected(7);
        isolation.settled();
        assert!(!isolation.active(), "the culprit was found");
    }

    #[test]
    fn a_lost_network_is_nobodys_fault() {
        let mut isolation = Isolation::default();
        for _ in 0..10 {
            assert_eq!(isolation.begin(7), Verdict::Innocent);
            isolation.died(false, 60);
        }
        assert!(isolation.active());
        assert_eq!(isolation.begin(7), Verdict::Innocent);
    }

    #[test]
    fn strikes_survive_the_death_of_the_process_but_not_a_clean_end() {
        let directory = tempfile::tempdir().unwrap();
        let load = || Isolation::load(Some(directory.path()), 1);
        let mut first = load();
        assert!(!first.active(), "nothing is known of a process before");
        assert_eq!(first.begin(7), Verdict::Innocent);
        for _ in 1..STRIKES {
            // Each of these is dropped without a word, as `kill -9` does.
            let mut next = load();
            assert!(next.active());
            assert_eq!(next.begin(7), Verdict::Innocent);
        }
        let mut last = load();
        assert_eq!(last.begin(7), Verdict::Answer(POISON));
        last.rejected(7);
        last.ended();
        let mut clean = load();
        assert!(!clean.active());
        assert_eq!(clean.begin(7), Verdict::Innocent);
    }

    /// As where the answer is what the process dies of.
    #[test]
    fn who_dies_of_the_last_answer_rejects_without_one() {
        let directory = tempfile::tempdir().unwrap();
        let load = || Isolation::load(Some(directory.path()), 1);
        let mut first = load();
        assert_eq!(first.begin(7), Verdict::Innocent);
        for _ in 1..STRIKES {
            assert_eq!(load().begin(7), Verdict::Innocent);
        }
        assert_eq!(load().begin(7), Verdict::Answer(POISON));
        let mut next = load();
        assert_eq!(next.begin(7), Verdict::Reject(POISON));
        next.rejected(7);
        assert_eq!(next.begin(7), Verdict::Innocent);
    }

    #[test]
    fn a_lost_network_does_not_cost_the_last_answer() {
        let directory = tempfile::tempdir().unwrap();
        let load = || Isolation::load(Some(directory.path()), 1);
        for _ in 0..STRIKES {
            assert_eq!(load().begin(7), Verdict::Innocent);
        }
        let mut next = load();
        for _ in 0..3 {
            assert_eq!(next.begin(7), Verdict::Answer(POISON));
            next.died(false, 1);
        }
    }

    /// As while a session gives way to the next.
    #[test]
    fn sessions_side_by_side_have_each_its_own_request_in_hand() {
        let directory = tempfile::tempdir().unwrap();
        let load = || Isolation::load(Some(directory.path()), 1);
        load();
        let mut old = load();
        let mut new = old.clone();
        assert_eq!(old.begin(7), Verdict::Innocent);
        assert_eq!(new.begin(8), Verdict::Innocent);
        assert!(new.died(true, 1));
        assert_eq!(new.begin(8), Verdict::Innocent);
        new.settled();
        assert!(old.died(true, 1), "8 is innocent, which says nothing of 7");
        let strikes = |isolation: &Isolation| isolation.shared().strikes.clone();
        assert_eq!(strikes(&old), HashMap::from([(7, 1)]));
        assert_eq!(old.begin(7), Verdict::Innocent);
        assert_eq!(strikes(&load()), HashMap::from([(7, 2)]));
        old.left();
        new.settled();
        assert_eq!(strikes(&load()), HashMap::from([(7, 1)]));
    }

    #[test]
    fn a_death_that_teaches_nothing_is_told_from_one_that_does() {
        let mut isolation = Isolation::default();
        assert!(!isolation.died(false, 1));
        isolation.settled();
        assert!(isolation.died(true, 2), "they are taken one at a time now");
        assert!(!isolation.died(true, 2), "none had been begun");
        isolation.begin(7);
        assert!(isolation.died(true, 2), "it has a strike now");
        isolation.begin(7);
        assert!(!isolation.died(false, 2));
    }

    #[test]
    fn another_body_under_the_same_id_is_another_request() {
        let request = |body: &str| {
            fingerprint(&Request::read(crate::protocol::Message {
                body: body.into(),
                properties: crate::protocol::Properties {
                    correlation_id: Some(b"1".to_vec()),
                    ..crate::protocol::Properties::default()
                },
            }))
        };
        assert_eq!(request("30"), request("30"));
        assert_ne!(request("30"), request("31"));
    }
}
