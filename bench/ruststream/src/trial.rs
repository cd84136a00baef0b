//! One server and all hostile messages, one after the other.
//!
//! Owns the running server and its queue. Guarantees that each message finds a server that has just answered a good request.

use crate::hostile::cases::{Case, Fate};
use crate::process::{Program, Server};
use crate::support::wire::{Client, Declare, Error};
use std::fmt;
use std::os::unix::process::ExitStatusExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const GOOD: &[u8] = br#"{"item":"tea","count":2}"#;
const PRICE: &[u8] = br#"{"cents":700}"#;
/// A queue of another service, which no request may write into.
const ANOTHERS: &str = "orders";

/// For a server to start and answer.
const START: Duration = Duration::from_secs(20);
/// For a server to answer after a hostile message, with time to reconnect.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the reply to a hostile message, once a good request has been answered; the broker takes two seconds for deep tables.
const REPLY: Duration = Duration::from_secs(3);
/// For a server that has reconnected to settle the message, and how long it must keep its connections then.
const SETTLE: Duration = Duration::from_secs(8);
const STABLE: Duration = Duration::from_millis(1_500);
/// How long a server that should be idle is watched.
const WATCH: Duration = Duration::from_millis(100);

/// How a server took a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Nothing happened.
    None,
    /// It lost a connection, and answered on a new one.
    Reconnected,
    /// Its process runs and answers nothing.
    Hangs,
    /// Its process ended, by a signal or not.
    Ended(Option<i32>),
}

/// What a message did.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub harm: Harm,
    /// The next process does not answer either, with the message in its queue.
    pub persists: bool,
    /// It is redelivered again and again.
    pub endless: bool,
    /// It wrote into another service's queue.
    pub obeyed: bool,
    /// The sender got a reply; `None` if it could not.
    pub replied: Option<bool>,
    /// Most resident memory so far, in MiB.
    pub peak_memory: u64,
}

impl Verdict {
    pub fn is_harmless(&self) -> bool {
        self.harm == Harm::None && !self.endless && !self.obeyed
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.harm {
            Harm::None => f.write_str("unharmed")?,
            Harm::Reconnected => f.write_str("reconnects")?,
            Harm::Hangs => f.write_str("answers nothing any more")?,
            Harm::Ended(Some(signal)) => write!(f, "killed by signal {signal}")?,
            Harm::Ended(None) => f.write_str("exits")?,
        }
        for (flag, text) in [
            (self.persists, ", again after a restart"),
            (self.endless, ", redelivered endlessly"),
            (self.obeyed, ", writes into another service's queue"),
        ] {
            if flag {
                f.write_str(text)?;
            }
        }
        Ok(())
    }
}

/// The state between two messages.
pub struct Trial<'a> {
    port: u16,
    program: &'a Program,
    good: Client,
    server: Server,
}

impl<'a> Trial<'a> {
    /// Sends all messages, and returns a verdict for each.
    pub fn of_all(
        port: u16,
        program: &'a Program,
        groups: &[(&str, Vec<Case>)],
    ) -> Result<Vec<Verdict>> {
        let mut trial = Self::start(port, program)?;
        let mut verdicts = Vec::new();
        for case in groups.iter().flat_map(|(_, cases)| cases) {
            eprint!(
                "\r\x1b[K{}: {} {}",
                program.name,
                verdicts.len() + 1,
                case.name
            );
            verdicts.push(trial.send(case)?);
        }
        eprint!("\r\x1b[K");
        Ok(verdicts)
    }

    /// A new process, with nothing in its queue.
    fn start(port: u16, program: &'a Program) -> Result<Self> {
        let mut good = Client::connect(port, "/")?;
        for queue in [program.queue, ANOTHERS] {
            good.delete(queue)?;
            good.declare(queue, &Declare::classic())?;
        }
        let server = Server::start(program)?;
        let mut trial = Self {
            port,
            program,
            good,
            server,
        };
        if !trial.answers(START)? {
            return Err("it does not answer at all".into());
        }
        Ok(trial)
    }

