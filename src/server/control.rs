//! The control queue, on which a session hears status requests: a queue of its own, bound to an exchange
//! that every broker has, under a key that all servers of a request queue share.
//!
//! Best effort, on a channel that the session can do without: if the broker refuses it, ends it or does not
//! answer, the server says so once, serves on, and opens it again after a while, whatever the fault was. The channel is one of the publishing connection, since
//! a broker short of memory stops reading from connections that publish, and the other one has to ack. An
//! answer to an address that ends the connection ends the session; no request is blamed for that.

use super::admission;
use super::events;
use crate::broker::backoff::Backoff;
use crate::broker::{
    Arrival, Channel, Connection, Error, Kind, Mailbox, Subscription, Unconfirmed, topology,
};
use crate::config::Config;
use crate::protocol::control::{EXCHANGE, Question, Report, pong, routing_key};
use crate::protocol::reply_to::{Policy, Refused};
use crate::protocol::{Message, Request};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Status requests that are answered at once; the others wait in the queue.
const PREFETCH: u16 = 16;

/// Status requests that wait, before the oldest are dropped: their senders have long given up.
const MAX_WAITING: u16 = 64;

/// The least bound of the time before it is opened again.
const FIRST_RETRY: Duration = Duration::from_millis(250);

/// The greatest. A refusal that only an operator can mend costs the broker a line in its log each time.
const LAST_RETRY: Duration = Duration::from_secs(60);

/// A queue that was heard for so long was well, and the delays start afresh.
const HEALTHY: Duration = LAST_RETRY;

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
    backoff: Backoff,
    warned: bool,
    /// Whether answers were on their way when it ended.
    lost_answers: bool,
}

enum Stage {
    /// Switched off.
    Off,
    /// Until it is opened again.
    Waiting(Instant),
    Opening(Boxed<(Option<&'static str>, Result<Listening, Error>)>),
    Listening(Box<Listening>),
}

struct Listening {
    channel: Channel,
    inbox: Mailbox,
    _requests: Subscription,
    since: Instant,
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
            backoff: Backoff::new(FIRST_RETRY, LAST_RETRY),
            warned: false,
            lost_answers: false,
        };
        if config.server.control {
            control.open(connection, config);
        }
        control
    }

    /// Opens it at once if it waits for that: it may succeed now.
    pub(super) fn try_again(&mut self, connection: &Connection, config: &Config) {
        if matches!(self.stage, Stage::Waiting(_)) {
            self.open(connection, config);
        }
    }

    fn open(&mut self, connection: &Connection, config: &Config) {
        let queue_type = topology::queue_type(connection, config.queue.clone());
        let listening = listen(connection, routing_key(&self.queue));
        let opening = async move { (queue_type.await, listening.await) };
        self.stage = Stage::Opening(Box::pin(opening));
    }

    /// The next status request; `None` when it is time to [`try_again`](Self::try_again). Pends for ever if it is
    /// switched off. Loses nothing when it is dropped unfinished.
    pub(super) async fn next(&mut self) -> Option<Asked> {
        loop {
            let error = match &mut self.stage {
                Stage::Off => std::future::pending().await,
                Stage::Waiting(until) => {
                    tokio::time::sleep_until((*until).into()).await;
                    return None;
                }
                Stage::Opening(opening) => {
                    let (queue_type, opened) = opening.await;
                    self.queue_type = queue_type.or(self.queue_type);
                    match opened {
                        Ok(listening) => {
                            self.stage = Stage::Listening(Box::new(listening));
                            if std::mem::take(&mut self.warned) {
                                events::control_on(&self.queue);
                            }
                            continue;
                        }
                        Err(error) => error,
                    }
                }
                Stage::Listening(listening) => match listening.next().await {
                    Ok(asked) => return Some(asked),
                    Err(error) => error,
                },
            };
            self.wait(&error);
        }
    }

    /// It ended, or could not be opened.
    fn wait(&mut self, error: &Error) {
        self.lost_answers = match &self.stage {
            Stage::Listening(listening) => !listening.answered.is_empty(),
            // The connection has ended, and the session has not noticed yet.
            _ => self.lost_answers && error.kind == Kind::Lost,
        };
        if let Stage::Listening(listening) = &self.stage
            && listening.since.elapsed() >= HEALTHY
        {
            self.backoff.reset();
        }
        let delay = if error.needs_operator() {
            self.backoff.slowest()
        } else {
            self.backoff.next_delay()
        };
        self.stage = Stage::Waiting(Instant::now() + delay);
        // A lost connection is the session's to report.
        if error.kind != Kind::Lost && !self.warned {
            self.warned = true;
            events::control_off(&self.queue, &error.message);
        }
    }

    /// Whether answers are on their way, or were when the channel ended: if the connection has ended, it may be
    /// for the address of one of them.
    pub(super) fn has_answered(&self) -> bool {
        match &self.stage {
            Stage::Listening(listening) => !listening.answered.is_empty(),
            Stage::Off | Stage::Waiting(_) | Stage::Opening(_) => self.lost_answers,
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
                Arrival::Cancelled(_) => {
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
            since: Instant::now(),
            answered: Unconfirmed::default(),
        })
    }
}
