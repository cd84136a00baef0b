//! Cluster nodes that are down: RabbitMQ 3.10 closes a connection that publishes to a direct reply-to name of such a node.
//!
//! Owns this knowledge for all sessions. A session ended by such a reply proves that the node is down (see
//! `direct_reply_to`), so each node costs one session, however many callers it had. Their requests are then acknowledged
//! without a reply: the callers have lost their connections to that node.
//!
//! An entry holds for one run of a node, as seen by the broker at one address: after a restart the node generates other
//! names, and another broker of the list may belong to another cluster. A node that was only cut off returns with the same
//! names, so an entry expires after [`EXPIRY`], and as soon as a connection to that broker ends for another reason. If the
//! node is still down then, that costs one more session.

use super::log;
use crate::protocol::direct_reply_to::Node;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a node counts as gone: usually long enough for the requests of its callers to pass, and short enough for a
/// node that was only cut off.
const EXPIRY: Duration = Duration::from_secs(60);

/// The nodes that are down. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct GoneNodes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether there may be entries; read for each request.
    any: AtomicBool,
    /// By the broker's address and the node: when the entry expires.
    until: Mutex<HashMap<(String, Node), Instant>>,
}

impl GoneNodes {
    /// Adds a node, after the broker at `endpoint` ended a session because of a reply to a caller there.
    pub(super) fn learn(&self, endpoint: &str, node: Node, now: Instant) {
        log::node_gone(endpoint, &node.to_string(), EXPIRY);
        let mut known = self.known();
        known.retain(|_, until| *until > now);
        known.insert((endpoint.to_owned(), node), now + EXPIRY);
        self.0.any.store(true, Ordering::Relaxed);
    }

    /// Whether there are no entries for any address.
    pub(super) fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Relaxed)
    }

    /// Whether publishing a reply to this address at `endpoint` would end the session.
    pub(super) fn knows(&self, endpoint: &str, reply_to: &str, now: Instant) -> bool {
        Node::of(reply_to).is_some_and(|node| {
            let until = self.known().get(&(endpoint.to_owned(), node)).copied();
            until.is_some_and(|until| now < until)
        })
    }

    /// Drops the entries of `endpoint`, after a connection to it ended for another reason.
    pub(super) fn forget(&self, endpoint: &str) {
        let mut known = self.known();
        known.retain(|(of, _), _| of != endpoint);
        self.0.any.store(!known.is_empty(), Ordering::Relaxed);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, Node), Instant>> {
        self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of two processes of one node, and of a process of another node.
    const NAMES: [&str; 3] = [
        "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjMAAAAAAAAAAQAAAAI=.AAAA",
        "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjMAAAAAAAAACAAAAAI=.BBBB",
        "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjQAAAAAAAAAAQAAAAI=.AAAA",
    ];

    fn known(nodes: &GoneNodes, endpoint: &str, now: Instant) -> [bool; 3] {
        NAMES.map(|name| nodes.knows(endpoint, name, now))
    }

    #[test]
    fn all_names_of_a_node_are_known_at_one_broker() {
        let nodes = GoneNodes::default();
        let now = Instant::now();
        assert_eq!(known(&nodes, "mq1:5672", now), [false; 3]);
        assert!(nodes.is_empty());
        nodes.learn("mq1:5672", Node::of(NAMES[0]).unwrap(), now);
        assert_eq!(known(&nodes.clone(), "mq1:5672", now), [true, true, false]);
        assert_eq!(known(&nodes, "mq2:5672", now), [false; 3]);
        assert!(!nodes.knows("mq1:5672", "amq.gen-x", now));
        nodes.forget("mq2:5672");
        assert_eq!(known(&nodes, "mq1:5672", now), [true, true, false]);
        nodes.forget("mq1:5672");
        assert_eq!(known(&nodes, "mq1:5672", now), [false; 3]);
    }

    #[test]
    fn entries_expire() {
        let nodes = GoneNodes::default();
        let now = Instant::now();
        nodes.learn("mq1:5672", Node::of(NAMES[0]).unwrap(), now);
        assert_eq!(known(&nodes, "mq1:5672", now + EXPIRY), [false; 3]);
    }
}
