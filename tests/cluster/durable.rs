//! Durable requests with a durable reply queue, by other clients than fibrpc's: what the broker has confirmed must be
//! answered.
//!
//! One thread publishes, another one collects. Each moves to another node when its node closes the connection or falls
//! silent; the first node is an argument.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::{REPLIES, REQUESTS};
use crate::load::{NUMBERS, Stopped};
use crate::network::{self, NODES};
use crate::support::wire::{Client, Error, Properties};

/// From one request to the next, at most.
const PACE: Duration = Duration::from_millis(20);
/// The longest that a node may take to connect, or be without a sign, before another one is tried.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a request.
#[derive(Debug, Clone)]
struct Entry {
    n: usize,
    asked: Instant,
    confirmed: bool,
    answered: Option<Instant>,
    answers: u64,
}

#[derive(Debug, Default)]
struct Ledger {
    entries: BTreeMap<String, Entry>,
    confirms: Vec<Instant>,
    wrong: Vec<String>,
}

/// The counts.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Published, or at least tried.
    pub asked: usize,
    /// Of these, confirmed by the broker.
    pub confirmed: usize,
    /// Of all, answered.
    pub answered: usize,
    /// Confirmed and not answered.
    pub lost: usize,
    /// Answers that are not the right number, or to what was not asked.
    pub wrong: Vec<String>,
    /// Answers beyond the first.
    pub twice: u64,
    /// The most answers to one request.
    pub most: u64,
    /// The longest that one waited for its answer.
    pub slowest: Duration,
    /// The longest time without a confirm: what the broker alone did.
    pub broker: Duration,
}

/// The two threads.
pub struct Durable {
    ledger: Arc<Mutex<Ledger>>,
    publisher: Stopped,
    collector: Stopped,
    threads: [JoinHandle<()>; 2],
}

impl Durable {
    /// Starts both, at this node first; returns when the first answer is there.
    pub fn start(node: usize) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let [publisher, collector] = [Stopped::default(), Stopped::default()];
        let threads = [
            std::thread::spawn({
                let (ledger, stop) = (Arc::clone(&ledger), publisher.flag());
                move || at_some_node(node, &stop, |client| publish(client, &ledger, &stop))
            }),
            std::thread::spawn({
                let (ledger, stop) = (Arc::clone(&ledger), collector.flag());
                move || at_some_node(node, &stop, |client| collect(client, &ledger, &stop))
            }),
        ];
        crate::support::until(crate::support::SOON, "a durable request's answer", || {
            let ledger = ledger.lock().unwrap();
            let mut entries = ledger.entries.values();
            entries.any(|entry| entry.answers > 0).then_some(())
        });
        Self {
            ledger,
            publisher,
            collector,
            threads,
        }
    }

    /// Sends no more requests, and waits at most `limit` for the answers to all that were confirmed.
    pub fn end(self, limit: Duration) -> Report {
        self.publisher.stop();
        let [publisher, collector] = self.threads;
        publisher.join().unwrap();
        let end = Instant::now() + limit;
        while Instant::now() < end && self.ledger.lock().unwrap().open() > 0 {
            std::thread::sleep(PACE);
        }
        // A second answer may be on its way.
        std::thread::sleep(Duration::from_secs(1));
        self.collector.stop();
        collector.join().unwrap();
        self.ledger.lock().unwrap().report()
    }
}

impl Ledger {
    fn open(&self) -> usize {
        let open = |entry: &&Entry| entry.confirmed && entry.answers == 0;
        self.entries.values().filter(open).count()
    }

    fn report(&self) -> Report {
        let entries = self.entries.values();
        let confirms = self.confirms.windows(2).map(|pair| pair[1] - pair[0]);
        Report {
            asked: entries.len(),
            confirmed: entries.clone().filter(|entry| entry.confirmed).count(),
            answered: entries.clone().filter(|entry| entry.answers > 0).count(),
            lost: self.open(),
            wrong: self.wrong.clone(),
            twice: entries
                .clone()
                .map(|entry| entry.answers.saturating_sub(1))
                .sum(),
            most: entries
                .clone()
                .map(|entry| entry.answers)
                .max()
                .unwrap_or(0),
            slowest: entries
                .filter_map(|entry| Some(entry.answered? - entry.asked))
                .max()
                .unwrap_or_default(),
            broker: confirms.max().unwrap_or_default(),
        }
    }
}

