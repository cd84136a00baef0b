//! Which broker is tried next, and when: the state of one `[broker]` section between attempts.
//!
//! Owns the order of the URLs, the backoff and the number of the attempt. A changed section starts over, a useful session
//! resets the delays, and a failure that another attempt at the same broker avoids is retried without a delay.

use super::reachability;
use crate::broker::Error;
use crate::broker::backoff::Backoff;
use crate::broker::endpoint::Endpoints;
use crate::config::{self, BrokerUrl};
use std::time::Duration;

/// After a session of this length the delays start over.
pub(super) const HEALTHY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Brokers {
    settings: config::Broker,
    endpoints: Endpoints,
    backoff: Backoff,
    /// The number of the current or next attempt; counts from 1.
    attempt: u32,
    last: Option<BrokerUrl>,
    /// Whether the next attempt uses the last URL again.
    again: bool,
}

impl Brokers {
    /// The brokers of this section, not tried yet.
    pub(super) fn new(settings: &config::Broker) -> Self {
        Self {
            settings: settings.clone(),
            endpoints: Endpoints::new(&settings.url),
            backoff: Backoff::new(settings.reconnect.initial, settings.reconnect.max),
            attempt: 1,
            last: None,
            again: false,
        }
    }

    /// Starts over if the section has changed; returns whether it has.
    pub(super) fn adopt(&mut self, settings: &config::Broker) -> bool {
        let changed = self.settings != *settings;
        if changed {
            *self = Self::new(settings);
        }
        changed
    }

    /// The number of the current or next attempt.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How long the consumer may take to begin in this attempt; `None`: as long as any operation.
    pub(super) fn time_to_begin(&self) -> Option<Duration> {
        reachability::time_to_begin(self.settings.url.len(), self.attempt)
    }

    /// The URL for the next attempt.
    pub(super) fn next_url(&mut self) -> BrokerUrl {
        let url = match self.last.take() {
            Some(last) if self.again => last,
            _ => self.endpoints.next_url(),
        };
        self.again = false;
        self.last = Some(url.clone());
        url
    }

    /// Resets the delays after a useful session.
    pub(super) fn worked(&mut self) {
        self.backoff.reset();
        self.attempt = 1;
    }

    /// The delay after a failure. The other brokers of the list are tried without one; refusals that only an operator can
    /// resolve are retried ever less often.
    pub(super) fn delay(&mut self, error: &Error) -> Duration {
        self.attempt += 1;
        if !self.endpoints.at_start_of_round() {
            Duration::ZERO
        } else if is_refusal(error) {
            self.backoff.after_refusal()
        } else {
            self.backoff.next_delay()
        }
    }

    /// The delay after a session that a request ended, if the next session knows how to avoid that: none, and at the same
    /// broker, which has no fault and which that knowledge is about.
    pub(super) fn at_once(&mut self) -> Duration {
        self.attempt += 1;
        self.again = true;
        Duration::ZERO
    }
}

/// Whether the broker refuses, or a file is unusable, until an operator changes something.
pub(super) fn is_refusal(error: &Error) -> bool {
    error.needs_operator() && !error.blames_a_message()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Kind;
    use crate::config::Config;

    fn of_ports(ports: std::ops::RangeInclusive<u16>) -> config::Broker {
        let url = |port| BrokerUrl {
            port,
            ..BrokerUrl::default()
        };
        config::Broker {
            url: ports.map(url).collect(),
            ..Config::default().broker
        }
    }

    fn error(kind: Kind) -> Error {
        kind.error("")
    }

    #[test]
    fn a_refusal_is_retried_after_a_second_and_then_less_often() {
        let mut brokers = Brokers::new(&of_ports(1..=1));
        for _ in 0..20 {
            let mut longest = Duration::from_secs(1);
            for _ in 0..10 {
                let delay = brokers.delay(&error(Kind::Denied));
                assert!(delay >= longest / 2 && delay <= longest, "{delay:?}");
                longest = (longest * 2).min(Duration::from_secs(30));
            }
            brokers.worked();
            assert_eq!(brokers.attempt(), 1);
        }
    }

    #[test]
    fn only_a_complete_round_is_followed_by_a_delay() {
        let mut brokers = Brokers::new(&of_ports(1..=3));
        for attempt in 1..=9 {
            assert_eq!(brokers.attempt(), attempt);
            brokers.next_url();
            let delay = brokers.delay(&error(Kind::Credentials));
            assert_eq!(delay > Duration::ZERO, attempt % 3 == 0, "{attempt}");
        }
    }

    #[test]
    fn an_avoidable_failure_is_retried_at_once_at_the_same_broker() {
        let mut brokers = Brokers::new(&of_ports(1..=3));
        let url = brokers.next_url();
        for _ in 0..3 {
            assert_eq!(brokers.at_once(), Duration::ZERO);
            assert_eq!(brokers.next_url(), url);
        }
        brokers.delay(&error(Kind::Lost));
        assert_ne!(brokers.next_url(), url);
    }

    #[test]
    fn a_changed_section_starts_over() {
        let mut brokers = Brokers::new(&of_ports(1..=1));
        brokers.delay(&error(Kind::Lost));
        assert!(!brokers.adopt(&of_ports(1..=1)));
        assert_eq!(brokers.attempt(), 2);
        assert!(brokers.adopt(&of_ports(2..=2)));
        assert_eq!((brokers.attempt(), brokers.next_url().port), (1, 2));
    }
}
