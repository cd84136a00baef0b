//! Checks whether a queue has servers, by passive declares; for calls, `status` and `doctor` alike.
//!
//! A single check proves nothing. RabbitMQ answers a passive declare of a quorum queue with 0 messages and 0 consumers
//! whenever its leader does not answer within 250 ms (`rabbit_quorum_queue:stat/2`), as during an election or under load,
//! and a queue whose node is about to come back is "down". So checks without a server have to agree for a while, and those
//! that took as long as that limit do not count.

use crate::broker::{Channels, Error, Kind, QueueStatus};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

/// For how long checks have to agree that there is no server.
pub(super) const AGREEMENT: Duration = Duration::from_secs(1);

/// The time between two checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// If a check took this much longer than opening a channel, the leader may not have answered the broker.
const LEADER_TIMEOUT: Duration = Duration::from_millis(200);

/// One check of a queue.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) result: Result<QueueStatus, Error>,
    /// Whether the broker may have answered without its leader.
    late: bool,
}

impl Check {
    /// Whether it need not be repeated: it shows a server, or an error other than an unavailable queue.
    pub(super) fn is_conclusive(&self) -> bool {
        match &self.result {
            Ok(status) => status.consumers > 0,
            Err(error) => error.kind != Kind::QueueDown,
        }
    }
}

/// Since when checks agree that there is no server. Pure.
#[derive(Debug, Default)]
struct Agreement {
    since: Option<Instant>,
}

impl Agreement {
    /// Adds a check at this time; whether its result is now certain.
    fn add(&mut self, check: &Check, now: Instant, agreement: Duration) -> bool {
        if check.is_conclusive() {
            return true;
        }
        if check.late {
            return false;
        }
        now - *self.since.get_or_insert(now) >= agreement
    }
}

/// Checks once, on a channel of its own, since the broker closes the channel if there is no queue.
pub(super) async fn check_once(channels: Channels, queue: Arc<str>) -> Check {
    let began = Instant::now();
    let channel = match channels.open(true).await {
        Ok((channel, _)) => channel,
        Err(error) => {
            return Check {
                result: Err(error),
                late: false,
            };
        }
    };
    let round_trip = began.elapsed();
    let asked = Instant::now();
    let result = channel.queue_status(&queue).await;
    Check {
        result,
        late: asked.elapsed() > round_trip + LEADER_TIMEOUT,
    }
}

/// Checks until the result is certain, once if there is a server. If that is not so by `until`, the last check counts.
pub(super) async fn check(
    channels: Channels,
    queue: Arc<str>,
    agreement: Duration,
    until: Option<Instant>,
) -> Result<QueueStatus, Error> {
    let once = || check_once(channels.clone(), Arc::clone(&queue));
    check_by(once, agreement, until).await
}

/// Checks until the result is certain, while others do likewise: no more than `turns` allows have a channel at a time.
pub(super) async fn check_in_turn(
    channels: Channels,
    queue: Arc<str>,
    agreement: Duration,
    turns: Arc<Semaphore>,
) -> Result<QueueStatus, Error> {
    let once = || async {
        // Never closed.
        let _turn = turns.acquire().await;
        check_once(channels.clone(), Arc::clone(&queue)).await
    };
    check_by(once, agreement, None).await
}

async fn check_by<F: Future<Output = Check>>(
    once: impl Fn() -> F,
    agreement: Duration,
    until: Option<Instant>,
) -> Result<QueueStatus, Error> {
    let mut agreed = Agreement::default();
    loop {
        let check = once().await;
        let now = Instant::now();
        let next = now + CHECK_INTERVAL;
        if agreed.add(&check, now, agreement) || until.is_some_and(|until| next >= until) {
            return check.result;
        }
        sleep_until(next).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(consumers: u32, late: bool) -> Check {
        Check {
            result: Ok(QueueStatus {
                name: "q".into(),
                messages: 0,
                consumers,
            }),
            late,
        }
    }

    fn failed(kind: Kind) -> Check {
        Check {
            result: Err(kind.error("no")),
            late: false,
        }
    }

    #[test]
    fn one_check_proves_a_server_and_several_prove_that_there_is_none() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let agree = |checks: &[Check]| {
            let mut agreement = Agreement::default();
            let certain = |(index, check)| {
                let now = start + ms(250) * u32::try_from(index).unwrap();
                agreement.add(check, now, AGREEMENT)
            };
            checks.iter().enumerate().map(certain).collect::<Vec<_>>()
        };
        assert_eq!(agree(&[served(1, false)]), [true]);
        assert_eq!(agree(&[served(1, true)]), [true]);
        for kind in [Kind::NoQueue, Kind::Denied, Kind::Lost, Kind::Timeout] {
            assert_eq!(agree(&[failed(kind)]), [true], "{kind:?}");
        }
        let none = || served(0, false);
        assert_eq!(
            agree(&[none(), none(), none(), none(), none()]),
            [false, false, false, false, true]
        );
        let down = || failed(Kind::QueueDown);
        assert_eq!(
            agree(&[down(), none(), down(), none(), down()]),
            [false, false, false, false, true]
        );
        // A leader that does not answer proves nothing, however often.
        let busy = || served(0, true);
        assert_eq!(
            agree(&[busy(), busy(), busy(), busy(), busy(), busy()]),
            [false; 6]
        );
        assert_eq!(
            agree(&[busy(), busy(), none(), busy(), none(), busy(), none()]),
            [false, false, false, false, false, false, true]
        );
        assert_eq!(agree(&[none(), served(1, false)]), [false, true]);
    }

    #[test]
    fn an_agreement_of_zero_needs_one_check() {
        let mut agreement = Agreement::default();
        assert!(agreement.add(&served(0, false), Instant::now(), Duration::ZERO));
        assert!(!agreement.add(&served(0, true), Instant::now(), Duration::ZERO));
    }
}
