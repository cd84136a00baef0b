//! Checks whether the session's broker still reaches the request queue: by passive declares, and by a change.
//!
//! A node that is cut off from its cluster keeps its clients: it answers heartbeats, and deliveries merely stop, as they do
//! without load. But a consumer knows that its queue has at least one consumer, and such a node reports none: a quorum queue
//! answers a passive declare with 0 consumers if its leader does not answer (`rabbit_quorum_queue:stat/2`), and a classic
//! queue on another node is "down" or does not answer.
//!
//! A leader that is cut off together with its clients keeps reporting its consumers. But it cannot change them, which takes a
//! majority of the queue's members. So if nothing was delivered for a while, and there is another broker to use, the session
//! replaces its consumer (`session/prefetch.rs`). If that does not succeed in time, the queue is out of reach as well.
//!
//! Owns one check at a time, on a channel whose loss does not end the session. The queue counts as out of reach if checks agree
//! for a while, because elections and busy leaders have the same symptoms, and if there was no delivery meanwhile.

use crate::broker::{Channel, Channels, Connection, Error, Kind, Mailbox};
use crate::text::duration;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The interval between checks. A check that does not find our consumer is followed by the next at once.
const EVERY: Duration = Duration::from_secs(2);

/// How long a check may take. A broker notices within a quarter of a second that a leader does not answer.
const LIMIT: Duration = Duration::from_secs(2);

/// How long checks have to agree if there is another broker to use: longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the queue may show no activity before it has to be proved that it is within reach.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a consumer may take to begin if there is another broker to use.
const STALLED: Duration = Duration::from_secs(3);

/// How long checks have to agree if there is only one URL. Another node may be behind it.
const PATIENCE_WITH_ONE_URL: Duration = Duration::from_secs(30);

/// A channel for checks; its mailbox receives only its end.
type Side = (Channel, Mailbox);

type Checking = Pin<Box<dyn Future<Output = (Observation, Option<Side>)> + Send>>;

pub(super) struct Reachability {
    channels: Channels,
    queue: String,
    broker: String,
    doubts: Doubts,
    next: Instant,
    /// When the broker last did something that needs the queue, with a precision of a second.
    heard: Instant,
    /// Whether it has delivered since the last [`Reachability::tick`], because reading the clock for each delivery is too expensive.
    delivered: bool,
    /// The channel of the last check, for the next one.
    channel: Option<Side>,
    check: Option<Checking>,
}

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Observation {
    Consumer,
    /// The queue has none, or is out of the broker's reach.
    None,
    /// The broker did not answer.
    Silence,
    /// The check is not permitted, and shows nothing.
    Refused,
}

/// Since when checks have not found our consumer. Pure.
#[derive(Debug)]
struct Doubts {
    /// Whether there is another broker to use.
    alternative: bool,
    since: Option<Instant>,
}

impl Reachability {
    /// Checks `queue` over this connection. `urls`: the number of configured brokers.
    pub(super) fn new(connection: &Connection, broker: String, queue: &str, urls: usize) -> Self {
        Self {
            channels: connection.channels(),
            queue: queue.to_owned(),
            broker,
            doubts: Doubts {
                alternative: urls > 1,
                since: None,
            },
            next: Instant::now() + EVERY,
            heard: Instant::now(),
            delivered: false,
            channel: None,
            check: None,
        }
    }

    /// Notes a delivery, so the queue is within reach.
    pub(super) fn delivered(&mut self) {
        self.delivered = true;
    }

    fn take_note(&mut self) {
        if std::mem::take(&mut self.delivered) {
            self.doubts.since = None;
            self.heard = Instant::now();
        }
    }

    /// Notes that another consumer has begun, which took a majority of the queue's members; or that nothing is known because
    /// the process was stopped.
    pub(super) fn proven(&mut self) {
        self.heard = Instant::now();
    }

    /// Whether the queue has shown no activity for a while, and there is another broker to use.
    pub(super) fn is_silent(&self) -> bool {
        self.doubts.alternative && self.heard.elapsed() >= SILENCE
    }

    /// Fails if the consumer has been being replaced for too long.
    pub(super) fn judge(&self, stalled: Duration) -> Result<(), Error> {
        if self.doubts.alternative && stalled >= STALLED && self.heard.elapsed() >= STALLED {
            Err(not_begun(&self.queue, &self.broker, STALLED))
        } else {
            Ok(())
        }
    }

    /// To be called once per second: begins the next check if it is due.
    pub(super) fn tick(&mut self) {
        self.take_note();
        if self.check.is_none() && Instant::now() >= self.next {
            let check = check(
                self.channels.clone(),
                self.channel.take(),
                self.queue.clone(),
            );
            self.check = Some(Box::pin(check));
        }
    }

    /// Completes with the running check; an error if the queue is out of reach. Never ready if no check is running. Cancel
    /// safe.
    pub(super) async fn checked(&mut self) -> Result<(), Error> {
        let Some(check) = &mut self.check else {
            return std::future::pending().await;
        };
        let observation;
        (observation, self.channel) = check.await;
        self.check = None;
        self.take_note();
        let now = Instant::now();
        let patience = self.doubts.add(observation, now);
        self.next = match observation {
            // Permissions last as long as the session.
            Observation::Refused => now + Duration::from_secs(86_400),
            _ if self.doubts.since.is_some() => now,
            _ => now + EVERY,
        };
        patience.map_or(Ok(()), |patience| {
            let what = "has seen no consumer of it";
            Err(out_of_reach(&self.queue, &self.broker, what, patience))
        })
    }
}

