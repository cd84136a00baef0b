//! The cluster of three, whole again before each fault.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::network::{self, NODES};
use crate::node::Node;
use crate::support::wire::{Client, Declare};
use crate::support::{SOON, Settings, until};

/// The queue of the requests, as the daemons make it.
pub const REQUESTS: &str = "rpc_queue";
/// The queue of the durable requests' replies.
pub const REPLIES: &str = "replies";

/// The most requests that a daemon's consumer may have checked out. Enough for the load, and less than the default, so that the
/// bounds that follow from it are narrow.
pub const PREFETCH: usize = 8;

/// What a cluster may take to agree, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A generation of RabbitMQ, by major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

/// Three nodes.
pub struct Cluster {
    pub release: Release,
    pub nodes: [Node; NODES],
    /// A folder for what the programs log.
    pub logs: PathBuf,
}

impl Cluster {
    /// Makes the cluster: three nodes of the tree that know each other, with nothing in them.
    pub fn start(release: Release, tree: &Path, state: &Path) -> Self {
        let logs = state.join("log");
        std::fs::create_dir_all(&logs).expect("the state is writable");
        let cluster = Self {
            logs,
            release,
            nodes: std::array::from_fn(|index| Node::new(index, tree, state)),
        };
        cluster.mend();
        if release >= Release(4, 3) {
            // What the daemon of a dead node held is kept back from the others for this long: one minute, unless it is said.
            cluster.nodes[0].tool(
                "rabbitmqctl",
                &[
                    "set_policy",
                    "disconnected",
                    ".*",
                    r#"{"consumer-disconnected-timeout":500}"#,
                    "--apply-to",
                    "quorum_queues",
                ],
            );
        }
        let mut client = Client::connect_at(network::amqp(0), SOON).unwrap();
        client.declare(REPLIES, &Declare::quorum()).unwrap();
        cluster
    }

    /// Starts what does not run, and waits until all know all.
    pub fn mend(&self) {
        for node in &self.nodes {
            if !node.is_running() {
                node.start();
            }
        }
        for node in &self.nodes {
            node.wait_until_up(NODES);
        }
    }

    /// Waits until each queue has three members that run: what to do before the next node is taken away.
    pub fn await_members(&self) {
        until(LIMIT, "three members of each queue", || {
            let three = |queue| self.nodes[0].try_eval(&members(queue)) == Some("3".into());
            (three(REQUESTS) && three(REPLIES)).then_some(())
        });
    }

    /// Waits until a quorum queue has three members that run and a leader, and makes that the one of this node.
    pub fn lead(&self, queue: &str, leader: usize) {
        let name = format!("'%2F_{queue}'");
        let wanted = network::name(leader);
        let what = format!("{queue} to be led by {wanted} of three");
        until(LIMIT, &what, || {
            let now = format!(
                "case ra:members({{{name}, node()}}) of {{ok, M, {{_, L}}}} -> {{length(M), L}}; _ -> none end"
            );
            let node = &self.nodes[leader];
            let (running, now) = (node.try_eval(&members(queue))?, node.try_eval(&now)?);
            if running == "3" && now == format!("{{3,rabbit@{wanted}}}") {
                return Some(());
            }
            node.try_eval(&format!(
                "{{ok, _, L}} = ra:members({{{name}, node()}}), \
                 ra:transfer_leadership(L, {{{name}, rabbit@{wanted}}})"
            ));
            std::thread::sleep(Duration::from_millis(200));
            None
        });
    }

    /// Messages that wait, that are delivered and not acknowledged, and consumers, as a node sees them.
    pub fn depth(&self, node: usize, queue: &str) -> Option<[u64; 3]> {
        let counts = self.nodes[node].try_eval(&format!(
            r#"case rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"{queue}">>)) of
                {{ok, Queue}} -> [Count || {{_, Count}} <- rabbit_amqqueue:info(Queue,
                    [messages_ready, messages_unacknowledged, consumers])];
                _ -> []
            end"#
        ))?;
        let counts = counts.trim_matches(['[', ']']).split(',');
        let counts: Vec<u64> = counts.map_while(|count| count.parse().ok()).collect();
        counts.try_into().ok()
    }
}

/// Drops what a failed test may have left.
pub fn purge() {
    let mut client = Client::connect_at(network::amqp(0), SOON).unwrap();
    client.purge(REQUESTS).unwrap();
    client.purge(REPLIES).unwrap();
}

/// How many nodes run a member of a quorum queue, in Erlang.
fn members(queue: &str) -> String {
    format!(
        "length([N || N <- [node() | nodes()], is_pid(rpc:call(N, erlang, whereis, ['%2F_{queue}']))])"
    )
}

/// What both programs are configured with: all three nodes.
pub fn settings() -> Settings {
    let url = |node| format!("amqp://guest:guest@{}/%2f", network::amqp(node));
    let urls: Vec<String> = (0..NODES).map(url).collect();
    Settings::default().set("broker.url", urls)
}
