//! The control queue, on which a session hears status requests: a queue of its own, bound to an exchange
//! that every broker has, under a key that all servers of a request queue share.
//!
//! Best effort, on a channel that the session can do without: where the broker refuses it, or does not
//! answer, the server says so once and serves on. The channel is one of the publishing connection, since
//! a broker short of memory stops reading from connections that publish, and the other one has to ack. An
//! answer to an address that ends the connection ends the session; no request is blamed for that.

use super::admission;
use super::events;
use crate::broker::{
    Arrival, Channel, Connection, Error, Inbox, Kind, Subscription, Unconfirmed, topology,
};
use crate::config::Config;
use crate::protocol::control::{EXCHANGE, Question, Report, pong, routing_key};
use crate::protocol::reply_to::{Policy, Refused};
use crate::protocol::{Message, Request};
use std::pin::Pin;

/// Status requests that are answered at once; the others wait in the queue.
const PREFETCH: u16 = 16;

/// Status requests that wait, before the oldest are dropped: their senders have long given up.
const MAX_WAITING: u16 = 64;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A status request.
#[derive(Debug)]
pub(super) struct Asked {
    tag: u64,
    request: Request,
}

/// The control queue of a session.
pub(super) struct Control {
    queue: String,
    stage: Stage,
    /// The type of the request queue, as the broker says.
    queue_type: Option<&'static str>,
    /// Whether it is worth another attempt.
    hopeless: bool,
    warned: bool,
    /// Whether answers were on their way when it ended.
    lost_answers: bool,
}

enum Stage {
    Off,
    Opening(Boxed<(Option<&'static str>, Result<Listening, Error>)>),
    Listening(Box<Listening>),
}

struct Listening {
    channel: Channel,
    inbox: Inbox,
    _requests: Subscription,
    /// The requests whose answers are on their way, by their delivery tags.
    answered: Unconfirmed<u64>,
}

impl Control {
    /// Begins to open it; [`Control::next`] goes on with that. Switched off, it never asks.
    pub(super) fn start(connection: &Connection, config: &Config) -> Self {
        let mut control = Self {
            queue: config.queue.name.clone(),
            stage: Stage::Off,
            queue_type: None,
            hopeless: !config.server.control,
            warned: false,
            lost_answers: false,
        };
        control.try_again(connection, config);
        control
    }

    /// Opens it where it is not open and that may help: the broker reads from the connection again.
    pub(super) fn try_again(&mut self, connection: &Connection, config: &Config) {
        if self.hopeless || !matches!(self.stage, Stage::Off) {
            return;
        }
        let queue_type = topology::queue_type(connection, config.queue.clone());
        let listening = listen(connection, routing_key(&self.queue));
        let opening = async move { (queue_type.await, listening.await) };
        self.stage = Stage::Opening(Box::pin(opening));
    }

    /// The next status request. Pends for ever where there is no control queue. Loses nothing when it is
    /// dropped unfinished.
    pub(super) async fn next(&mut self) -> Asked {
        loop {
            let error = match &mut self.stage {
                Stage::Off => std::future::pending().await,
                Stage::Opening(opening) => {
                    let (queue_type, opened) = opening.await;
                    self.queue_type = queue_type;
                    match opened {
                        Ok(listening) => {
                            self.stage = Stage::Listening(Box::new(listening));
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Stage::Listening(listening) => match listening.next().await {
                    Ok(asked) => return asked,
                    Err(error) => error,
                },
            };
            self.lost_answers = self.has_answered();
            self.stage = Stage::Off;
            self.hopeless = error.needs_operator();
            // A lost connection is the session's to report.
            if error.kind != Kind::Lost && !self.warned {
                self.warned = true;
                events::control_off(&self.queue, &error.message);
            }
        }
    }

    /// Whether answers are on their way, or were when the channel ended: if the connection has ended, it may be
    /// for the address of one of them.
    pub(super) fn has_answered(&self) -> bool {
        match &self.stage {
            Stage::Listening(listening) => !listening.answered.is_empty(),
            Stage::Off => self.lost_answers,
            Stage::Opening(_) => false,
        }
    }

    /// Adds to a report what is known here.
    pub(super) fn complete(&self, mut report: Report) -> Report {
        report.queue_type = self.queue_type.map(str::to_owned);
        report
    }

    /// Answers a status request, if its reply address is allowed; drops what is no such request.
    pub(super) fn answer(
        &mut self,
        asked: &Asked,
        policy: &Policy,
        report: &Report,
    ) -> Result<(), Refused> {
        let Stage::Listening(listening) = &mut self.stage else {
            return Ok(());
        };
        let Asked { tag, request } = asked;
        let allowed = admission::address(request, policy);
        let wanted = Question::of(request) == Some(Question::Status);
        let answer = match (&allowed, &request.reply_to) {
            (Ok(Some(_)), Some(to)) if wanted => Some((to.as_str(), pong(request, report, *tag))),
            _ => None,
        };
        listening.settle(*tag, answer);
        allowed.map(drop)
    }
}

impl Listening {
    async fn next(&mut self) -> Result<Asked, Error> {
        loop {
            match self.inbox.next().await {
                Arrival::Delivered(delivery) => {
                    return Ok(Asked {
                        tag: delivery.tag,
                        request: Request::read(delivery.message),
                    });
                }
                Arrival::Confirmed {
                    number, multiple, ..
                } => {
                    // Whether the broker took the answer or not, its caller is served.
                    while let Some(tag) = self.answered.confirm(number, multiple) {
                        self.channel.ack(tag, false);
                    }
                }
                // Its caller has gone.
                Arrival::Returned(_) => {}
                Arrival::Cancelled => {
                    return Err(Error::new(Kind::Cancelled, "the broker ended its consumer"));
                }
                Arrival::Failed(error) => return Err(error),
            }
        }
    }

    /// Acknowledges a request, after its answer where there is one, so that the prefetch bounds the answers
    /// on their way.
    fn settle(&mut self, tag: u64, answer: Option<(&str, Message)>) {
        // Never returned, since it does not matter whether the caller is still there.
        let published = answer.map(|(to, message)| self.channel.publish(to, false, &message));
        match published {
            Some(Ok(number)) => self.answered.add(number, tag),
            // No answer, or one that cannot be sent.
            Some(Err(_)) | None => self.channel.ack(tag, false),
        }
    }
}

fn listen(
    connection: &Connection,
    key: String,
) -> impl Future<Output = Result<Listening, Error>> + Send + 'static + use<> {
    let channel = connection.side_channel();
    async move {
        let (channel, inbox) = channel.await?;
        channel.confirm_select().await?;
        channel.qos(PREFETCH).await?;
        let queue = channel.declare_exclusive(MAX_WAITING).await?;
        channel.bind(&queue.name, EXCHANGE, &key).await?;
        let requests = channel.consume(&queue.name, "", false).await?;
        Ok(Listening {
            channel,
            inbox,
            _requests: requests,
            answered: Unconfirmed::default(),
        })
    }
}
