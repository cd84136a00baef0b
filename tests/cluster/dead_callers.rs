//! Requests whose callers died with their node: a daemon at another node must survive them.

use std::time::{Duration, Instant};

use crate::cluster::{self, Cluster, REQUESTS};
use crate::load::{one_shot, slowest};
use crate::network::{self, Only};
use crate::support::process::send_signal;
use crate::support::wire::{Client, Properties};
use crate::support::{Daemon, SOON, until};

/// The longest that such requests may keep the daemon from serving, whatever their number.
const WITHIN: Duration = Duration::from_secs(10);
/// When the wait for that ends.
const GIVEN_UP: Duration = Duration::from_secs(30);
/// For how long it is looked whether service stays.
const STAYS: Duration = Duration::from_secs(5);

/// RabbitMQ 3.10 ends the connection that replies to a direct reply-to name of a node that is gone; later ones drop the reply.
pub fn dead_callers(cluster: &Cluster, requests: usize) -> (String, Vec<String>) {
    cluster.mend();
    let settings = cluster::settings();
    let daemon = {
        let _only = Only::node(1);
        let daemon = Daemon::start(&settings);
        daemon.wait_for_line("consuming", SOON);
        daemon
    };
    cluster.lead(REQUESTS, 0);
    until(SOON, "the consumer", || {
        (cluster.depth(0, REQUESTS)? == [0, 0, 1]).then_some(())
    });

    send_signal("STOP", &daemon.pid().to_string());
    let mut caller = Client::connect_at(network::amqp(2), SOON).unwrap();
    caller.confirm_select().unwrap();
    for number in 0..requests {
        let id = Properties::new().correlation_id(number.to_string());
        caller.request(REQUESTS, id, b"30").unwrap();
    }
    caller.wait_for_confirms(SOON).unwrap();
    cluster.nodes[2].kill();
    // Until the others know: before, the replies of the dead node's callers are dropped quietly.
    until(SOON, "two nodes that know that they are two", || {
        let two = |node: usize| cluster.nodes[node].try_eval("length(nodes())") == Some("1".into());
        (two(0) && two(1)).then_some(())
    });
    send_signal("CONT", &daemon.pid().to_string());

    let began = Instant::now();
    let mut calls = vec![one_shot(&settings, 30)];
    while calls.last().expect("there is one").outcome.is_err() && began.elapsed() < GIVEN_UP {
        calls.push(one_shot(&settings, 30));
    }
    let served = began.elapsed();
    let failed = calls.len() - 1;
    let mut later = Vec::new();
    let end = Instant::now() + STAYS;
    while Instant::now() < end {
        later.push(one_shot(&settings, 30));
    }
    let broken = later.iter().filter(|call| call.outcome.is_err()).count();
    let mut problems = Vec::new();
    if served > WITHIN || broken > 0 {
        let sessions = daemon
            .stderr()
            .iter()
            .filter(|line| line.contains("disconnected"))
            .count();
        problems.push(format!(
            "one daemon that is well does not serve: {:?}; {sessions} sessions ended",
            calls
                .iter()
                .chain(&later)
                .rfind(|call| call.outcome.is_err())
        ));
    }
    if calls.iter().chain(&later).any(|call| call.wrong) {
        problems.push(format!("wrong: {calls:?} {later:?}"));
    }
    let line = format!(
        "dead-callers-{requests:<3} served after {:.1} s, {failed} calls failed until then; of {} later ones {broken} failed, slowest {:.2} s",
        served.as_secs_f64(),
        later.len(),
        slowest(&later).as_secs_f64()
    );
    (line, problems)
}
