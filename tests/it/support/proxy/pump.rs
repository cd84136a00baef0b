//! One connection through the proxy: two sockets, two threads, and the faults.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;

use super::super::wire::frame::{self, Frame, Reader, method};
use super::super::wire::properties::value;
use super::answer::Closing;
use super::witness::Witness;
use super::{Confirms, Cut, Faults, Role, Shared, Side, Stats, wait_while};

/// One proxied connection.
pub(super) struct Connection {
    id: u64,
    client: TcpStream,
    /// None if the client talks to nobody.
    broker: Option<TcpStream>,
    ended: AtomicBool,
    learned: Mutex<Learned>,
    /// Held while a piece of whole frames is written to the client.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Learned {
    role: Option<Role>,
    stats: Stats,
    /// Confirms that must wait.
    held: Vec<Frame>,
    /// Channels that the proxy has closed itself.
    closing: Closing,
}

impl Connection {
    pub(super) fn role(&self) -> Role {
        self.with(|learned| learned.role.unwrap_or(Role::Other))
    }

    pub(super) fn stats(&self) -> Stats {
        self.with(|learned| learned.stats)
    }

    /// Ends both sides. The sockets close when the threads are gone; with no linger that is an RST.
    pub(super) fn end(&self, reset: bool) {
        self.ended.store(true, Ordering::SeqCst);
        for socket in self.sockets() {
            let how = if reset {
                let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
                Shutdown::Read // wakes our reader and sends nothing
            } else {
                Shutdown::Both
            };
            let _ = socket.shutdown(how);
        }
    }

    /// Lets pass what [`Confirms::Hold`] held back.
    pub(super) fn release_confirms(&self, witness: &mut Witness) {
        for frame in self.with(|learned| std::mem::take(&mut learned.held)) {
            witness.see(self.id, self.role(), Side::Broker, &frame);
            let _ = self.write(Side::Broker, &frame.encode());
        }
    }

