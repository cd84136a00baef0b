//! The control queue, on which a session receives status requests: an exclusive queue, bound to a predeclared exchange
//! with a key that all servers of a request queue share.
//!
//! Best effort, on a channel whose loss does not end the session: if the broker refuses or closes it or does not answer,
//! the server logs that once, keeps serving, and tries again after a delay. The channel belongs to the publishing
//! connection: a broker short of memory stops reading from connections that publish, and the other connection must be able
//! to ack. If a reply address makes the broker close the connection, the session ends, and no request is blamed.

use super::admission;
use super::log;
use crate::broker::backoff::Backoff;
use crate::broker::{
    Arrival, Channel, Connection, Error, Kind, Mailbox, Subscription, Unconfirmed, topology,
};
use crate::config::Config;
use crate::protocol::control::{EXCHANGE, Question, Report, pong, routing_key};
use crate::protocol::reply_to::{Policy, Refused};
use crate::protocol::{Message, RequestMessage};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// Status requests answered at a time; the others wait in the queue.
const PREFETCH: u16 = 16;

/// Status requests that may wait; above it the broker drops the oldest, whose senders no longer wait.
const MAX_WAITING: u16 = 64;

/// Bounds of the delay before the next attempt to open it. A refusal that only an operator can resolve costs the broker a
/// line in its log each time.
const MIN_RETRY: Duration = Duration::from_millis(250);
const MAX_RETRY: Duration = Duration::from_secs(60);

/// After it has been open for this long, the delays start over.
const HEALTHY: Duration = MAX_RETRY;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[derive(Debug)]
pub(super) struct StatusRequest {
    tag: u64,
    request: RequestMessage,
}

/// The control queue of a session.
pub(super) struct Control {
    queue: String,
    stage: Stage,
    /// The type of the request queue, if the broker has revealed it.
    pub(super) queue_type: Option<&'static str>,
    backoff: Backoff,
    warned: bool,
    /// Whether replies were unconfirmed when the channel ended.
    lost_answers: bool,
}

enum Stage {
    Off,
    /// Closed until then.
    Waiting(Instant),
    Opening(Boxed<(Option<&'static str>, Result<Listening, Error>)>),
    Listening(Box<Listening>),
}

struct Listening {
    channel: Channel,
    mailbox: Mailbox,
    _requests: Subscription,
    since: Instant,
    /// The delivery tags of the requests whose replies are unconfirmed.
    answered: Unconfirmed<u64>,
}

impl Control {
    /// Begins to open it, unless it is disabled; [`Control::next`] drives that. If the type of the request queue is not known,
    /// it is asked for as well.
    pub(super) fn start(
        connection: &Connection,
        config: &Config,
        queue_type: Option<&'static str>,
    ) -> Self {
        let mut control = Self {
            queue: config.queue.name.clone(),
            stage: Stage::Off,
            queue_type,
            backoff: Backoff::new(MIN_RETRY, MAX_RETRY),
            warned: false,
            lost_answers: false,
        };
        if config.server.control {
            control.open(connection, config);
        }
        control
    }

    /// Opens it now instead of after the delay, because it may succeed.
    pub(super) fn try_again(&mut self, connection: &Connection, config: &Config) {
        if matches!(self.stage, Stage::Waiting(_)) {
            self.open(connection, config);
        }
    }

    fn open(&mut self, connection: &Connection, config: &Config) {
        let known = self.queue_type;
        let asking =
            (known.is_none()).then(|| topology::queue_type(connection, config.queue.clone()));
        let listening = listen(connection, routing_key(&self.queue));
        let opening = async move {
            let queue_type = match asking {
                Some(asking) => asking.await,
                None => known,
            };
            (queue_type, listening.await)
        };
        self.stage = Stage::Opening(Box::pin(opening));
    }

    /// The next status request; `None` when it is time to [`try_again`](Self::try_again). Never ready if disabled.
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<StatusRequest> {
        loop {
            let error = match &mut self.stage {
                Stage::Off => std::future::pending().await,
                Stage::Waiting(until) => {
                    tokio::time::sleep_until((*until).into()).await;
                    return None;
                }
                Stage::Opening(opening) => {
                    let (queue_type, opened) = opening.await;
                    self.queue_type = queue_type;
                    match opened {
                        Ok(listening) => {
                            self.stage = Stage::Listening(Box::new(listening));
                            if std::mem::take(&mut self.warned) {
                                log::control_on(&self.queue);
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

    /// Closes it for a while, because it ended or could not be opened.
    fn wait(&mut self, error: &Error) {
        self.lost_answers = match &self.stage {
            Stage::Listening(listening) => !listening.answered.is_empty(),
            // If the connection has ended, the session has not noticed yet.
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
        // The session reports a lost connection.
        if error.kind != Kind::Lost && !self.warned {
            self.warned = true;
            log::control_off(&self.queue, &error.message);
        }
    }

    /// Whether replies are unconfirmed, or were when the channel ended: one of their addresses may be why the connection
    /// has ended.
    pub(super) fn has_answered(&self) -> bool {
        match &self.stage {
            Stage::Listening(listening) => !listening.answered.is_empty(),
            Stage::Off | Stage::Waiting(_) | Stage::Opening(_) => self.lost_answers,
        }
    }

    /// Answers a status request if its reply address is allowed. Drops other messages.
    pub(super) fn answer(
        &mut self,
        asked: &StatusRequest,
        policy: &Policy,
        report: &Report,
    ) -> Result<(), Refused> {
        let Stage::Listening(listening) = &mut self.stage else {
            return Ok(());
        };
        let StatusRequest { tag, request } = asked;
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
    async fn next(&mut self) -> Result<StatusRequest, Error> {
        loop {
            match self.mailbox.next().await {
                Arrival::Delivered(delivery) => {
                    return Ok(StatusRequest {
                        tag: delivery.tag,
                        request: RequestMessage::read(delivery.message),
                    });
                }
                Arrival::Confirmed {
                    number, multiple, ..
                } => {
                    // Nothing more is done for the caller, even if the broker refused the reply.
                    while let Some(tag) = self.answered.confirm(number, multiple) {
                        self.channel.ack(tag, false);
                    }
                }
                // The caller has gone.
                Arrival::Returned(_) => {}
                Arrival::Cancelled(_) => {
                    return Err(Kind::Cancelled.error("the broker ended its consumer"));
                }
                Arrival::Failed(error) => return Err(error),
            }
        }
    }

    /// Acknowledges a request, after the confirm of its reply if there is one, so that the prefetch bounds unconfirmed
    /// replies.
    fn settle(&mut self, tag: u64, answer: Option<(&str, Message)>) {
        // Not mandatory: it does not matter whether the caller still exists.
        let published = answer.map(|(to, message)| self.channel.publish(to, false, &message));
        match published {
            Some(Ok(number)) => self.answered.add(number, tag),
            // No reply, or one that cannot be sent.
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
        let (channel, mailbox) = channel.await?;
        channel.confirm_select().await?;
        channel.qos(PREFETCH).await?;
        let queue = channel.declare_exclusive(MAX_WAITING).await?;
        channel.bind(&queue.name, EXCHANGE, &key).await?;
        let requests = channel.consume(&queue.name, "", false).await?;
        Ok(Listening {
            channel,
            mailbox,
            _requests: requests,
            since: Instant::now(),
            answered: Unconfirmed::default(),
        })
    }
}
