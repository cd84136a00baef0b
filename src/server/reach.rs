//! Whether the broker of a session still reaches the request queue, found out by looking at it and by changing it.
//!
//! A node that is cut off from the rest of its cluster keeps its clients: it answers heartbeats, and deliveries merely stop,
//! as they do when nobody asks. But whoever consumes from a queue knows how many consumers it has, at least one, and such
//! a node says none: a quorum queue answers a passive declare with 0 consumers if its leader does not answer
//! (`rabbit_quorum_queue:stat/2`), and a classic queue of another node is "down" or gets no answer.
//!
//! A leader that is cut off together with its clients is harder to find out, since it goes on to show its consumers. It cannot
//! change them: that takes most of the queue's members. So if nothing has come for a while, and there is another broker to
//! go to, another consumer takes the place of the session's (`session/consumer.rs`), and what that does not get done in time
//! is out of reach as well.
//!
//! Owns one look at a time, on a channel that the session can do without. A verdict takes looks that agree for a while, since
//! elections and busy leaders look the same, and no delivery meanwhile.

use crate::broker::{Channel, Channels, Connection, Error, Kind, Mailbox};
use crate::text::duration;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The time between two looks while all is well. Looks that do not find our consumer follow one another.
const EVERY: Duration = Duration::from_secs(2);

/// How long a look may take. A broker needs a quarter of a second to find out that a leader does not answer.
const LIMIT: Duration = Duration::from_secs(2);

/// For how long looks have to agree if there is another broker to go to: longer than an election takes.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nothing may come before a proof is wanted that the queue is within reach.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a consumer may take to begin if there is another broker to go to.
const STALLED: Duration = Duration::from_secs(3);

/// The same, if there is only the address that is connected already. Behind it may be another node.
const PATIENCE_WITH_ONE_URL: Duration = Duration::from_secs(30);

/// A channel for looks; nothing arrives in its inbox but its end.
type Side = (Channel, Mailbox);

type Looking = Pin<Box<dyn Future<Output = (Sight, Option<Side>)> + Send>>;

/// The looks of one session.
pub(super) struct Reach {
    channels: Channels,
    queue: String,
    broker: String,
    doubts: Doubts,
    next: Instant,
    /// When the broker last did something for which it needs the queue, to a second.
    heard: Instant,
    /// Whether it has done so since the last [`Reach::tick`]: deliveries are too many to read the clock for each.
    delivered: bool,
    /// What the last look was made with, kept for the next one.
    channel: Option<Side>,
    look: Option<Looking>,
}

/// What one look has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// The queue has a consumer.
    Consumer,
    /// It has none, or is out of the broker's reach.
    None,
    /// The broker did not answer.
    Silence,
    /// Nothing: looking is not allowed.
    Refused,
}

/// Since when looks have not found our consumer. Pure.
#[derive(Debug)]
struct Doubts {
    /// Whether there is another broker to go to.
    alternative: bool,
    since: Option<Instant>,
}

impl Reach {
    /// Looks at `queue` by way of this connection. `urls`: how many brokers the configuration names.
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
            look: None,
        }
    }

    /// A delivery has come, so the queue is within reach.
    pub(super) fn delivered(&mut self) {
        self.delivered = true;
    }

    fn take_note(&mut self) {
        if std::mem::take(&mut self.delivered) {
            self.doubts.since = None;
            self.heard = Instant::now();
        }
    }

    /// Another consumer has taken over, which most members of the queue have agreed on; or nothing is known, since the process
    /// was stopped.
    pub(super) fn proven(&mut self) {
        self.heard = Instant::now();
    }

    /// Whether nothing has shown for a while that the queue is within reach, and there is another broker to go to.
    pub(super) fn is_silent(&self) -> bool {
        self.doubts.alternative && self.heard.elapsed() >= SILENCE
    }

    /// A consumer has tried to take over for so long.
    pub(super) fn judge(&self, stalled: Duration) -> Result<(), Error> {
        if self.doubts.alternative && stalled >= STALLED && self.heard.elapsed() >= STALLED {
            Err(not_begun(&self.queue, &self.broker, STALLED))
        } else {
            Ok(())
        }
    }

    /// Called once a second: begins the next look when its time has come.
    pub(super) fn tick(&mut self) {
        self.take_note();
        if self.look.is_none() && Instant::now() >= self.next {
            let look = look(
                self.channels.clone(),
                self.channel.take(),
                self.queue.clone(),
            );
            self.look = Some(Box::pin(look));
        }
    }

    /// Ends with the look: why the session is of no use any more, if it is not. Pends for ever if there is none; loses
    /// nothing when it is dropped unfinished.
    pub(super) async fn looked(&mut self) -> Result<(), Error> {
        let Some(look) = &mut self.look else {
            return std::future::pending().await;
        };
        let sight;
        (sight, self.channel) = look.await;
        self.look = None;
        self.take_note();
        let now = Instant::now();
        let patience = self.doubts.add(sight, now);
        self.next = match sight {
            // It stays so as long as the session.
            Sight::Refused => now + Duration::from_secs(86_400),
            _ if self.doubts.since.is_some() => now,
            _ => now + EVERY,
        };
        patience.map_or(Ok(()), |patience| {
            let what = "has seen no consumer of it";
            Err(out_of_reach(&self.queue, &self.broker, what, patience))
        })
    }
}

