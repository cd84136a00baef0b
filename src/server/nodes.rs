//! Nodes of the broker's cluster that do not run: what RabbitMQ 3.10 ends a connection for that publishes to a direct
//! reply-to name of theirs.
//!
//! Owns what is known, for all sessions. A session that such a reply has ended proves it (see `direct_reply_to`), so one
//! death is enough for a node, whatever the number of its callers. Their requests are then taken and not answered: the
//! callers have gone with the connections that they had at that node.
//!
//! The knowledge is of a node between one of its starts and the next, as a broker sees it at the address where it was
//! learnt: once the node is back its new names are others, and another broker of the list may see another cluster. A node
//! that was only cut off comes back with the same names, so the knowledge ends after [`KEPT`], and at once when a
//! connection to that broker ends for another reason. A node that is still gone then costs one more session.

use super::events;
use crate::protocol::direct_reply_to::Node;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a node counts as gone. Its callers' requests come to an end within it, unless the queue is longer; and a node
/// that was cut off is back in service so soon.
const KEPT: Duration = Duration::from_secs(60);

/// The nodes that do not run. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct GoneNodes(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Whether there may be any: asked for each request.
    any: AtomicBool,
    /// With the address of the broker that it was learnt from, and when the knowledge ends.
    until: Mutex<HashMap<(String, Node), Instant>>,
}

impl GoneNodes {
    /// The broker at `endpoint` has ended a session for a reply to a caller at this node, and nothing else.
    pub(super) fn learn(&self, endpoint: &str, node: Node) {
        events::node_gone(endpoint, &node.to_string(), KEPT);
        let now = Instant::now();
        let mut known = self.known();
        known.retain(|_, until| *until > now);
        known.insert((endpoint.to_owned(), node), now + KEPT);
        self.0.any.store(true, Ordering::Relaxed);
    }

    /// Whether none is known to be gone, at whatever address.
    pub(super) fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Relaxed)
    }

    /// Whether a reply to this address, published at `endpoint`, would end the session.
    pub(super) fn made(&self, endpoint: &str, reply_to: &str) -> bool {
        Node::of(reply_to).is_some_and(|node| {
            let until = self.known().get(&(endpoint.to_owned(), node)).copied();
            until.is_some_and(|until| Instant::now() < until)
        })
    }

    /// A connection to `endpoint` has ended for another reason.
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

    /// Names of two processes of a node, and of one of another node.
    const NAMES: [&str; 3] = [
        "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjMAAAAAAAAAAQAAAAI=.AAAA",
        "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjMAAAAAAAAACAAAAAI=.BBBB",
        "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjQAAAAAAAAAAQAAAAI=.AAAA",
    ];

    fn judged(nodes: &GoneNodes, endpoint: &str) -> [bool; 3] {
        NAMES.map(|name| nodes.made(endpoint, name))
    }

    #[test]
    fn names_of_a_node_fall_together_and_at_one_broker() {
        let nodes = GoneNodes::default();
        assert_eq!(judged(&nodes, "mq1:5672"), [false; 3]);
        assert!(nodes.is_empty());
        nodes.learn("mq1:5672", Node::of(NAMES[0]).unwrap());
        assert_eq!(judged(&nodes.clone(), "mq1:5672"), [true, true, false]);
        assert_eq!(judged(&nodes, "mq2:5672"), [false; 3]);
        assert!(!nodes.made("mq1:5672", "amq.gen-x"));
        nodes.forget("mq2:5672");
        assert_eq!(judged(&nodes, "mq1:5672"), [true, true, false]);
        nodes.forget("mq1:5672");
        assert_eq!(judged(&nodes, "mq1:5672"), [false; 3]);
    }

    #[test]
    fn the_knowledge_ends() {
        let nodes = GoneNodes::default();
        nodes.learn("mq1:5672", Node::of(NAMES[0]).unwrap());
        for until in nodes.known().values_mut() {
            *until = Instant::now();
        }
        assert_eq!(judged(&nodes, "mq1:5672"), [false; 3]);
    }
}
