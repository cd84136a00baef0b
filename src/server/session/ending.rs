//! How a session ends, and why.
//!
//! In order, it stops consuming, finishes what it has begun, hands back the rest, waits until the queue has taken all acks, and
//! closes the channel that acks first, because its close-ok confirms that every ack has arrived. As little as possible is handed back: for RabbitMQ 4.0 that is a
//! delivery, of which a request has 20 by default before it is deleted. Small requests that have arrived are answered. Large
//! ones are begun for as long as the line that a session keeps ([`MAX_LINE`]). So each session finishes at least one of those
//! delivered to it, and hands back less than a narrow prefetch.
//!
//! After a fault, it finds out whether a request may be the cause.

use super::open::Session;
use super::prefetch::fresh_tag;
use super::replies::Replies;
use crate::broker::Error;
use crate::protocol::direct_reply_to::Node;
use crate::protocol::reply_to::Address;
use crate::server::backend::Backend;
use crate::server::broker_wait::BrokerWait;
use crate::server::credit::MAX_LINE;
use futures_util::future;
use std::pin::pin;
use std::time::{Duration, Instant};

/// How long closing in order may take once everything is settled or the drain time is over.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(900);

/// How long the broker may take for each of three operations before that, which show that the queue has taken the last acks.
const ACKS_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(in crate::server) enum End {
    Stopped {
        /// Requests that were begun and not finished.
        abandoned: u64,
    },
    /// Another session had taken over, and this one has finished its requests, or its drain time was over.
    Left,
    Failed(Failure),
}

/// The fault that ended a session.
#[derive(Debug)]
pub(in crate::server) struct Failure {
    pub(in crate::server) error: Error,
    /// Whether a request may be the cause.
    pub(in crate::server) culpable: bool,
    /// Whether the next session knows something that may avoid the same fault.
    pub(in crate::server) learnt: bool,
}

impl<B: Backend> Session<B> {
    /// Stops consuming; what was begun continues until the drain time ends. `stopping`: the server stops.
    pub(super) async fn begin_drain(&mut self, stopping: bool) -> Result<(), Error> {
        let limit = self.settings.server.drain_timeout;
        if !self.phase.drain(stopping, Instant::now(), limit) {
            return Ok(());
        }
        let waiting = BrokerWait::for_operations(&self.context.counters, &self.settings.broker);
        let stopped = waiting.during(self.prefetch.stop());
        let mut stopped = pin!(tokio::time::timeout(limit, stopped));
        // The broker may send as much as the prefetch allows until then, so nothing is left in the mailbox meanwhile.
        loop {
            tokio::select! {
                biased;
                stopped = &mut stopped => {
                    if let Ok(stopped) = stopped {
                        stopped?;
                    }
                    break;
                }
                arrival = self.requests.mailbox.next() => {
                    if self.replies.is_blocked() {
                        self.requests.give_up(arrival)?;
                    } else {
                        self.on_delivery(arrival)?;
                    }
                }
            }
        }
        // A broker that blocks publishes now may do so until the end.
        let begins = if self.replies.is_blocked() {
            Duration::ZERO
        } else {
            self.take_deliveries()?;
            MAX_LINE
        };
        self.requests.give_up_unbegun(begins);
        Ok(())
    }

    /// Hands back what will not begin within `left`, and what has not been looked at.
    pub(super) fn hand_back(&mut self, left: Duration) -> Result<(), Error> {
        self.requests.give_up_unbegun(left);
        self.requests.hand_back()
    }

    /// Closes in order.
    pub(super) async fn finish(&mut self) -> End {
        self.requests.flush_acks();
        let abandoned = self.requests.in_flight();
        self.requests.pool.cancel();
        self.requests.futures.clear();
        let closing_incoming = async {
            let channel = &self.requests.channel;
            let (queue, tag) = (&self.settings.queue.name, fresh_tag(0));
            let closing = async {
                let waiting = BrokerWait::begin(&self.context.counters, 3 * ACKS_TIMEOUT);
                let taken = channel.await_settlements(queue, &tag, ACKS_TIMEOUT);
                waiting.during(taken).await?;
                if abandoned == 0 {
                    // All that is left of the channel's deliveries was not begun.
                    channel.requeue_all();
                }
                channel.close(CLOSE_TIMEOUT).await
            };
            if let Err(error) = closing.await {
                tracing::warn!(
                    "the last acks may be lost, and their requests answered again: {error}"
                );
            }
        };
        let closing_outgoing = async {
            if abandoned == 0 {
                let _ = self.replies.channel.close(CLOSE_TIMEOUT).await;
            }
        };
        // A channel that does not close in time is cut, with its connection.
        future::join(closing_incoming, closing_outgoing).await;
        if self.phase.is_stopping() {
            End::Stopped { abandoned }
        } else {
            End::Left
        }
    }

    /// Closes the connections in order if that is quick; dropping the session cuts them.
    pub(in crate::server) async fn close(self) {
        let (consuming, publishing) = (self.requests.connection, self.replies.connection);
        let _ = future::join(
            consuming.close(CLOSE_TIMEOUT),
            publishing.close(CLOSE_TIMEOUT),
        )
        .await;
    }

    /// Learns from the fault that ended the session.
    pub(super) fn judge(&mut self, error: Error) -> Failure {
        let returning = self.requests.returning(self.settings.server.prefetch);
        let culpable = error.blames_a_message() && !self.control.has_answered();
        let isolation = &mut self.context.isolation;
        let learnt = if culpable && let Some(node) = gone_node(&self.replies) {
            // The redelivered requests are no longer a danger.
            isolation.died(false, returning);
            self.context
                .nodes
                .learn(&self.endpoint, node, Instant::now());
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
