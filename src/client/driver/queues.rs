//! What a driver knows about the queues that calls name: whether they have servers.
//!
//! Bounded: a name that no call uses is forgotten once there are many others. Pure.

use crate::protocol::Status;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a queue is assumed to be served after a reply or a consumer was seen.
const SERVED: Duration = Duration::from_secs(1);

/// How long a queue is assumed to be unserved.
const UNSERVED: Duration = Duration::from_millis(100);

/// How many names are kept although no call may use them.
const MAX_UNUSED: usize = 64;

/// What is known, by the name of the queue.
#[derive(Debug)]
pub(super) struct Queues {
    known: HashMap<Arc<str>, Knowledge>,
    /// Unused names are dropped when there are as many names as that.
    full_at: usize,
}

/// What is known about one queue.
#[derive(Debug, Default)]
struct Knowledge {
    /// Whether it is served, and until when that is assumed.
    availability: Option<(Instant, Result<(), Status>)>,
    /// When it was last found unserved, and why; `None` after a reply.
    unserved: Option<(Instant, Status)>,
    /// Whether its calls wait for the end of a search for another broker.
    awaits_search: bool,
    /// The broker has refused every request of its calls, over all connections.
    refused: Option<Refused>,
}

/// A queue for which the broker refuses every request.
#[derive(Debug, Clone, Copy)]
struct Refused {
    since: Instant,
    /// Whether another connection was tried for it.
    reconnected: bool,
}

impl Queues {
    pub(super) fn new() -> Self {
        Self {
            known: HashMap::new(),
            full_at: MAX_UNUSED,
        }
    }

    /// Makes the name of a call's queue the one that is kept here, so that it is known to be used until the call ends.
    pub(super) fn enter(&mut self, queue: &mut Arc<str>) {
        if let Some((name, _)) = self.known.get_key_value(&**queue) {
            *queue = Arc::clone(name);
            return;
        }
        if self.known.len() >= self.full_at {
            self.known.retain(|name, _| Arc::strong_count(name) > 1);
            self.full_at = (2 * self.known.len()).max(MAX_UNUSED);
        }
        self.known.insert(Arc::clone(queue), Knowledge::default());
    }

    /// Whether the queue is served, as far as that is still assumed at `now`.
    pub(super) fn availability(&self, queue: &str, now: Instant) -> Option<Result<(), &Status>> {
        let (until, result) = self.known.get(queue)?.availability.as_ref()?;
        (now < *until).then_some(result.as_ref().copied())
    }

    /// When the queue was last found unserved, and why, unless it has been served since.
    pub(super) fn unserved(&self, queue: &str) -> Option<&(Instant, Status)> {
        self.known.get(queue)?.unserved.as_ref()
    }

    /// Whether any other queue is served at `now`.
    pub(super) fn serves_another(&self, queue: &str, now: Instant) -> bool {
        self.known.iter().any(|(name, known)| {
            let is_served =
                |(until, result): &(Instant, Result<_, _>)| result.is_ok() && now < *until;
            **name != *queue && known.availability.as_ref().is_some_and(is_served)
        })
    }

    /// A reply, or a consumer on the queue, has shown that there is a server.
    pub(super) fn note_served(&mut self, queue: &Arc<str>, now: Instant) {
        *self.of(queue) = Knowledge {
            availability: Some((now + SERVED, Ok(()))),
            ..Knowledge::default()
        };
    }

    /// The queue was found unserved; it is not known yet whether another broker serves it.
    pub(super) fn note_unserved(&mut self, queue: &Arc<str>, now: Instant, status: Status) {
        let known = self.of(queue);
        *known = Knowledge {
            unserved: Some((now, status)),
            refused: known.refused,
            ..Knowledge::default()
        };
    }

    /// Calls of an unserved queue fail at once for a moment.
    pub(super) fn fail_at_once(&mut self, queue: &Arc<str>, now: Instant, status: Status) {
        self.of(queue).availability = Some((now + UNSERVED, Err(status)));
    }

    /// Calls of the queue wait for the end of a search for another broker.
    pub(super) fn await_search(&mut self, queue: &Arc<str>) {
        self.of(queue).awaits_search = true;
    }

    /// The queues that [wait](Queues::await_search) for the search, which has ended, and why they are unserved.
    pub(super) fn after_search(&mut self) -> Vec<(Arc<str>, Status)> {
        let waited = self.known.iter_mut().filter_map(|(name, known)| {
            let waited = std::mem::take(&mut known.awaits_search);
            let (_, status) = known.unserved.as_ref().filter(|_| waited)?;
            Some((Arc::clone(name), status.clone()))
        });
        waited.collect()
    }

    /// The broker has refused a request for the queue: since when it has refused all of them, and whether another
    /// connection was tried for that.
    pub(super) fn note_refused(&mut self, queue: &Arc<str>, now: Instant) -> (Instant, bool) {
        let refused = self.of(queue).refused.get_or_insert(Refused {
            since: now,
            reconnected: false,
        });
        (refused.since, refused.reconnected)
    }

