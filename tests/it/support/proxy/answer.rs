//! Answers made by the proxy: those that the broker never gives, or not on demand.
//!
//! A test gives the proxy one closure ([`Faults::answer`](super::Faults)), which sees every frame before it is
//! forwarded. The functions here make the common ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::super::wire::frame::{Arguments, Frame, method};
use super::Side;

/// What happens in place of forwarding a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    /// This one goes on in its place.
    Forward(Frame),
    /// It goes no further, and this is the answer to its sender. A program's channel that is closed in this way is
    /// closed at the broker as well.
    Answer(Frame),
    /// It is not forwarded, and not answered.
    Nothing,
    /// It goes no further, and the connection ends (FIN).
    End,
}

/// Sees a frame and who sent it; `None`: it is forwarded.
#[derive(Clone)]
pub struct Answering(Arc<Rule>);

type Rule = dyn Fn(Side, &Frame) -> Option<Instead> + Send + Sync;

impl std::fmt::Debug for Answering {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Answering")
    }
}

impl Answering {
    /// By any rule.
    pub fn new(rule: impl Fn(Side, &Frame) -> Option<Instead> + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }

    pub(super) fn ask(&self, from: Side, frame: &Frame) -> Option<Instead> {
        (self.0)(from, frame)
    }

    /// One method of the programs, however its arguments are.
    pub fn to_method(
        id: method::Id,
        rule: impl Fn(&Frame) -> Option<Instead> + Send + Sync + 'static,
    ) -> Self {
        Self::new(move |from, frame| {
            let asked = from == Side::Client && frame.method_id() == Some(id);
            asked.then(|| rule(frame)).flatten()
        })
    }

    /// Closes the channel on which a program declares the queue: looks alone ([`Declares::Passive`]), or real
    /// declares as well.
    pub fn refuse_declares(queue: &str, which: Declares, code: u16, text: &str) -> Self {
        let (queue, text) = (queue.to_owned(), text.to_owned());
        Self::to_method(method::QUEUE_DECLARE, move |frame| {
            let (name, passive) = declared(frame);
            let meant = name == queue
                && match which {
                    Declares::Passive => passive,
                    Declares::Active => !passive,
                    Declares::All => true,
                };
            meant.then(|| close_channel(frame, code, &text))
        })
    }

    /// The broker offers these mechanisms, separated by blanks, for the login.
    pub fn offer_mechanisms(mechanisms: &str) -> Self {
        let mechanisms = mechanisms.to_owned();
        Self::new(move |from, frame| {
            let start = from == Side::Broker && frame.method_id() == Some(method::CONNECTION_START);
            start.then(|| {
                let mut read = frame.arguments();
                let version = read.u16();
                let properties = read.long();
                read.long();
                let arguments = Arguments::default()
                    .u16(version)
                    .long(properties)
                    .long(&mechanisms)
                    .long(read.long());
                Instead::Forward(Frame::method(0, method::CONNECTION_START, arguments))
            })
        })
    }

    /// Ends the connection once a program has sent this method, without a word.
    pub fn end_at(id: method::Id) -> Self {
        Self::to_method(id, |_| Some(Instead::End))
    }

    /// Closes the connection as the answer to this method of a program.
    pub fn close_at(id: method::Id, code: u16, text: &str) -> Self {
        let text = text.to_owned();
        Self::to_method(id, move |frame| Some(close_connection(frame, code, &text)))
    }
}

/// Which declares are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declares {
    /// Looks at a queue.
    Passive,
    /// Those that would make it.
    Active,
    /// Both.
    All,
}

/// Queue and passive bit of a `queue.declare`.
pub fn declared(frame: &Frame) -> (String, bool) {
    let mut arguments = frame.arguments();
    arguments.u16();
    let name = arguments.text();
    (name, arguments.u8() & 1 != 0)
}

/// A successful look: a `queue.declare-ok` with these counts.
pub fn declare_ok(frame: &Frame, messages: u32, consumers: u32) -> Instead {
    let (name, _) = declared(frame);
    let arguments = Arguments::default()
        .short(name)
        .u32(messages)
        .u32(consumers);
    let ok = Frame::method(frame.channel, method::QUEUE_DECLARE_OK, arguments);
    Instead::Answer(ok)
}

/// The broker closes the channel of `frame` for it.
pub fn close_channel(frame: &Frame, code: u16, text: &str) -> Instead {
    close(frame.channel, method::CHANNEL_CLOSE, frame, code, text)
}

/// The broker closes the connection for `frame`.
pub fn close_connection(frame: &Frame, code: u16, text: &str) -> Instead {
    close(0, method::CONNECTION_CLOSE, frame, code, text)
}

fn close(channel: u16, close: method::Id, frame: &Frame, code: u16, text: &str) -> Instead {
    let (class, method) = frame.method_id().unwrap_or_default();
    let reason = Arguments::default().u16(code).short(text);
    Instead::Answer(Frame::method(channel, close, reason.u16(class).u16(method)))
}

/// What passes in each direction in place of a frame.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// On its way.
    pub(super) forward: Vec<u8>,
    /// To its sender.
    pub(super) back: Option<Frame>,
    /// Whether the connection ends.
    pub(super) end: bool,
}

/// The channels of a connection that the proxy closes. The broker is asked first, and the program told once it has
/// agreed: the program may use the channel's number again at once.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// Of whom the broker's `close-ok` is awaited, with what the program is told then.
    broker: HashMap<u16, Frame>,
    /// Of whom the program's is.
    client: HashSet<u16>,
}

impl Closing {
    /// What becomes of a frame of a channel that is being closed; `None` for all others.
    pub(super) fn catches(&mut self, from: Side, frame: &Frame) -> Option<Outcome> {
        let channel = frame.channel;
        let is_ok = frame.method_id() == Some(method::CHANNEL_CLOSE_OK);
        let mut outcome = Outcome::default();
        match from {
            Side::Client if self.client.contains(&channel) => {
                if is_ok {
                    self.client.remove(&channel);
                }
            }
            Side::Broker if self.broker.contains_key(&channel) => {
                if is_ok && let Some(close) = self.broker.remove(&channel) {
                    outcome.forward = close.encode();
                }
            }
            _ => return None,
        }
        Some(outcome)
    }

    /// Carries `instead` out.
    pub(super) fn carry_out(&mut self, from: Side, instead: Instead) -> Outcome {
        let mut outcome = Outcome::default();
        match instead {
            Instead::Forward(frame) => outcome.forward = frame.encode(),
            Instead::Answer(frame)
                if from == Side::Client && frame.method_id() == Some(method::CHANNEL_CLOSE) =>
            {
                outcome.forward = goodbye(frame.channel).encode();
                self.client.insert(frame.channel);
                self.broker.insert(frame.channel, frame);
            }
            Instead::Answer(frame) => outcome.back = Some(frame),
            Instead::Nothing => {}
            Instead::End => outcome.end = true,
        }
        outcome
    }
}

fn goodbye(channel: u16) -> Frame {
    let arguments = Arguments::default().u16(200).short("bye").u16(0).u16(0);
    Frame::method(channel, method::CHANNEL_CLOSE, arguments)
}
