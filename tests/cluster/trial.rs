//! One fault under load: which program is at which node before it, and the load during it.

use std::time::{Duration, Instant, SystemTime};

use crate::cluster::{self, Cluster, PREFETCH, REPLIES, REQUESTS};
use crate::durable::Durable;
use crate::load::{OneShots, Stream};
use crate::network::Only;
use crate::row::{Return, Row};
use crate::support::{Daemon, SOON, until};

/// How long the load runs before the fault.
const BEFORE: Duration = Duration::from_secs(2);
/// How long it runs after the end of the fault, at least.
pub const AFTER: Duration = Duration::from_secs(6);
/// The longest that confirmed requests may wait for their answers after the load has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(45);

/// Which program is at which node before the fault.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// Leads the request queue.
    pub leader: usize,
    /// The daemons' connections.
    pub daemons: [usize; 2],
    /// One stream's connection.
    pub caller: usize,
    /// The other stream's, and the connections of the durable requests.
    pub others: usize,
}

/// Load on a healthy cluster, to which something is about to happen.
pub struct Trial<'a> {
    pub cluster: &'a Cluster,
    name: &'static str,
    daemons: [Daemon; 2],
    streams: [Stream; 2],
    one_shots: OneShots,
    durable: Durable,
    struck: Option<(Instant, SystemTime)>,
    healed: Option<Instant>,
    faults: u64,
    /// How many lines each daemon had logged before the fault.
    logged: [usize; 2],
}

impl<'a> Trial<'a> {
    /// Everything in its place and under load.
    pub fn begin(name: &'static str, cluster: &'a Cluster, places: Places) -> Self {
        cluster.mend();
        let settings = cluster::settings();
        let daemon = settings
            .clone()
            .set("server.reply_to_allow", vec![REPLIES.to_owned()])
            .set("server.prefetch", i64::try_from(PREFETCH).unwrap());
        let daemons = places.daemons.map(|node| {
            let _only = Only::node(node);
            let daemon = Daemon::start(&daemon);
            daemon.wait_for_line("consuming", SOON);
            daemon
        });
        cluster.lead(REQUESTS, places.leader);
        cluster.lead(REPLIES, places.others);
        cluster::purge();
        until(SOON, "two consumers", || {
            let [_, _, consumers] = cluster.depth(places.leader, REQUESTS)?;
            (consumers == 2).then_some(())
        });
        let streams = [places.caller, places.others].map(|node| {
            let _only = Only::node(node);
            Stream::start(&settings)
        });
        let durable = Durable::start(places.others);
        let one_shots = OneShots::start(&settings);
        std::thread::sleep(BEFORE);
        Self {
            cluster,
            name,
            daemons,
            streams,
            one_shots,
            durable,
            struck: None,
            healed: None,
            faults: 0,
            logged: [0; 2],
        }
    }

    /// To be called just before each node that is hit.
    pub fn strike(&mut self) {
        if self.struck.is_none() {
            self.struck = Some((Instant::now(), SystemTime::now()));
            self.logged = self.daemons.each_ref().map(|daemon| daemon.stderr().len());
        }
        self.faults += 1;
    }

    /// To be called just before the end of a cut.
    pub fn heal(&mut self) {
        self.healed = Some(Instant::now());
    }

    /// Ends the load, and waits for what is owed.
    pub fn end(self) -> Row {
        let streams = self.streams.map(Stream::end);
        let one_shots = self.one_shots.end();
        let durable = self.durable.end(LAST_ANSWERS);
        let (struck, at) = self.struck.expect("there was a fault");
        let returns = std::array::from_fn(|daemon| {
            let lines = self.daemons[daemon].stderr();
            Return::read(&lines[self.logged[daemon]..], at)
        });
        for (daemon, number) in self.daemons.iter().zip(1..) {
            let file = format!("{}-daemon-{number}", self.name);
            let text = daemon.stderr().join("\n");
            std::fs::write(self.cluster.logs.join(file), text).expect("the state is writable");
        }
        Row {
            name: self.name,
            struck,
            healed: self.healed,
            streams,
            one_shots,
            durable,
            returns,
            faults: self.faults,
            problems: Vec::new(),
        }
    }
}