    /// The broker has accepted a request for the queue.
    pub(super) fn note_accepted(&mut self, queue: &Arc<str>) {
        self.of(queue).refused = None;
    }

    /// Another connection is tried for the queues that are refused.
    pub(super) fn note_reconnected(&mut self) {
        for refused in self.known.values_mut().flat_map(|known| &mut known.refused) {
            refused.reconnected = true;
        }
    }

    /// The queues for which the broker has refused every request.
    pub(super) fn refused(&self) -> impl Iterator<Item = &Arc<str>> {
        let refused = self
            .known
            .iter()
            .filter(|(_, known)| known.refused.is_some());
        refused.map(|(name, _)| name)
    }

    /// Nothing is known any more but the refusals: there is another connection.
    pub(super) fn reset(&mut self) {
        for known in self.known.values_mut() {
            *known = Knowledge {
                refused: known.refused,
                ..Knowledge::default()
            };
        }
    }

    fn of(&mut self, queue: &Arc<str>) -> &mut Knowledge {
        self.known.entry(Arc::clone(queue)).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> Arc<str> {
        format!("q{n}").into()
    }

    #[test]
    fn knowledge_is_of_one_queue_and_for_a_while() {
        let now = Instant::now();
        let mut queues = Queues::new();
        let (one, other) = (name(1), name(2));
        assert_eq!(queues.availability(&one, now), None);
        queues.note_served(&one, now);
        assert_eq!(queues.availability(&one, now), Some(Ok(())));
        assert_eq!(queues.availability(&one, now + SERVED), None);
        assert_eq!(queues.availability(&other, now), None);
        assert!(queues.serves_another(&other, now) && !queues.serves_another(&one, now));
        assert!(!queues.serves_another(&other, now + SERVED));
        let status = Status::unavailable("no server");
        queues.note_unserved(&one, now, status.clone());
        assert_eq!(queues.availability(&one, now), None);
        queues.fail_at_once(&one, now, status.clone());
        assert_eq!(queues.availability(&one, now), Some(Err(&status)));
        assert_eq!(queues.availability(&one, now + UNSERVED), None);
        assert_eq!(queues.unserved(&one), Some(&(now, status)));
        queues.note_served(&one, now);
        assert_eq!(queues.unserved(&one), None);
    }

    #[test]
    fn a_refusal_lasts_over_connections_until_a_request_is_accepted() {
        let now = Instant::now();
        let later = now + SERVED;
        let mut queues = Queues::new();
        let (one, other) = (name(1), name(2));
        assert_eq!(queues.note_refused(&one, now), (now, false));
        queues.note_reconnected();
        queues.reset();
        queues.note_unserved(&one, now, Status::unavailable("no server"));
        assert_eq!(queues.note_refused(&one, later), (now, true));
        assert_eq!(queues.note_refused(&other, later), (later, false));
        queues.note_accepted(&one);
        assert_eq!(queues.refused().collect::<Vec<_>>(), [&other]);
        queues.note_served(&other, later);
        assert_eq!(queues.refused().count(), 0);
        assert_eq!(queues.note_refused(&one, later), (later, false));
    }

    #[test]
    fn a_search_ends_for_all_queues_that_wait_for_it() {
        let now = Instant::now();
        let mut queues = Queues::new();
        let (one, other, served) = (name(1), name(2), name(3));
        let status = Status::unavailable("no server");
        for queue in [&one, &other, &served] {
            queues.note_unserved(queue, now, status.clone());
        }
        queues.await_search(&one);
        queues.await_search(&served);
        queues.note_served(&served, now);
        assert_eq!(queues.after_search(), [(one, status)]);
        assert_eq!(queues.after_search(), []);
    }

    #[test]
    fn names_that_no_call_uses_are_forgotten() {
        let now = Instant::now();
        let mut queues = Queues::new();
        let call = |queues: &mut Queues, n| {
            let mut queue = name(n);
            queues.enter(&mut queue);
            queues.note_served(&queue, now);
            queue
        };
        // The first calls of these have ended.
        let used: Vec<_> = (0..1_000)
            .map(|n| [call(&mut queues, n), call(&mut queues, n)])
            .map(|[_, second]| second)
            .collect();
        for n in 0..100_000 {
            call(&mut queues, 1_000 + n);
            assert!(queues.known.len() <= 2 * used.len() + MAX_UNUSED);
        }
        let is_known = |queue: &Arc<str>| queues.availability(queue, now).is_some();
        assert!(used.iter().all(is_known));
        drop(used);
        for n in 0..10_000 {
            call(&mut queues, n);
        }
        assert!(queues.known.len() <= MAX_UNUSED);
    }
}