/// How long the consumer of a new session may take to begin in this attempt, with `urls` configured URLs. `None`: as long as
/// any operation. A broker asks the leader that it knows, and waits for it even if another one has been elected. The limit
/// doubles with each round, because the cluster may merely be slow.
pub(super) fn time_to_begin(urls: usize, attempt: u32) -> Option<Duration> {
    let rounds = usize::try_from(attempt)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
        / urls.max(1);
    (urls > 1).then(|| STALLED * (1 << rounds.min(4)))
}

/// The error of a consumer that did not begin in time.
pub(super) fn not_begun(queue: &str, broker: &str, limit: Duration) -> Error {
    out_of_reach(queue, broker, "has not let a consumer begin", limit)
}

fn out_of_reach(queue: &str, broker: &str, what: &str, limit: Duration) -> Error {
    let message = format!(
        "queue {queue:?} is out of reach: broker {broker} {what} for {}; its node may be cut off from the queue's \
         leader (rabbitmqctl cluster_status)",
        duration(limit)
    );
    Kind::QueueDown.error(message)
}

impl Doubts {
    /// Adds the result of a check; returns for how long checks have agreed, if that is enough.
    fn add(&mut self, observation: Observation, now: Instant) -> Option<Duration> {
        let doubtful = match observation {
            Observation::Consumer | Observation::Refused => false,
            Observation::None => true,
            // Heartbeats detect a silent broker, unless there is another one to use.
            Observation::Silence => self.alternative,
        };
        if !doubtful {
            self.since = None;
            return None;
        }
        let patience = if self.alternative {
            PATIENCE
        } else {
            PATIENCE_WITH_ONE_URL
        };
        let since = *self.since.get_or_insert(now);
        (now - since >= patience).then_some(patience)
    }
}

/// Checks once, on a channel whose loss does not end the session. Returns the channel if it is still usable: the broker closes
/// it if it does not find the queue.
async fn check(
    channels: Channels,
    channel: Option<Side>,
    queue: String,
) -> (Observation, Option<Side>) {
    let checking = async {
        let side = match channel {
            Some(side) => side,
            None => channels.open(false).await?,
        };
        let status = side.0.queue_status(&queue).await?;
        Ok::<_, Error>((status, side))
    };
    match timeout(LIMIT, checking).await {
        Ok(Ok((status, side))) if status.consumers > 0 => (Observation::Consumer, Some(side)),
        Ok(Ok((_, side))) => (Observation::None, Some(side)),
        Ok(Err(error)) => match error.kind {
            Kind::QueueDown => (Observation::None, None),
            Kind::Timeout => (Observation::Silence, None),
            // The session notices a deleted queue and a lost connection in other ways.
            _ => (Observation::Refused, None),
        },
        Err(_) => (Observation::Silence, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubts(alternative: bool) -> Doubts {
        Doubts {
            alternative,
            since: None,
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn checks_have_to_agree_for_a_while() {
        let mut doubts = doubts(true);
        let start = Instant::now();
        assert_eq!(doubts.add(Observation::None, start), None);
        assert_eq!(
            doubts.add(Observation::Silence, start + PATIENCE - SECOND),
            None
        );
        assert_eq!(
            doubts.add(Observation::None, start + PATIENCE),
            Some(PATIENCE),
            "silence counts as no consumer"
        );
    }

    #[test]
    fn the_time_to_begin_doubles_with_each_round() {
        let times = [1, 3, 4, 6, 7, 100].map(|attempt| time_to_begin(3, attempt));
        let expected = [1, 1, 2, 2, 4, 16].map(|factor| Some(STALLED * factor));
        assert_eq!(times, expected);
        assert_eq!(time_to_begin(1, 1), None);
    }

    #[test]
    fn finding_a_consumer_resets_the_doubts() {
        let mut doubts = doubts(true);
        let start = Instant::now();
        assert_eq!(doubts.add(Observation::None, start), None);
        assert_eq!(doubts.add(Observation::Consumer, start + SECOND), None);
        assert_eq!(doubts.add(Observation::None, start + PATIENCE), None);
        assert!(
            doubts
                .add(Observation::None, start + PATIENCE * 2)
                .is_some()
        );
    }

    #[test]
    fn with_one_broker_checks_agree_for_longer_and_silence_does_not_count() {
        let mut doubts = doubts(false);
        let start = Instant::now();
        assert_eq!(doubts.add(Observation::None, start), None);
        assert_eq!(doubts.add(Observation::None, start + PATIENCE), None);
        let end = start + PATIENCE_WITH_ONE_URL;
        assert_eq!(doubts.add(Observation::Silence, end - SECOND), None);
        assert_eq!(
            doubts.add(Observation::None, end),
            None,
            "silence resets the doubts"
        );
        assert!(
            doubts
                .add(Observation::None, end + PATIENCE_WITH_ONE_URL)
                .is_some()
        );
    }
}