/// Works at one node after another until there is nothing more to do.
fn at_some_node(
    first: usize,
    stop: &AtomicBool,
    mut work: impl FnMut(Client) -> Result<ControlFlow<()>, Error>,
) {
    for node in (0..NODES).cycle().skip(first) {
        let client = Client::connect_at(network::amqp(node), PATIENCE);
        if let Ok(ControlFlow::Break(())) = client.and_then(&mut work) {
            return;
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(PACE);
    }
}

fn publish(
    mut client: Client,
    ledger: &Mutex<Ledger>,
    stop: &AtomicBool,
) -> Result<ControlFlow<()>, Error> {
    client.confirm_select()?;
    let mut open: BTreeMap<u64, String> = BTreeMap::new();
    let mut progress = Instant::now();
    loop {
        let now = Instant::now();
        if !stop.load(Ordering::Relaxed) {
            let (id, n) = {
                let mut ledger = ledger.lock().unwrap();
                let number = ledger.entries.len();
                let (id, n) = (format!("{number:06}"), number % NUMBERS.len());
                let entry = Entry {
                    n,
                    asked: now,
                    confirmed: false,
                    answered: None,
                    answers: 0,
                };
                ledger.entries.insert(id.clone(), entry);
                (id, n)
            };
            let request = Properties::request(REPLIES, &id).persistent();
            let number = client.publish(REQUESTS, &request, n.to_string().as_bytes())?;
            open.insert(number, id);
        } else if open.is_empty() {
            return Ok(ControlFlow::Break(()));
        }
        client.listen(PACE)?;
        let unconfirmed = client.unconfirmed();
        let mut ledger = ledger.lock().unwrap();
        open.retain(|number, id| {
            if unconfirmed.contains(number) {
                return true;
            }
            progress = Instant::now();
            if !client.nacked.contains(number) {
                ledger.confirms.push(progress);
                ledger.entries.get_mut(id).expect("it was asked").confirmed = true;
            }
            false
        });
        drop(ledger);
        // A broker that refuses one may refuse all on this channel.
        let refuses = !client.nacked.is_empty();
        if refuses || (!open.is_empty() && progress.elapsed() > PATIENCE) {
            return Ok(ControlFlow::Continue(()));
        }
    }
}

fn collect(
    mut client: Client,
    ledger: &Mutex<Ledger>,
    stop: &AtomicBool,
) -> Result<ControlFlow<()>, Error> {
    client.prefetch(500)?;
    client.consume(REPLIES, false)?;
    let mut progress = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if !client.cancelled.is_empty() || progress.elapsed() > PATIENCE {
            return Ok(ControlFlow::Continue(()));
        }
        let reply = match client.next_delivery(PACE) {
            Err(Error::TimedOut) => continue,
            reply => reply?,
        };
        progress = Instant::now();
        let id = reply.correlation_id();
        {
            let ledger = &mut *ledger.lock().unwrap();
            match ledger.entries.get_mut(&id) {
                None => ledger.wrong.push(format!("{id:?} was not asked")),
                // This one was here already, and its acknowledgement was lost with the connection.
                Some(entry) if reply.redelivered && entry.answers > 0 => {}
                Some(entry) => {
                    entry.answers += 1;
                    entry.answered.get_or_insert(progress);
                    if NUMBERS[entry.n].as_bytes() != reply.body {
                        let body = reply.text();
                        ledger
                            .wrong
                            .push(format!("{id}: n = {}: {body:.100}", entry.n));
                    }
                }
            }
        }
        client.ack(reply.tag, false)?;
    }
    Ok(ControlFlow::Break(()))
}