    /// Writes what came `from` one side to the other; gives up once the connection is to end.
    fn write(&self, from: Side, mut bytes: &[u8]) -> io::Result<()> {
        let (target, _whole) = match from {
            Side::Client => (self.broker.as_ref(), None),
            Side::Broker => (Some(&self.client), Some(lock(&self.writing))),
        };
        let mut target = target.ok_or(io::ErrorKind::NotConnected)?;
        while !bytes.is_empty() {
            match target.write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.ended() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sockets(&self) -> impl Iterator<Item = &TcpStream> {
        std::iter::once(&self.client).chain(&self.broker)
    }

    fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn with<T>(&self, action: impl FnOnce(&mut Learned) -> T) -> T {
        action(&mut lock(&self.learned))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the threads of a new connection.
pub(super) fn serve(shared: &Arc<Shared>, id: u64, client: TcpStream, silent: bool) {
    let broker = (!silent).then(|| TcpStream::connect((Ipv4Addr::LOCALHOST, shared.broker)));
    let Ok(broker) = broker.transpose() else {
        return; // the broker is down: the client sees its connection closed
    };
    let connection = Arc::new(Connection {
        id,
        client,
        broker,
        ended: AtomicBool::new(false),
        learned: Mutex::default(),
        writing: Mutex::default(),
    });
    for socket in connection.sockets() {
        let _ = socket.set_nodelay(true);
        let _ = socket.set_write_timeout(Some(Duration::from_millis(100)));
    }
    shared.lock().connections.push(Arc::clone(&connection));
    let threads = Arc::new(());
    for from in [Side::Client, Side::Broker] {
        let (shared, connection) = (Arc::clone(shared), Arc::clone(&connection));
        let threads = Arc::clone(&threads);
        std::thread::spawn(move || {
            let end = AtTheEnd {
                shared: &shared,
                connection: &connection,
                from,
                threads: Some(threads),
            };
            match (&connection.broker, from) {
                (Some(broker), Side::Broker) => pump(&shared, &connection, from, broker),
                (Some(_), Side::Client) => pump(&shared, &connection, from, &connection.client),
                (None, Side::Client) => swallow(&connection.client),
                (None, Side::Broker) => {}
            }
            drop(end);
        });
    }
}

/// What follows when a direction has ended, by a panic as well.
struct AtTheEnd<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    from: Side,
    threads: Option<Arc<()>>,
}

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        let target = match self.from {
            Side::Client => self.connection.broker.as_ref(),
            Side::Broker => Some(&self.connection.client),
        };
        if std::thread::panicking() {
            self.connection.end(false);
        } else if let Some(target) = target
            && self.connection.broker.is_some()
            && !self.connection.ended()
        {
            // The other direction goes on: what is under way there is not to be lost.
            let _ = target.shutdown(Shutdown::Write);
        }
        self.shared.changed.notify_all();
        let threads = self.threads.take();
        if threads.and_then(Arc::into_inner).is_some() {
            let mut state = self.shared.lock();
            let id = self.connection.id;
            state.connections.retain(|one| one.id != id);
            state.witness.ended(id);
        }
    }
}

fn swallow(mut source: &TcpStream) {
    let mut chunk = [0; 1024];
    while matches!(source.read(&mut chunk), Ok(1..)) {}
}

fn pump(shared: &Shared, connection: &Connection, from: Side, mut source: &TcpStream) {
    let held = |faults: &Faults| {
        let concerned = faults
            .hold_role
            .is_none_or(|role| connection.role() == role);
        let holding = match from {
            Side::Client => {
                let sent = connection.stats().client_frames;
                faults.hold_client || faults.hold_client_after.is_some_and(|after| sent >= after)
            }
            Side::Broker => faults.hold_broker,
        };
        concerned && holding
    };
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    let mut greeted = from == Side::Broker; // only clients begin with a protocol header
    while let Ok(length @ 1..) = source.read(&mut chunk) {
        buffer.extend_from_slice(&chunk[..length]);
        let delay = shared.lock().faults.delay;
        std::thread::sleep(delay); // the fault itself
        wait_while(shared, || connection.ended(), held);
        if connection.ended() {
            return;
        }
        let mut done = 0;
        if !greeted && buffer.len() >= frame::PROTOCOL_HEADER.len() {
            done = frame::PROTOCOL_HEADER.len();
            greeted = true;
        }
        let mut out = buffer[..done].to_vec();
        let mut cut = None;
        while greeted
            && cut.is_none()
            && let Some((frame, size)) = Frame::parse(&buffer[done..])
        {
            let verdict = pass(shared, connection, from, &frame, size);
            match verdict.instead {
                Some(bytes) => out.extend(bytes),
                None => out.extend_from_slice(&buffer[done..done + verdict.forward]),
            }
            cut = verdict.cut;
            done += size;
        }
        buffer.drain(..done);
        let written = connection.write(from, &out);
        if from == Side::Client {
            wait_for_rate(shared, out.len());
        }
        if let Some(cut) = cut {
            connection.end(cut.reset);
        }
        if cut.is_some() || written.is_err() {
            return;
        }
    }
}

/// Takes as long as a slow link for so many bytes.
fn wait_for_rate(shared: &Shared, bytes: usize) {
    let rate = shared.lock().faults.rate;
    if let (Some(rate), Ok(bytes)) = (rate, u32::try_from(bytes)) {
        std::thread::sleep(Duration::from_secs(1) * bytes / rate); // the fault itself
    }
}

/// What becomes of a frame.
#[derive(Default)]
struct Verdict {
    /// How many of its bytes are forwarded.
    forward: usize,
    /// What is forwarded in its place.
    instead: Option<Vec<u8>>,
    /// Whether the connection ends after them.
    cut: Option<Cut>,
}

fn pass(
    shared: &Shared,
    connection: &Connection,
    from: Side,
    frame: &Frame,
    size: usize,
) -> Verdict {
    let mut state = shared.lock();
    if connection.ended() {
        // Cut from the other direction, after exactly this many frames.
        return Verdict::default();
    }
    connection.with(|learned| learn_role(&mut learned.role, from, frame));
    let role = connection.role();
    let counts = connection.stats();
    let seen = counts.client_frames + counts.broker_frames;
    let cut = state.faults.cut.filter(|cut| {
        let due = seen + u64::from(!cut.torn) >= cut.after;
        due && cut.role.is_none_or(|wanted| wanted == role)
    });
    if cut.is_some() {
        state.faults.cut = None;
        state.cuts += 1;
        connection.ended.store(true, Ordering::SeqCst);
        if cut.is_some_and(|cut| cut.torn) {
            return Verdict {
                forward: size / 2,
                cut,
                ..Verdict::default()
            };
        }
    }
    let id = frame.method_id();
    let is_confirm = matches!(id, Some(method::BASIC_ACK | method::BASIC_NACK));
    if is_confirm && from == Side::Broker && state.faults.confirms != Confirms::Pass {
        if state.faults.confirms == Confirms::Hold {
            connection.with(|learned| learned.held.push(frame.clone()));
        }
        return Verdict {
            cut,
            ..Verdict::default()
        };
    }
    if let Some(instead) = answer(&state.faults, connection, from, frame) {
        if id == Some(method::CHANNEL_CLOSE_OK) {
            state.witness.see(connection.id, role, from, frame);
        }
        return instead;
    }
    state.witness.see(connection.id, role, from, frame);
    connection.with(|learned| learned.stats.count(from, size));
    Verdict {
        forward: size,
        cut,
        instead: None,
    }
}

/// What happens to a frame that the proxy answers itself, or that belongs to such an answer.
fn answer(faults: &Faults, connection: &Connection, from: Side, frame: &Frame) -> Option<Verdict> {
    let caught = connection.with(|learned| learned.closing.catches(from, frame));
    let outcome = if let Some(outcome) = caught {
        outcome
    } else {
        let instead = faults.answer.as_ref()?.ask(from, frame)?;
        connection.with(|learned| learned.closing.carry_out(from, instead))
    };
    if let Some(back) = outcome.back {
        let other = match from {
            Side::Client => Side::Broker,
            Side::Broker => Side::Client,
        };
        let _ = connection.write(other, &back.encode());
    }
    let end = Cut {
        role: None,
        after: 0,
        torn: false,
        reset: false,
    };
    Some(Verdict {
        instead: Some(outcome.forward),
        cut: outcome.end.then_some(end),
        ..Verdict::default()
    })
}

/// By the connection's name if the client sends one, else by the first method that only one role uses.
fn learn_role(role: &mut Option<Role>, from: Side, frame: &Frame) {
    if role.is_none() && from == Side::Client {
        *role = match frame.method_id() {
            Some(method::CONNECTION_START_OK) => role_by_name(frame.arguments().long()),
            Some(method::BASIC_CONSUME) => Some(Role::Consume),
            Some(method::CONFIRM_SELECT) => Some(Role::Publish),
            _ => None,
        };
    }
}

fn role_by_name(properties: &[u8]) -> Option<Role> {
    let mut reader = Reader(properties);
    while !reader.0.is_empty() {
        let key = reader.short();
        let length = value::length(reader.0);
        let value = reader.bytes(length);
        if key == b"connection_name" {
            return Some(match value {
                name if name.ends_with(b" consume") => Role::Consume,
                name if name.ends_with(b" publish") => Role::Publish,
                _ => Role::Other,
            });
        }
    }
    None
}
