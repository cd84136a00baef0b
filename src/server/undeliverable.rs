//! Detects a message in the queue that the broker itself cannot deliver.
//!
//! `RabbitMQ` 3.10 accepts messages over AMQP 1.0 that it cannot encode in AMQP 0-9-1 (an id that is an unsigned long, or
//! longer than 255 bytes). It closes every connection that it tries to deliver such a message to with `INTERNAL_ERROR`,
//! and the server never sees the message. So the server can only report it. Pure.

use crate::broker::{Error, Kind};

/// After this many sessions in a row the cause is reported.
const MIN_SESSIONS: u32 = 2;

/// Counts sessions in a row that the broker ended before it delivered anything.
#[derive(Debug, Default)]
pub(super) struct Undeliverable {
    sessions: u32,
}

impl Undeliverable {
    /// Counts a session, or an attempt to open one, that ended with this error. `delivered`: whether a request had
    /// arrived, or something else in the session can have ended the connection. Returns the error to report.
    pub(super) fn ended(&mut self, error: Error, queue: &str, delivered: bool) -> Error {
        if !delivered && error.is_internal() {
            self.sessions = self.sessions.saturating_add(1);
        } else if delivered || !is_passing(&error) {
            self.sessions = 0;
        }
        if self.sessions < MIN_SESSIONS || !error.is_internal() {
            return error;
        }
        let name = crate::text::safe(queue);
        Error {
            message: format!(
                "the broker cannot deliver a message of queue {queue:?}: it ended {} connections in a row with \
                 INTERNAL_ERROR before a request arrived; set a delivery limit (rabbitmqctl set_policy fibrpc \
                 '^{name}$' '{{\"delivery-limit\":10}}' --apply-to queues), or purge it (rabbitmqctl purge_queue {name})",
                self.sessions
            ),
            ..error
        }
    }
}

/// The broker was not reached, which shows nothing about the queue.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.kind,
        Kind::Unreachable | Kind::Lost | Kind::Timeout | Kind::Shortage
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn internal() -> Error {
        Kind::Protocol.error("cannot consume from queue \"q\": INTERNAL_ERROR")
    }

    fn told(ends: &[(Error, bool)]) -> Vec<bool> {
        let mut undeliverable = Undeliverable::default();
        let ended = |(error, delivered): &(Error, bool)| {
            let told = undeliverable.ended(error.clone(), "q", *delivered);
            assert_eq!(told.kind, error.kind);
            told.message
                .contains("cannot deliver a message of queue \"q\"")
        };
        ends.iter().map(ended).collect()
    }

    #[test]
    fn two_sessions_in_a_row_without_a_delivery_are_reported() {
        let lost = || Kind::Lost.error("connection to mq1 lost: reset");
        let other = || {
            let text = "cannot declare queue \"q\": INTERNAL_ERROR - Feature `x` is deprecated";
            Kind::Protocol.error(text)
        };
        for (ends, expected) in [
            (vec![(internal(), false)], vec![false]),
            (vec![(internal(), false); 3], vec![false, true, true]),
            (vec![(internal(), true); 3], vec![false; 3]),
            (
                vec![(internal(), false), (lost(), false), (internal(), false)],
                vec![false, false, true],
            ),
            (
                vec![(internal(), false), (lost(), true), (internal(), false)],
                vec![false; 3],
            ),
            (
                vec![(internal(), false), (other(), false), (internal(), false)],
                vec![false; 3],
            ),
        ] {
            assert_eq!(told(&ends), expected, "{ends:?}");
        }
    }

    #[test]
    fn the_error_names_the_remedies() {
        let mut undeliverable = Undeliverable::default();
        undeliverable.ended(internal(), "q", false);
        let error = undeliverable.ended(internal(), "q", false);
        for words in ["2 connections in a row", "'^q$'", "delivery-limit", "purge"] {
            assert!(error.message.contains(words), "{error}");
        }
    }
}
