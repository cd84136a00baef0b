//! The generations of RabbitMQ: each behaviour that differs between them has a name here. Tests assert either
//! behaviour; none is skipped.
//!
//! `tests/it/generations.rs` asserts these facts.

use super::Broker;

/// A generation of RabbitMQ: the first two numbers of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u32, pub u32);

impl Generation {
    /// By a version such as `4.0.5`.
    fn of(version: &str) -> Self {
        let mut numbers = version.split('.').map(|part| part.parse().ok());
        let mut next = || numbers.next().flatten();
        let found = next().zip(next()).map(|(major, minor)| Self(major, minor));
        found.unwrap_or_else(|| panic!("no version: {version:?}"))
    }

    /// How often a quorum queue returns a message unless its owner has said otherwise; more, and it is gone.
    pub fn default_delivery_limit(self) -> Option<u32> {
        (self >= Self(4, 0)).then_some(20)
    }

    /// Whether `basic.nack` with `requeue` counts against the delivery limit.
    pub fn counts_hand_backs(self) -> bool {
        self < Self(4, 3)
    }

    /// Whether a mandatory message to a direct reply-to name comes back although it arrives.
    pub fn returns_mandatory_direct_replies(self) -> bool {
        self < Self(4, 2)
    }

    /// Whether a direct reply-to name of a node that is none of the cluster's ends the connection that publishes to it;
    /// if not, the message is dropped.
    pub fn dies_of_strange_nodes(self) -> bool {
        self < Self(4, 0)
    }

    /// Whether a passive declare needs no permission on the queue.
    pub fn lets_everybody_look(self) -> bool {
        self < Self(4, 3)
    }

    /// Whether the headers of a message arrive in the order in which they were sent; if not, they are sorted by name.
    pub fn keeps_order_of_headers(self) -> bool {
        self < Self(4, 0)
    }

    /// The largest message, in bytes, as long as nothing else is configured.
    pub fn largest_message(self) -> usize {
        if self < Self(4, 0) {
            128 << 20
        } else {
            16 << 20
        }
    }

    /// The largest frame before the login is through, in bytes.
    pub fn largest_login(self) -> usize {
        if self < Self(4, 1) { 4_096 } else { 8_192 }
    }

    /// Whether queues, users and permissions are stored in Mnesia; if not, in Khepri.
    pub fn has_mnesia(self) -> bool {
        self < Self(4, 2)
    }
}

impl Broker {
    /// What this node is.
    pub fn generation(&self) -> Generation {
        Generation::of(self.eval("rabbit_misc:version()").trim_matches('"'))
    }

    /// Refuses messages that are larger, in bytes, from the next connection on. Exclusive nodes only.
    pub fn limit_messages(&self, bytes: usize) {
        self.eval(&if self.generation() < Generation(4, 0) {
            format!("application:set_env(rabbit, max_message_size, {bytes})")
        } else {
            format!("persistent_term:put(max_message_size, {bytes})")
        });
    }

    /// Returns when the node is sure to remember the queues that there are even after it was killed.
    pub fn remember_queues(&self) {
        // With Mnesia it confirms what a queue holds before that. Khepri has stored a queue when it says that it is declared.
        if self.generation().has_mnesia() {
            assert_eq!(self.eval("mnesia:sync_log()"), "ok");
        } else {
            assert_eq!(self.eval("rabbit_khepri:is_enabled()"), "true");
        }
    }
}