    fn send(&mut self, case: &Case) -> Result<Verdict> {
        let sockets = self.server.sockets()?;
        let mut sender = Client::connect(self.port, "/")?;
        let replies = self.publish(&mut sender, case)?;

        let mut answers = self.answers(PATIENCE)?;
        let answered = replies.then(|| answers && sender.next_delivery(REPLY).is_ok());
        let mut endless = false;
        if answers {
            let before = self.server.processor_time()?;
            sleep(WATCH);
            let after = self.server.processor_time().unwrap_or(before);
            endless = after.saturating_sub(before) > WATCH / 4;
            answers = self.answers(PATIENCE)?;
        }
        let (_, written, _) = self.good.declare(ANOTHERS, &Declare::passive())?;
        self.good.purge(ANOTHERS)?;
        let harm = match self.server.ended()? {
            Some(status) => Harm::Ended(status.signal()),
            None if !answers => Harm::Hangs,
            None if self.server.sockets()? != sockets => Harm::Reconnected,
            None => Harm::None,
        };
        let peak_memory = self.server.peak_memory().unwrap_or(0);
        let mut persists = false;
        match harm {
            Harm::Hangs | Harm::Ended(_) => {
                self.server.kill();
                self.server = Server::start(self.program)?;
                persists = !self.answers(PATIENCE)?;
            }
            Harm::Reconnected => endless = self.keeps_reconnecting()?,
            Harm::None => {}
        }
        if harm != Harm::None || endless {
            self.server.kill();
            *self = Self::start(self.port, self.program)?;
        }
        Ok(Verdict {
            harm,
            persists,
            endless,
            obeyed: written > 0,
            replied: answered,
            peak_memory,
        })
    }

    /// Whether a server that has reconnected loses its connections again and again.
    fn keeps_reconnecting(&self) -> Result<bool> {
        let end = Instant::now() + SETTLE;
        while Instant::now() < end {
            let before = self.server.sockets()?;
            sleep(STABLE);
            if self.server.sockets()? == before {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Publishes it, with a good body if only the rest is hostile. Returns whether its sender waits for a reply.
    fn publish(&self, sender: &mut Client, case: &Case) -> Result<bool> {
        let body = if case.body == b"10" { GOOD } else { &case.body };
        let mut properties = case.properties.clone();
        let addressed = properties.reply_to.is_some() || matches!(case.fate, Fate::Silence);
        if properties.reply_to.as_deref() == Some(b"rpc_queue") {
            properties.reply_to = Some(self.program.queue.into());
        }
        let sent = if addressed {
            sender.publish(self.program.queue, &properties, body)
        } else {
            sender.request(self.program.queue, properties, body)
        };
        match (sent, &case.fate) {
            (Ok(_), fate) => Ok(!addressed && !matches!(fate, Fate::Broker)),
            (Err(_), Fate::Broker) => Ok(false),
            (Err(error), _) => Err(format!("{}: {error}", case.name).into()),
        }
    }

    /// Whether a good request is answered, as long as the process runs.
    fn answers(&mut self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        let id = "good";
        let request = crate::support::wire::Properties::new()
            .correlation_id(id)
            .content_type("application/json");
        // Its replies to earlier requests are dropped with the connection.
        self.good = Client::connect(self.port, "/")?;
        self.good.request(self.program.queue, request, GOOD)?;
        while Instant::now() < end {
            match self.good.next_delivery(Duration::from_millis(100)) {
                Ok(reply) if reply.body == PRICE => return Ok(true),
                Ok(reply) => return Err(format!("a wrong reply: {}", reply.text()).into()),
                Err(Error::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            if self.server.ended()?.is_some() {
                return Ok(false);
            }
        }
        Ok(false)
    }
}
