//! The faults, each with its bounds.

use std::time::Duration;

use crate::cluster::{Cluster, PREFETCH, Release};
use crate::network::{self, NODES};
use crate::row::Row;
use crate::trial::{AFTER, Places, Trial};

/// The longest that callers may be without an answer when a node dies or stops.
const FAILOVER: Duration = Duration::from_secs(2);
/// What callers may be without an answer for longer than the broker is without a confirm.
const OURS: Duration = Duration::from_millis(1500);
/// From when on all calls are answered after the end of a node of an older release, for which no gap is promised.
const SETTLED: Duration = Duration::from_secs(3);
/// The longest time from a cut until the callers that know a node on the healthy side are served again.
const SERVED_AFTER_CUT: Duration = Duration::from_secs(15);
/// Calls that are made this soon before the end of a cut may reach the queue after it.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// How long nodes are frozen and cut off.
const LONG: Duration = Duration::from_secs(30);

/// kill -9 of the node that leads the queue; the daemons are elsewhere.
pub fn kill_leader(cluster: &Cluster) -> Row {
    let places = Places {
        leader: 0,
        daemons: [1, 2],
        caller: 0,
        others: 1,
    };
    let mut trial = Trial::begin("kill-leader", cluster, places);
    trial.strike();
    cluster.nodes[0].kill();
    std::thread::sleep(AFTER);
    finish_failover(trial)
}

/// kill -9 of the node of both daemons, which does not lead.
pub fn kill_daemons(cluster: &Cluster) -> Row {
    let places = Places {
        leader: 0,
        daemons: [1, 1],
        caller: 1,
        others: 2,
    };
    let mut trial = Trial::begin("kill-daemons", cluster, places);
    trial.strike();
    cluster.nodes[1].kill();
    std::thread::sleep(AFTER);
    finish_failover(trial)
}

/// kill -9 of the node that leads the queue and has both daemons.
pub fn kill_both(cluster: &Cluster) -> Row {
    let mut trial = Trial::begin("kill-both", cluster, ALL_AT_FIRST);
    trial.strike();
    cluster.nodes[0].kill();
    std::thread::sleep(AFTER);
    finish_failover(trial)
}

/// kill -9 of the node of everybody: it leads both queues, and has both daemons, a stream and the durable requests.
pub fn kill_all(cluster: &Cluster) -> Row {
    let places = Places {
        leader: 0,
        daemons: [0, 0],
        caller: 1,
        others: 0,
    };
    let mut trial = Trial::begin("kill-all", cluster, places);
    trial.strike();
    cluster.nodes[0].kill();
    std::thread::sleep(AFTER);
    finish_failover(trial)
}

/// `rabbitmqctl stop` of the node that leads the queue and has both daemons.
pub fn stop(cluster: &Cluster) -> Row {
    let mut trial = Trial::begin("stop", cluster, ALL_AT_FIRST);
    trial.strike();
    cluster.nodes[0].stop();
    std::thread::sleep(AFTER);
    finish_failover(trial)
}

/// `rabbitmq-upgrade drain` of the node that leads the queue and has both daemons, and its way back.
pub fn drain(cluster: &Cluster) -> Row {
    let mut trial = Trial::begin("drain", cluster, ALL_AT_FIRST);
    trial.strike();
    cluster.nodes[0].drain();
    std::thread::sleep(AFTER);
    cluster.nodes[0].tool("rabbitmq-upgrade", &["revive"]);
    finish_failover(trial)
}

/// Each node is stopped and started in turn.
pub fn rolling_restart(cluster: &Cluster) -> Row {
    let mut trial = Trial::begin("rolling-restart", cluster, ALL_AT_FIRST);
    for node in &cluster.nodes {
        trial.strike();
        node.stop();
        node.start();
        node.wait_until_up(NODES);
        cluster.await_members();
    }
    std::thread::sleep(AFTER);
    finish_failover(trial)
}

