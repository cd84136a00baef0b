//! A TCP proxy between the programs and a broker that understands AMQP and makes faults on demand.
//!
//! It parses the frames of both directions, passes each to the [`witness`], and forwards them one by one. Two threads
//! serve a connection. Settings take effect at once, also on open connections.

pub mod answer;
mod pump;
pub mod witness;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::ports::Ports;
use answer::Answering;
use pump::Connection;
use witness::Witness;

/// What a connection is for, learned from its name or else from what it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The daemon's connection that consumes requests.
    Consume,
    /// The daemon's connection that publishes replies.
    Publish,
    /// Any other, or not known yet.
    Other,
}

/// Who sent a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The program.
    Client,
    /// The broker.
    Broker,
}

/// What happens to new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accept {
    /// They are connected to the broker.
    #[default]
    Forward,
    /// They are accepted, and nothing is ever said.
    Silent,
    /// Nobody listens.
    Refuse,
}

/// What happens to confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Confirms {
    /// They pass.
    #[default]
    Pass,
    /// They wait until they may pass.
    Hold,
    /// They are lost.
    Swallow,
}

/// A cut of a connection, to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Which connection; `None` for the next one of any role.
    pub role: Option<Role>,
    /// After how many frames, both directions together. A role is known from the second frame on.
    pub after: u64,
    /// Not at once, but in the middle of the frame that comes next.
    pub torn: bool,
    /// By RST, and not by FIN.
    pub reset: bool,
}

/// All faults that are in force.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Each piece of data is forwarded this much later.
    pub delay: Duration,
    /// A connection takes this many bytes per second from its program.
    pub rate: Option<u32>,
    /// Nothing from the programs passes, though connections stay open.
    pub hold_client: bool,
    /// Nothing from a program passes after this many frames of a connection.
    pub hold_client_after: Option<u64>,
    /// Nothing from the broker passes, though connections stay open.
    pub hold_broker: bool,
    /// The holds are for these connections alone.
    pub hold_role: Option<Role>,
    /// What happens to the broker's confirms.
    pub confirms: Confirms,
    /// What the proxy answers itself.
    pub answer: Option<Answering>,
    /// The next cut; once done, it is gone.
    pub cut: Option<Cut>,
    accept: Accept,
}

/// Counts of one connection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    /// Frames from the program.
    pub client_frames: u64,
    /// Frames from the broker.
    pub broker_frames: u64,
    /// Bytes from the program.
    pub client_bytes: u64,
    /// Bytes from the broker.
    pub broker_bytes: u64,
}

impl Stats {
    fn count(&mut self, from: Side, size: usize) {
        let (frames, bytes) = match from {
            Side::Client => (&mut self.client_frames, &mut self.client_bytes),
            Side::Broker => (&mut self.broker_frames, &mut self.broker_bytes),
        };
        *frames += 1;
        *bytes += size as u64;
    }
}

/// The proxy; ends with all its connections when dropped.
pub struct Proxy {
    ports: Ports<1>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What the threads share.
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopping: AtomicBool,
    broker: u16,
}

