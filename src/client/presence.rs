//! Whether a queue has servers, as far as looking at it tells: for calls, `status`, `doctor` and the fleet alike.
//!
//! One look is no proof. A quorum queue of RabbitMQ answers a passive declare with 0 messages and 0 consumers
//! whenever its leader does not answer within 250 ms (`rabbit_quorum_queue:stat/2`), as it does during an election or
//! under load, and a queue whose node is about to come back is "down". So looks that say nobody is there have to
//! agree for a while, and those that took as long as that limit do not count.

use crate::broker::{Channels, Error, Kind, QueueStatus};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// For how long looks have to agree that nobody is there.
pub(super) const AGREE: Duration = Duration::from_secs(1);

/// The time between two looks.
const AGAIN: Duration = Duration::from_millis(250);

/// A broker that took so much longer for the look than for opening a channel may not have asked the leader at all.
const GAVE_UP: Duration = Duration::from_millis(200);

/// One look at a queue.
#[derive(Debug)]
pub(super) struct Look {
    /// What it has shown.
    pub(super) seen: Result<QueueStatus, Error>,
    /// Whether the broker may have answered for a leader that it did not reach.
    late: bool,
}

impl Look {
    /// Whether it is to be repeated before it is believed.
    pub(super) fn is_doubtful(&self) -> bool {
        match &self.seen {
            Ok(status) => status.consumers == 0,
            Err(error) => error.kind == Kind::QueueDown,
        }
    }
}

/// How long looks have agreed that nobody is there. Pure.
#[derive(Debug, Default)]
struct Agreement {
    since: Option<Instant>,
}

impl Agreement {
    /// Takes a look at this time into account; whether it is certain now.
    fn add(&mut self, look: &Look, now: Instant, agree: Duration) -> bool {
        if !look.is_doubtful() {
            return true;
        }
        if look.late {
            return false;
        }
        now - *self.since.get_or_insert(now) >= agree
    }
}

/// Looks once, on a channel of its own, since the broker closes that one where the queue is missing.
pub(super) async fn look(channels: Channels, queue: String) -> Look {
    let began = Instant::now();
    let channel = match channels.open(true).await {
        Ok((channel, _)) => channel,
        Err(error) => {
            return Look {
                seen: Err(error),
                late: false,
            };
        }
    };
    let round_trip = began.elapsed();
    let asked = Instant::now();
    let seen = channel.queue_status(&queue).await;
    Look {
        seen,
        late: asked.elapsed() > round_trip + GAVE_UP,
    }
}

/// Looks until it is certain who is there, which takes one look where somebody is; not beyond `until`, if that is
/// given, and then it is the last look that counts.
pub(super) async fn certain(
    channels: Channels,
    queue: String,
    agree: Duration,
    until: Option<Instant>,
) -> Result<QueueStatus, Error> {
    let mut agreement = Agreement::default();
    loop {
        let look = look(channels.clone(), queue.clone()).await;
        let now = Instant::now();
        let next = now + AGAIN;
        if agreement.add(&look, now, agree) || until.is_some_and(|until| next >= until) {
            return look.seen;
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(consumers: u32, late: bool) -> Look {
        Look {
            seen: Ok(QueueStatus {
                name: "q".into(),
                messages: 0,
                consumers,
            }),
            late,
        }
    }

    fn failed(kind: Kind) -> Look {
        Look {
            seen: Err(Error::new(kind, "no")),
            late: false,
        }
    }

    #[test]
    fn one_look_proves_that_somebody_is_there_and_several_that_nobody_is() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let agree = |looks: &[Look]| {
            let mut agreement = Agreement::default();
            let certain = |(index, look)| {
                let now = start + ms(250) * u32::try_from(index).unwrap();
                agreement.add(look, now, AGREE)
            };
            looks.iter().enumerate().map(certain).collect::<Vec<_>>()
        };
        assert_eq!(agree(&[look(1, false)]), [true]);
        assert_eq!(agree(&[look(1, true)]), [true]);
        for kind in [Kind::NoQueue, Kind::Denied, Kind::Lost, Kind::Timeout] {
            assert_eq!(agree(&[failed(kind)]), [true], "{kind:?}");
        }
        let nobody = || look(0, false);
        assert_eq!(
            agree(&[nobody(), nobody(), nobody(), nobody(), nobody()]),
            [false, false, false, false, true]
        );
        let down = || failed(Kind::QueueDown);
        assert_eq!(
            agree(&[down(), nobody(), down(), nobody(), down()]),
            [false, false, false, false, true]
        );
        // A leader that does not answer says nothing, however often.
        let busy = || look(0, true);
        assert_eq!(
            agree(&[busy(), busy(), busy(), busy(), busy(), busy()]),
            [false; 6]
        );
        assert_eq!(
            agree(&[busy(), busy(), nobody(), busy(), nobody(), busy(), nobody()]),
            [false, false, false, false, false, false, true]
        );
        assert_eq!(agree(&[nobody(), look(1, false)]), [false, true]);
    }

    #[test]
    fn no_agreement_is_needed_where_looks_have_just_agreed() {
        let mut agreement = Agreement::default();
        assert!(agreement.add(&look(0, false), Instant::now(), Duration::ZERO));
        assert!(!agreement.add(&look(0, true), Instant::now(), Duration::ZERO));
    }
}