/// SIGSTOP for 30 s of the node that leads the queue and has both daemons.
pub fn freeze(cluster: &Cluster) -> Row {
    let mut trial = Trial::begin("freeze", cluster, ALL_AT_FIRST);
    trial.strike();
    cluster.nodes[0].freeze();
    std::thread::sleep(LONG);
    cluster.nodes[0].thaw();
    std::thread::sleep(AFTER);
    let mut row = trial.end();
    row.require_clean();
    row
}

/// A node with one of two daemons and a caller is cut off from the other two for 30 s.
pub fn cut(cluster: &Cluster) -> Row {
    let places = Places {
        leader: 0,
        daemons: [1, 2],
        caller: 1,
        others: 2,
    };
    cut_off("cut", cluster, places, 1)
}

/// The node of both daemons and a caller is cut off: the daemons consider themselves healthy, and serve nobody.
pub fn cut_daemons(cluster: &Cluster) -> Row {
    let places = Places {
        leader: 0,
        daemons: [1, 1],
        caller: 1,
        others: 2,
    };
    cut_off("cut-daemons", cluster, places, 1)
}

/// The node that leads the queue and has both daemons and a caller is cut off.
pub fn cut_leader(cluster: &Cluster) -> Row {
    cut_off("cut-leader", cluster, ALL_AT_FIRST, 0)
}

const ALL_AT_FIRST: Places = Places {
    leader: 0,
    daemons: [0, 0],
    caller: 0,
    others: 1,
};

/// After the end of a node, or several.
fn finish_failover(trial: Trial<'_>) -> Row {
    let release = trial.cluster.release;
    let mut row = trial.end();
    row.require_clean();
    if release >= Release(4, 3) {
        // If the broker alone took long, callers cannot have been faster.
        let (gap, broker) = (row.gap(), row.durable.broker);
        let bound = FAILOVER.max(broker + OURS);
        row.require(gap <= bound, || {
            format!("{gap:.2?} without an answer, {broker:.2?} without a confirm by the broker")
        });
        row.require_served(Duration::ZERO);
    } else {
        row.require_served(SETTLED);
    }
    row
}

/// Two moments cost calls: the cut, until callers and daemons have moved, and its end.
///
/// The end does, because RabbitMQ has not noticed a cut of 30 s: to the leader the consumers of the daemons that have moved are
/// still there, with all that their prefetch allows checked out. When the connection of the two nodes resumes, so does what
/// those daemons last sent to the node that was cut off: acks, which let an old consumer receive as many requests again; and
/// the consumer by which a daemon finds out that its queue is out of reach, which begins only now. Nobody serves either. What
/// they receive returns to the queue when the leader learns that their channels have ended. But a channel ends only when the
/// answer to its last command has arrived, and TCP resumes in each direction by itself, in one of them up to as long after the
/// cut as it lasted (exponential backoff). If it is the leader's, callers do not wait that long.
///
/// So each daemon that was apart can cost what the prefetch of two consumers allows, in calls or in durable requests, which
/// wait and are answered. Mostly it is none, since the directions resume together.
fn cut_off(name: &'static str, cluster: &Cluster, places: Places, node: usize) -> Row {
    let apart: Vec<usize> = (0..2).filter(|it| places.daemons[*it] == node).collect();
    let release = cluster.release;
    let mut trial = Trial::begin(name, cluster, places);
    trial.strike();
    network::cut(node);
    std::thread::sleep(LONG);
    trial.heal();
    network::heal(node);
    std::thread::sleep(AFTER);
    let mut row = trial.end();
    row.require_clean();
    if release >= Release(4, 3) {
        row.require_again(&apart, SERVED_AFTER_CUT);
        row.require_served_until_healed(SERVED_AFTER_CUT, ON_THE_WAY);
        row.require_few_failed_since_healed(2 * PREFETCH * apart.len(), ON_THE_WAY);
    } else {
        // What was apart stays apart, by default.
        cluster.nodes[node].kill();
    }
    row
}
