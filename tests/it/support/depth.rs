//! What queues hold, as the broker of a test says.

use std::time::{Duration, Instant};

use super::broker::Broker;
use super::{SOON, until};

/// What a queue holds: messages that wait, and messages delivered and not yet acknowledged; and its consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub ready: u64,
    pub unacked: u64,
    pub consumers: u64,
}

impl Broker {
    /// What a queue contains, or `None` if it does not exist. The leader of a quorum queue is asked itself: what the node
    /// says of one is up to five seconds old.
    pub fn depth(&self, vhost: &str, queue: &str) -> Option<Depth> {
        let ask = format!(
            r#"case rabbit_amqqueue:lookup(rabbit_misc:r(<<"{vhost}">>, queue, <<"{queue}">>)) of
                {{ok, Queue}} -> try case amqqueue:get_type(Queue) of
                    rabbit_quorum_queue ->
                        {{ok, {{_, Counts}}, _}} = ra:local_query(amqqueue:get_pid(Queue), fun(State) ->
                            [rabbit_fifo:query_messages_ready(State), rabbit_fifo:query_messages_checked_out(State),
                            rabbit_fifo:query_consumer_count(State)] end), Counts;
                    _ -> [Count || {{_, Count}} <- rabbit_amqqueue:info(Queue,
                        [messages_ready, messages_unacknowledged, consumers])]
                    end catch _:_ -> ended end;
                _ -> []
            end"#
        );
        // A queue is listed for a moment after its process has ended.
        let counts = until(SOON, "counts of a queue", || {
            Some(self.eval(&ask)).filter(|counts| counts != "ended")
        });
        let counts = counts.trim_matches(['[', ']']).split(',');
        let mut counts = counts.map_while(|count| count.parse().ok());
        Some(Depth {
            ready: counts.next()?,
            unacked: counts.next()?,
            consumers: counts.next()?,
        })
    }

    /// Waits until a queue is as wanted.
    pub fn wait_for_depth(
        &self,
        vhost: &str,
        queue: &str,
        limit: Duration,
        wanted: impl Fn(Depth) -> bool,
    ) -> Depth {
        let mut last = None;
        let end = Instant::now() + limit;
        loop {
            let depth = self.depth(vhost, queue);
            match depth {
                Some(depth) if wanted(depth) => return depth,
                _ => last = depth.or(last),
            }
            assert!(Instant::now() < end, "{queue} after {limit:?}: {last:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until exactly `count` consumers read a queue.
    pub fn wait_for_consumers(&self, vhost: &str, queue: &str, count: u64) {
        self.wait_for_depth(vhost, queue, SOON, |depth| depth.consumers == count);
    }
}
