//! Three network namespaces on a bridge, and what nftables drops in them.
//!
//! The bridge is in the namespace that this process runs in, which `scripts/test-cluster` makes for it: from here all nodes are
//! reached, and nothing leaves. What is made here ends with that namespace.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

/// How many nodes there are.
pub const NODES: usize = 3;

/// The name of a node's host and of its network namespace.
pub fn name(node: usize) -> String {
    format!("n{}", node + 1)
}

/// The address of a node.
pub fn address(node: usize) -> Ipv4Addr {
    let last = u8::try_from(node + 1).expect("a few nodes");
    Ipv4Addr::new(10, 99, 0, last)
}

/// Where a node listens for AMQP.
pub fn amqp(node: usize) -> SocketAddr {
    (address(node), 5672).into()
}

/// All nodes but this one.
pub fn others(node: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |other| *other != node)
}

/// Makes the namespaces and joins them.
pub fn make() {
    run("ip link set lo up");
    run("ip link add bridge0 type bridge");
    run("ip address add 10.99.0.254/24 dev bridge0");
    run("ip link set bridge0 up");
    for node in 0..NODES {
        let (name, address) = (name(node), address(node));
        run(&format!("ip netns add {name}"));
        run(&format!(
            "ip link add to-{name} type veth peer name eth0 netns {name}"
        ));
        run(&format!("ip link set to-{name} master bridge0 up"));
        run(&format!("ip -n {name} address add {address}/24 dev eth0"));
        run(&format!("ip -n {name} link set eth0 up"));
        run(&format!("ip -n {name} link set lo up"));
    }
}

/// Drops everything between a node and the other two. Clients still reach all three.
pub fn cut(node: usize) {
    let others = set(others(node));
    nft(
        Some(node),
        &format!(
            "table inet cut {{ \
             chain input {{ type filter hook input priority 0; ip saddr {others} drop; }}; \
             chain output {{ type filter hook output priority 0; ip daddr {others} drop; }}; }};"
        ),
    );
}

/// Undoes [`cut`].
pub fn heal(node: usize) {
    nft(Some(node), "delete table inet cut");
}

/// While this exists, new connections reach one node only: the others refuse. Existing connections stay.
pub struct Only(());

impl Only {
    /// That one node.
    pub fn node(node: usize) -> Self {
        let others = set(others(node));
        nft(
            None,
            &format!(
                "table inet only {{ chain output {{ type filter hook output priority 0; \
                 ip daddr {others} tcp dport 5672 tcp flags & (syn|ack) == syn reject with tcp reset; }}; }};"
            ),
        );
        Self(())
    }
}

impl Drop for Only {
    fn drop(&mut self) {
        nft(None, "delete table inet only");
    }
}

fn set(nodes: impl Iterator<Item = usize>) -> String {
    let addresses: Vec<String> = nodes.map(|node| address(node).to_string()).collect();
    format!("{{ {} }}", addresses.join(", "))
}

/// In a node's namespace, or in ours.
fn nft(node: Option<usize>, rules: &str) {
    let mut command = match node {
        None => Command::new("nft"),
        Some(node) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &name(node), "nft"]);
            command
        }
    };
    check(command.arg(rules));
}

fn run(words: &str) {
    let mut words = words.split(' ');
    check(Command::new(words.next().expect("a program")).args(words));
}

fn check(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
