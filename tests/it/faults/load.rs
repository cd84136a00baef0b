//! Continuous load: a caller that reconnects by itself and keeps a ledger.
//!
//! It connects to the broker directly, not through a proxy, so that only the daemon is affected by the faults. Its
//! reply queue is a quorum queue and it acks by itself, so that what the broker has confirmed survives the death of
//! the broker and of the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::QUEUE;
use crate::support::Ledger;
use crate::support::ledger::fibonacci_numbers;
use crate::support::wire::{Client, Declare, Error, Properties};

const REPLIES: &str = "rpc.reply.load";

/// More than the daemon's prefetch, so that there is always a next delivery.
const WINDOW: usize = 40;

/// Between bursts that fill the window again: always something in flight, and some processor time for
/// the tests that run beside this one.
const PAUSE: Duration = Duration::from_millis(40);

/// Numbers asked for are below this.
const NUMBERS: u64 = 300;

/// The running load. Dropped, it ends.
pub struct Load {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    answers: AtomicU64,
    /// No new requests.
    finishing: AtomicBool,
    /// No anything.
    stopping: AtomicBool,
    /// Requests that are confirmed, or still may be, and not answered.
    open: AtomicU64,
    /// For messages about what went wrong.
    doing: Mutex<&'static str>,
}

impl Load {
    /// Starts the load; panics if the broker cannot be reached at first.
    pub fn start(port: u16, vhost: &str) -> Self {
        let shared = Arc::new(Shared::default());
        let mut asker = Asker::new(port, vhost, Arc::clone(&shared));
        let mut client = asker.connect().unwrap();
        let thread = std::thread::spawn(move || {
            while !asker.shared.stopping.load(Ordering::SeqCst) {
                let _ = asker.work(&mut client);
                client = loop {
                    if asker.shared.stopping.load(Ordering::SeqCst) {
                        return;
                    }
                    match asker.connect() {
                        Ok(client) => break client,
                        Err(_) => std::thread::sleep(Duration::from_millis(100)),
                    }
                };
            }
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// Answers so far.
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::SeqCst)
    }

    /// Waits for this many more answers.
    pub fn wait_for_answers(&self, count: u64, limit: Duration) {
        let target = self.answers() + count;
        let end = Instant::now() + limit;
        while self.answers() < target {
            let report = lock(&self.shared.ledger).report();
            let doing = *self.shared.doing.lock().unwrap();
            let open = self.shared.open.load(Ordering::SeqCst);
            assert!(
                Instant::now() < end,
                "{report}; {open} open; caller is {doing}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends no more requests, waits until everything that the broker has confirmed is answered, at most `limit`, and
    /// then a moment for duplicates.
    pub fn finish(mut self, limit: Duration) -> Ledger {
        self.shared.finishing.store(true, Ordering::SeqCst);
        let end = Instant::now() + limit;
        while self.shared.open.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_millis(500)); // nothing says that nothing more comes
        self.stop();
        let mut ledger = self.shared.ledger.lock().unwrap();
        std::mem::take(&mut *ledger)
    }

    fn stop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the load broke");
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread works with.
struct Asker {
    port: u16,
    vhost: String,
    shared: Arc<Shared>,
    numbers: Vec<String>,
    asked: u64,
    /// Sent and not known to be answered, by id; the value says whether the broker confirmed it.
    open: BTreeMap<String, bool>,
    /// By the number of the publish on the present connection.
    unconfirmed: BTreeMap<u64, String>,
    /// Replies, by who sent them and the number that they have there.
    answered: BTreeSet<(Option<String>, Option<Vec<u8>>)>,
}

impl Asker {
    fn new(port: u16, vhost: &str, shared: Arc<Shared>) -> Self {
        Self {
            port,
            vhost: vhost.into(),
            shared,
            numbers: fibonacci_numbers(usize::try_from(NUMBERS).unwrap()),
            asked: 0,
            open: BTreeMap::new(),
            unconfirmed: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }

    fn connect(&mut self) -> Result<Client, Error> {
        self.now("connecting");
        let mut client = Client::connect(self.port, &self.vhost)?;
        client.confirm_select()?;
        self.now("declaring its queue");
        client.declare(REPLIES, &Declare::quorum())?;
        self.now("beginning to consume");
        client.consume(REPLIES, false)?;
        self.now("asking and listening");
        // What was on its way when the last connection died may or may not have arrived.
        self.open.retain(|_, confirmed| *confirmed);
        self.unconfirmed.clear();
        Ok(client)
    }

    fn now(&self, doing: &'static str) {
        *self.shared.doing.lock().unwrap() = doing;
    }

    fn work(&mut self, client: &mut Client) -> Result<(), Error> {
        let mut next_burst = Instant::now();
        while !self.shared.stopping.load(Ordering::SeqCst) {
            if Instant::now() >= next_burst && !self.shared.finishing.load(Ordering::SeqCst) {
                next_burst = Instant::now() + PAUSE;
                while self.open.len() < WINDOW {
                    self.ask(client)?;
                }
            }
            let reply = match client.next_delivery(Duration::from_millis(20)) {
                Err(Error::TimedOut) => None,
                reply => Some(reply?),
            };
            self.note_confirms(client);
            if let Some(reply) = reply {
                let id = reply.correlation_id();
                client.ack(reply.tag, false)?;
                self.open.remove(&id);
                // What we have seen and could not ack comes again, the very same reply: no fault of the
                // daemon, each reply of which has a number of its own. (By its other properties it cannot be
                // told, since a quorum queue counts in its headers how often it delivers it.)
                let server = reply.properties.find_text("fibrpc-server");
                let number = reply.properties.message_id.clone();
                if self.answered.insert((server, number)) {
                    let mut ledger = lock(&self.shared.ledger);
                    ledger.answered_with(&id, &reply.body, |n| {
                        self.numbers[usize::try_from(n).unwrap()].clone()
                    });
                    self.shared.answers.fetch_add(1, Ordering::SeqCst);
                }
            }
            let open = self.open.len() as u64;
            self.shared.open.store(open, Ordering::SeqCst);
        }
        Ok(())
    }

    fn ask(&mut self, client: &mut Client) -> Result<(), Error> {
        self.asked += 1;
        let (id, n) = (format!("load-{}", self.asked), self.asked % NUMBERS);
        lock(&self.shared.ledger).asked(&id, n);
        let request = Properties::request(REPLIES, &id).persistent();
        let number = client.publish(QUEUE, &request, n.to_string().as_bytes())?;
        self.open.insert(id.clone(), false);
        self.unconfirmed.insert(number, id);
        Ok(())
    }

    fn note_confirms(&mut self, client: &mut Client) {
        let waiting = client.unconfirmed().clone();
        let nacked = std::mem::take(&mut client.nacked);
        let (left, done) = std::mem::take(&mut self.unconfirmed)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(number, _)| waiting.contains(number));
        self.unconfirmed = left;
        let mut ledger = lock(&self.shared.ledger);
        for (number, id) in done {
            if nacked.contains(&number) {
                self.open.remove(&id);
            } else {
                ledger.confirmed(&id);
                if let Some(confirmed) = self.open.get_mut(&id) {
                    *confirmed = true;
                }
            }
        }
    }
}

fn lock(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