/// How long the consumer of a new session may take to begin: this attempt of several at so many brokers. `None`: as long as
/// any operation. A broker asks the leader that it knows, and waits for it even if another one has been elected meanwhile.
/// Longer in each round, since a cluster may merely be slow.
pub(super) fn time_to_begin(urls: usize, attempt: u32) -> Option<Duration> {
    let rounds = usize::try_from(attempt)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
        / urls.max(1);
    (urls > 1).then(|| STALLED * (1 << rounds.min(4)))
}

/// A consumer did not begin in time.
pub(super) fn not_begun(queue: &str, broker: &str, limit: Duration) -> Error {
    out_of_reach(queue, broker, "has not let a consumer begin", limit)
}

fn out_of_reach(queue: &str, broker: &str, what: &str, limit: Duration) -> Error {
    let message = format!(
        "queue {queue:?} is out of reach: broker {broker} {what} for {}; its node may be cut off from the queue's \
         leader (rabbitmqctl cluster_status)",
        duration(limit)
    );
    Error::new(Kind::QueueDown, message)
}

impl Doubts {
    /// Takes a look into account that ended now; for how long looks have agreed, if that is enough.
    fn add(&mut self, sight: Sight, now: Instant) -> Option<Duration> {
        let doubtful = match sight {
            Sight::Consumer | Sight::Refused => false,
            Sight::None => true,
            // A broker that says nothing at all is for heartbeats to judge, unless there is a better one.
            Sight::Silence => self.alternative,
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

/// Looks once, on a channel that the session can do without. Gives it back if it can be used again: the broker closes it if
/// it does not find the queue.
async fn look(channels: Channels, channel: Option<Side>, queue: String) -> (Sight, Option<Side>) {
    let looking = async {
        let side = match channel {
            Some(side) => side,
            None => channels.open(false).await?,
        };
        let status = side.0.queue_status(&queue).await?;
        Ok::<_, Error>((status, side))
    };
    match timeout(LIMIT, looking).await {
        Ok(Ok((status, side))) if status.consumers > 0 => (Sight::Consumer, Some(side)),
        Ok(Ok((_, side))) => (Sight::None, Some(side)),
        Ok(Err(error)) => match error.kind {
            Kind::QueueDown => (Sight::None, None),
            Kind::Timeout => (Sight::Silence, None),
            // A queue that is gone and a connection that is lost are told to the session in other ways.
            _ => (Sight::Refused, None),
        },
        Err(_) => (Sight::Silence, None),
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
    fn looks_have_to_agree_for_a_while() {
        let mut doubts = doubts(true);
        let start = Instant::now();
        assert_eq!(doubts.add(Sight::None, start), None);
        assert_eq!(doubts.add(Sight::Silence, start + PATIENCE - SECOND), None);
        assert_eq!(
            doubts.add(Sight::None, start + PATIENCE),
            Some(PATIENCE),
            "silence agrees with none"
        );
    }

    #[test]
    fn a_slow_cluster_is_given_more_time_in_each_round() {
        let times = [1, 3, 4, 6, 7, 100].map(|attempt| time_to_begin(3, attempt));
        let expected = [1, 1, 2, 2, 4, 16].map(|factor| Some(STALLED * factor));
        assert_eq!(times, expected);
        assert_eq!(time_to_begin(1, 1), None);
    }

    #[test]
    fn one_consumer_ends_all_doubts() {
        let mut doubts = doubts(true);
        let start = Instant::now();
        assert_eq!(doubts.add(Sight::None, start), None);
        assert_eq!(doubts.add(Sight::Consumer, start + SECOND), None);
        assert_eq!(doubts.add(Sight::None, start + PATIENCE), None);
        assert!(doubts.add(Sight::None, start + PATIENCE * 2).is_some());
    }

    #[test]
    fn without_another_broker_patience_is_longer_and_silence_is_nothing() {
        let mut doubts = doubts(false);
        let start = Instant::now();
        assert_eq!(doubts.add(Sight::None, start), None);
        assert_eq!(doubts.add(Sight::None, start + PATIENCE), None);
        let end = start + PATIENCE_WITH_ONE_URL;
        assert_eq!(doubts.add(Sight::Silence, end - SECOND), None);
        assert_eq!(
            doubts.add(Sight::None, end),
            None,
            "the silence began it anew"
        );
        assert!(
            doubts
                .add(Sight::None, end + PATIENCE_WITH_ONE_URL)
                .is_some()
        );
    }
}
