//! How a session serves to its end, and what its end was: told to, or of what it died and who may be the cause.

use super::Session;
use crate::broker::Error;
use crate::protocol::direct_reply_to::Node;
use crate::protocol::reply_to::Address;
use crate::server::service::Service;
use crate::server::state::Stop;

/// How a session ended.
#[derive(Debug)]
pub(in crate::server) enum End {
    /// It was told to stop; so many requests were begun and not finished.
    Stopped {
        /// How many.
        abandoned: u64,
    },
    /// The next session had taken over, and what it had in hand is done, or its time was over.
    Left,
    /// It died.
    Failed(Failure),
}

/// Of what a session died.
#[derive(Debug)]
pub(in crate::server) struct Failure {
    /// The cause.
    pub(in crate::server) error: Error,
    /// Whether a request may be the cause.
    pub(in crate::server) culpable: bool,
    /// Whether the next session knows something that may keep it from the same end.
    pub(in crate::server) learnt: bool,
}

impl<S: Service> Session<S> {
    /// Whether anything was settled: the session was of use.
    pub(in crate::server) fn was_useful(&self) -> bool {
        self.settled > 0
    }

    /// Serves until the session ends, one way or another.
    pub(in crate::server) async fn serve(&mut self) -> End {
        self.announce();
        let mut stop = self.context.stop.clone();
        // Whatever the session waits for at that moment is not waited for any longer.
        let ended = tokio::select! {
            biased;
            Ok(_) = stop.wait_for(|stop| *stop == Stop::Now) => None,
            ended = self.run() => Some(ended),
        };
        let end = match ended {
            None => self.leave(),
            Some(Ok(end)) => end,
            Some(Err(error)) if self.draining.is_some_and(|drain| drain.stopping) => {
                tracing::warn!("the drain was cut short: {error}");
                self.leave()
            }
            Some(Err(error)) => {
                let failure = self.judge(error);
                self.gauge.set(0);
                return End::Failed(failure);
            }
        };
        self.gauge.set(0);
        self.context.isolation.left();
        end
    }

    /// Whose fault it is that the session died.
    fn judge(&mut self, error: Error) -> Failure {
        let returning = self.returning();
        let culpable = error.blames_a_message() && !self.control.has_answered();
        let endpoint = self.url.address();
        if culpable && let Some(node) = self.gone_node() {
            // The requests that come again are no danger any more.
            self.context.isolation.died(false, returning);
            self.context.nodes.learn(&endpoint, node);
            return Failure {
                error,
                culpable,
                learnt: true,
            };
        }
        if !culpable {
            self.context.nodes.forget(&endpoint);
        }
        let learnt = self.context.isolation.died(culpable, returning);
        Failure {
            error,
            culpable,
            learnt,
        }
    }

    /// The node that is gone, if that is what the session died of: the broker has failed over a reply, and all that were
    /// on their way go to callers at one node.
    fn gone_node(&self) -> Option<Node> {
        let failure = self.publishing.failure();
        failure.filter(Error::is_internal)?;
        let mut nodes = self.pending.iter().map(|pending| match pending.address {
            Address::Direct => Node::of(&pending.to),
            Address::Queue => None,
        });
        let first = nodes.next()??;
        nodes
            .all(|node| node.as_ref() == Some(&first))
            .then_some(first)
    }
}