#[derive(Default)]
struct State {
    faults: Faults,
    connections: Vec<Arc<Connection>>,
    witness: Witness,
    accepted: u64,
    cuts: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// A proxy to the broker on a port of loopback.
    pub fn new(broker: u16) -> Self {
        let mut proxy = Self {
            ports: Ports::reserve(),
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
                stopping: AtomicBool::new(false),
                broker,
            }),
            acceptor: None,
        };
        proxy.listen();
        proxy
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// Where to find a virtual host through it, as `guest`.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", self.port())
    }

    /// Changes the faults in force.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        let mut state = self.shared.lock();
        change(&mut state.faults);
        if state.faults.confirms == Confirms::Pass {
            // Before any newer confirm can pass, since that needs the lock.
            let State {
                connections,
                witness,
                ..
            } = &mut *state;
            for connection in connections {
                connection.release_confirms(witness);
            }
        }
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Ends every fault; what was held passes.
    pub fn heal(&mut self) {
        self.set(|faults| {
            *faults = Faults {
                accept: faults.accept,
                ..Faults::default()
            }
        });
        self.accept(Accept::Forward);
    }

    /// Holds everything in both directions: a half-open connection. New ones hang as well.
    pub fn black_hole(&self) {
        self.set(|faults| {
            faults.hold_client = true;
            faults.hold_broker = true;
        });
    }

    /// What happens to new connections from now on.
    pub fn accept(&mut self, how: Accept) {
        let before = std::mem::replace(&mut self.shared.lock().faults.accept, how);
        if how == Accept::Refuse {
            self.stop_listening();
        } else if before == Accept::Refuse {
            self.listen();
        }
    }

    /// Ends all connections of a role, or all, by RST; returns how many there were.
    pub fn reset(&self, role: Option<Role>) -> usize {
        self.end(role, true)
    }

    /// Ends all connections of a role, or all, by FIN; returns how many there were.
    pub fn close(&self, role: Option<Role>) -> usize {
        self.end(role, false)
    }

    /// How many connections of a role, or of all, are open.
    pub fn open(&self, role: Option<Role>) -> usize {
        self.select(role).len()
    }

    /// How many connections there have ever been.
    pub fn accepted(&self) -> u64 {
        self.shared.lock().accepted
    }

    /// How many cuts have been done.
    pub fn cuts(&self) -> u64 {
        self.shared.lock().cuts
    }

    /// Counts of the open connections of a role, or of all.
    pub fn stats(&self, role: Option<Role>) -> Vec<Stats> {
        let connections = self.select(role);
        connections.iter().map(|one| one.stats()).collect()
    }

    /// Breaches of the order of acks that the witness has seen.
    pub fn breaches(&self) -> Vec<String> {
        self.shared.lock().witness.breaches().to_vec()
    }

    /// Requests acked without any reply, which only refusals explain.
    pub fn unanswered(&self) -> u64 {
        self.shared.lock().witness.unanswered()
    }

    /// Deliveries that were neither acked nor handed back when the client closed their channel.
    pub fn left_open(&self) -> u64 {
        self.shared.lock().witness.left_open()
    }

    /// Panics if the witness has seen a breach.
    pub fn assert_clean(&self) {
        let breaches = self.breaches();
        assert!(breaches.is_empty(), "{breaches:#?}");
    }

    fn select(&self, role: Option<Role>) -> Vec<Arc<Connection>> {
        let state = self.shared.lock();
        let mut selected = state.connections.clone();
        selected.retain(|one| role.is_none_or(|role| one.role() == role));
        selected
    }

    fn end(&self, role: Option<Role>, reset: bool) -> usize {
        let selected = self.select(role);
        for connection in &selected {
            connection.end(reset);
        }
        self.shared.changed.notify_all();
        selected.len()
    }

    fn listen(&mut self) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port()));
        let listener = listener.expect("the port is ours");
        let shared = Arc::clone(&self.shared);
        shared.stopping.store(false, Ordering::SeqCst);
        self.acceptor = Some(std::thread::spawn(move || accept_all(&shared, &listener)));
    }

    fn stop_listening(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        if let Some(acceptor) = self.acceptor.take() {
            // It is waiting in accept(2).
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port()));
            let _ = acceptor.join();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop_listening();
        self.end(None, true);
    }
}

fn accept_all(shared: &Arc<Shared>, listener: &TcpListener) {
    while let Ok((client, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let (id, silent) = {
            let mut state = shared.lock();
            state.accepted += 1;
            (state.accepted, state.faults.accept == Accept::Silent)
        };
        pump::serve(shared, id, client, silent);
    }
}

/// Waits until `wanted` no longer holds back, or `ended` says that it does not matter any more.
fn wait_while(shared: &Shared, ended: impl Fn() -> bool, held: impl Fn(&Faults) -> bool) {
    let mut state = shared.lock();
    while held(&state.faults) && !ended() {
        // The end of a connection may be signalled between the check and the wait.
        let patience = Duration::from_millis(100);
        state = shared
            .changed
            .wait_timeout(state, patience)
            .unwrap_or_else(PoisonError::into_inner)
            .0;
    }
}
