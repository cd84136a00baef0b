//! How a session ended: as ordered, or of which fault, and whether a request may be its cause.

use super::open::Session;
use super::replies::Replies;
use crate::broker::{Connection, Error, Kind};
use crate::protocol::direct_reply_to::Node;
use crate::protocol::reply_to::Address;
use crate::server::service::Service;

/// How a session ended.
#[derive(Debug)]
pub(in crate::server) enum End {
    /// The server stops.
    Stopped {
        /// Requests that were begun and not finished.
        abandoned: u64,
    },
    /// Another session had taken over, and this one has finished its requests, or its drain time was over.
    Left,
    /// A fault ended it.
    Failed(Failure),
}

/// The fault that ended a session.
#[derive(Debug)]
pub(in crate::server) struct Failure {
    /// The cause.
    pub(in crate::server) error: Error,
    /// Whether a request may be the cause.
    pub(in crate::server) culpable: bool,
    /// Whether the next session knows something that may avoid the same fault.
    pub(in crate::server) learnt: bool,
}

impl<S: Service> Session<S> {
    /// Learns from the fault that ended the session.
    pub(super) fn judge(&mut self, error: Error) -> Failure {
        let error = self.cause_of(error);
        let returning = self.requests.returning(self.settings.server.prefetch);
        let culpable = error.blames_a_message() && !self.control.has_answered();
        let isolation = &mut self.context.isolation;
        let learnt = if culpable && let Some(node) = gone_node(&self.replies) {
            // The redelivered requests are no longer a danger.
            isolation.died(false, returning);
            self.context.nodes.learn(&self.endpoint, node);
            true
        } else {
            if !culpable {
                self.context.nodes.forget(&self.endpoint);
            }
            isolation.died(culpable, returning)
        };
        Failure {
            error,
            culpable,
            learnt,
        }
    }

    /// If an operation failed because its connection ended: why that ended.
    pub(super) fn cause_of(&self, error: Error) -> Error {
        let connections = [&self.replies.connection, &self.requests.connection];
        let mut failures = connections.into_iter().filter_map(Connection::failure);
        match error.kind {
            Kind::Lost => failures.next().unwrap_or(error),
            _ => error,
        }
    }
}

/// The node that is down, if that is why the session ended: the broker closed the connection with an internal error, and all
/// unconfirmed replies were for callers at one node.
fn gone_node(replies: &Replies) -> Option<Node> {
    replies.connection.failure().filter(Error::is_internal)?;
    let mut nodes = replies.unconfirmed.iter().map(|reply| match reply.address {
        Address::Direct => Node::of(&reply.to),
        Address::Queue => None,
    });
    let first = nodes.next()??;
    nodes
        .all(|node| node.as_ref() == Some(&first))
        .then_some(first)
}
