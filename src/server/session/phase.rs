//! What a session is doing: it serves, or it drains until its requests are finished or its time is over.
//!
//! Decides when a drain hands back requests and when it ends; the session acts on that (`drain.rs`). Pure: the current time
//! is an argument.

use crate::server::credit::MAX_LINE;
use std::time::{Duration, Instant};

/// How long requests that will not be begun are kept. Many drains are over by then, and one frame hands back all that is
/// left. While others are in flight they are handed back one by one, which costs the broker a command each.
const HAND_BACK_DELAY: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) enum Phase {
    Serving,
    /// It finishes what it has begun.
    Draining(Drain),
}

/// A drain that has begun.
#[derive(Debug)]
pub(super) struct Drain {
    /// When the drain time is over.
    until: Instant,
    /// When to hand back what will not be begun; `None`: done.
    hand_back_at: Option<Instant>,
    /// No request is begun after this.
    begin_until: Instant,
    /// Whether the server stops afterwards. Otherwise another session has taken over.
    stopping: bool,
}

impl Phase {
    /// Begins a drain that may take `limit`, or notes that the server stops after the present one and starts its time again.
    /// Returns whether it begins only now.
    pub(super) fn drain(&mut self, stopping: bool, now: Instant, limit: Duration) -> bool {
        match self {
            Self::Serving => {
                *self = Self::Draining(Drain {
                    until: now + limit,
                    hand_back_at: Some(now + HAND_BACK_DELAY),
                    begin_until: now + MAX_LINE.min(limit),
                    stopping,
                });
                true
            }
            Self::Draining(drain) => {
                if stopping && !drain.stopping {
                    drain.stopping = true;
                    drain.until = now + limit;
                }
                false
            }
        }
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self, Self::Serving)
    }

    /// Whether the session drains because the server stops.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self, Self::Draining(drain) if drain.stopping)
    }

    /// Whether the session drains because another one has taken over.
    pub(super) fn is_replaced(&self) -> bool {
        matches!(self, Self::Draining(drain) if !drain.stopping)
    }

    /// Completes when the drain has something to do; never while serving.
    pub(super) async fn wake(&self) {
        match self {
            Self::Serving => std::future::pending().await,
            Self::Draining(drain) => tokio::time::sleep_until(drain.wakes().into()).await,
        }
    }
}

impl Drain {
    fn wakes(&self) -> Instant {
        self.hand_back_at
            .map_or(self.until, |at| at.min(self.until))
    }

    /// Takes the next step: hand back what will not begin within the returned time; `None`: the drain time is over. There
    /// are two such steps, the second for requests that were expected to begin by then and have not.
    pub(super) fn step(&mut self, now: Instant) -> Option<Duration> {
        self.hand_back_at?;
        let left = self.begin_until.saturating_duration_since(now);
        self.hand_back_at = (!left.is_zero()).then_some(self.begin_until);
        Some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn drain(phase: &mut Phase) -> &mut Drain {
        match phase {
            Phase::Draining(drain) => drain,
            Phase::Serving => unreachable!("it drains"),
        }
    }

    #[test]
    fn a_drain_hands_back_twice_and_then_waits_for_its_end() {
        let mut phase = Phase::Serving;
        let start = Instant::now();
        assert!(phase.drain(true, start, MINUTE));
        let drain = drain(&mut phase);
        for (wakes, left) in [
            (
                HAND_BACK_DELAY,
                Some(MAX_LINE.saturating_sub(HAND_BACK_DELAY)),
            ),
            (MAX_LINE, Some(Duration::ZERO)),
            (MINUTE, None),
        ] {
            assert_eq!(drain.wakes(), start + wakes);
            assert_eq!(drain.step(start + wakes), left);
        }
    }

    #[test]
    fn a_short_drain_hands_back_before_it_ends() {
        let mut phase = Phase::Serving;
        let start = Instant::now();
        let limit = HAND_BACK_DELAY / 2;
        phase.drain(true, start, limit);
        let drain = drain(&mut phase);
        assert_eq!(drain.wakes(), start + limit);
        assert_eq!(drain.step(start + limit), Some(Duration::ZERO));
        assert_eq!(drain.wakes(), start + limit);
        assert_eq!(drain.step(start + limit), None);
    }

    #[test]
    fn a_replaced_session_may_take_the_whole_drain_time_when_the_server_stops() {
        let mut phase = Phase::Serving;
        let start = Instant::now();
        assert!(phase.drain(false, start, MINUTE));
        assert!(phase.is_replaced());
        assert!(!phase.drain(true, start + MINUTE / 2, MINUTE));
        assert!(phase.is_stopping());
        assert!(!phase.drain(true, start + MINUTE, MINUTE), "only once");
        let drain = drain(&mut phase);
        assert_eq!(drain.wakes(), start + HAND_BACK_DELAY);
        while drain.step(start + MINUTE).is_some() {}
        assert_eq!(drain.wakes(), start + MINUTE / 2 + MINUTE);
    }
}
