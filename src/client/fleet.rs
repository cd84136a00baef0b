//! [`Fleet`]: the servers on a queue, as they describe themselves, and the queue itself.
//!
//! Owns a connection of its own. Each look opens a channel of its own, since the broker closes a
//! channel on which something was refused. A broker that shows nobody is left for another one that shows somebody.

use super::session::{CLOSE, REPLY_TO};
use super::{Settings, failure, presence};
use crate::broker::clock::unix_ms;
use crate::broker::endpoint::Endpoints;
use crate::broker::{
    Arrival, Channel, Connection, ConnectionEvent, Error, Kind, Mailbox, Options, QueueStatus,
};
use crate::config::BrokerUrl;
use crate::protocol::control::{EXCHANGE, Question, Report, read_pong, routing_key};
use crate::protocol::{Code, Status};
use crate::text::duration;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

/// How long after the last report another one is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long, once as many have answered as consume: those that drain do not count.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// What is left of the time for their answers.
const ANSWERS: Duration = Duration::from_secs(1);

/// The least time for a look.
const LEAST: Duration = Duration::from_millis(100);

/// How long what has arrived by the deadline may take to become the outcome.
const GRACE: Duration = Duration::from_millis(100);

/// A connection for looking at the servers on a queue.
#[derive(Debug)]
pub struct Fleet {
    connection: Connection,
    endpoints: Endpoints,
    settings: Settings,
}

/// What a look has shown.
#[derive(Debug, Clone)]
pub struct View {
    /// The queue; an error where the user may not look at it.
    pub queue: Result<QueueStatus, Status>,
    /// What each server says that has answered, in the order of instance names; an error where the
    /// servers could not be asked.
    pub servers: Result<Vec<Report>, Status>,
}

impl View {
    /// Whether somebody serves the queue, or that cannot be told.
    pub fn shows_servers(&self) -> bool {
        let is_served = |queue: &QueueStatus| queue.consumers > 0;
        let answered = |servers: &Vec<Report>| !servers.is_empty();
        self.queue.as_ref().map_or(true, is_served) || self.servers.as_ref().map_or(true, answered)
    }

    /// How long an answer is waited for in a look of at most `limit`, after the one before.
    pub fn patience(limit: Duration) -> Duration {
        PATIENCE.min(limit / 2)
    }

    /// Consumers of the queue that have not answered: servers of another kind, older ones, and those
    /// that do not listen. A server that drains answers and consumes no more, but quorum queues count it as long
    /// as it has something in flight.
    pub fn silent(&self) -> usize {
        let counted = self.queue.as_ref().map_or(0, |queue| queue.consumers);
        let consuming = |report: &&Report| {
            let remains = report.queue_type.as_deref() == Some("quorum") && report.in_flight > 0;
            !report.drains() || remains
        };
        let answered = self.servers.as_ref().map_or(0, |servers| {
            servers.iter().filter(consuming).map(consumers).sum()
        });
        usize::try_from(counted)
            .unwrap_or(usize::MAX)
            .saturating_sub(answered)
    }
}

impl Fleet {
    /// Connects as [`Client::connect`](super::Client::connect) does, with the same errors.
    pub async fn connect(settings: &Settings) -> Result<Self, Error> {
        let mut endpoints = Endpoints::new(&settings.broker.url);
        let opening = endpoints.first(settings.connect_limit, |url| open(url, settings));
        // Boxed: what it takes to connect is large, and gone afterwards.
        let connection = Box::pin(opening).await?;
        Ok(Self {
            connection,
            endpoints,
            settings: settings.clone(),
        })
    }

    /// Looks at the queue and asks its servers, within `limit`.
    ///
    /// `UNAVAILABLE` where there is no such queue or the connection is lost, `DEADLINE_EXCEEDED` where
    /// the broker does not answer in time.
    pub async fn look(&mut self, limit: Duration) -> Result<View, Status> {
        self.look_since(Instant::now().into_std(), limit).await
    }

    /// The same for a look that began earlier, for example by connecting: its time runs from `since`. A moment is
    /// left for the look in any case.
    pub async fn look_since(
        &mut self,
        since: std::time::Instant,
        limit: Duration,
    ) -> Result<View, Status> {
        let now = Instant::now();
        let deadline = (Instant::from_std(since) + limit).max(now + LEAST);
        let settings = &self.settings;
        let queue = settings.queue.as_str();
        let seen = look(&mut self.connection, queue, limit, deadline).await;
        if seen.as_ref().is_ok_and(View::shows_servers) {
            return seen;
        }
        // This broker may be cut off from the queue, or have lost it, while others are well.
        let elsewhere = self.endpoints.other(async |url| {
            let mut connection = open(url, settings).await?;
            match look(&mut connection, queue, limit, deadline).await {
                Ok(view) if view.shows_servers() => Ok((connection, view)),
                Ok(_) | Err(_) => Err(Error::new(Kind::QueueDown, "nobody there, either")),
            }
        });
        match timeout_at(deadline, Box::pin(elsewhere)).await {
            Ok(Ok((connection, view))) => {
                self.connection = connection;
                Ok(view)
            }
            _ => seen,
        }
    }

    /// Closes the connection in order.
    pub async fn close(self) {
        // Whoever closes has no more use for the connection: a failure here changes nothing.
        let _ = self.connection.close(CLOSE).await;
    }
}

async fn open(url: BrokerUrl, settings: &Settings) -> Result<Connection, Error> {
    let options = Options {
        name: settings.name.clone(),
        operation_timeout: settings.broker.confirm_timeout,
        max_body: None,
        patience: settings.connect_limit,
    };
    Connection::open(&url, &settings.broker, options).await
}

/// Looks at the queue over this connection.
async fn look(
    connection: &mut Connection,
    queue: &str,
    limit: Duration,
    deadline: Instant,
) -> Result<View, Status> {
    let opening = connection.channel();
    // Some of the time is for the answers of the servers.
    let left = deadline.saturating_duration_since(Instant::now());
    let answers = ANSWERS.min(left / 2);
    let looking = presence::certain(
        connection.channels(),
        queue.to_owned(),
        presence::AGREE,
        deadline.checked_sub(answers),
    );
    let look = async {
        let status = match looking.await {
            Err(error) if error.kind == Kind::Denied => Err(error.into()),
            seen => Ok(seen?),
        };
        let expected = status.as_ref().ok().map(|status| status.consumers);
        let (channel, inbox) = opening.await?;
        let servers = match gather(&channel, inbox, queue, expected, deadline).await {
            Err(error) if error.kind == Kind::Denied => Err(error.into()),
            asked => Ok(asked?),
        };
        Ok::<_, Error>(View {
            queue: status,
            servers,
        })
    };
    let caught_up = connection.channels();
    let mut look = Box::pin(async move {
        let mut look = std::pin::pin!(look);
        if let Ok(looked) = timeout_at(deadline, &mut look).await {
            return Ok(looked);
        }
        // What has arrived while this process was stopped counts.
        caught_up.caught_up().await;
        timeout(GRACE, look).await
    });
    let mut blocked = None;
    loop {
        tokio::select! {
            looked = &mut look => return match looked {
                Ok(Err(error)) if error.kind == Kind::NoQueue => Err(failure::no_queue(queue)),
                Ok(Err(error)) if error.kind == Kind::QueueDown => {
                    Err(failure::queue_down(queue, &error))
                }
                Ok(view) => Ok(view?),
                Err(_) => Err(too_late(limit, blocked)),
            },
            event = connection.event() => match event {
                ConnectionEvent::Blocked(reason) => blocked = Some(reason),
                ConnectionEvent::Unblocked => blocked = None,
                ConnectionEvent::Failed(error) => return Err(error.into()),
            },
        }
    }
}

fn too_late(limit: Duration, blocked: Option<String>) -> Status {
    let limit = duration(limit);
    let message = match blocked {
        Some(why) => format!("cannot ask within {limit}: {}", super::State::Blocked(why)),
        None => format!("no answer from the broker within {limit}"),
    };
    Status::new(Code::DeadlineExceeded, message)
}

/// Asks all servers and collects their reports: as many as there are consumers, or until none comes
/// any more.
async fn gather(
    channel: &Channel,
    mut inbox: Mailbox,
    queue: &str,
    expected: Option<u32>,
    deadline: Instant,
) -> Result<Vec<Report>, Error> {
    channel.confirm_select().await?;
    let _replies = channel.consume(REPLY_TO, "", true).await?;
    let id = Uuid::new_v4().hyphenated().to_string();
    let timeout = deadline.saturating_duration_since(Instant::now());
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let question = Question::Status.write(
        id.as_bytes(),
        REPLY_TO,
        timeout_ms,
        unix_ms().saturating_add_unsigned(timeout_ms),
    );
    channel.publish_to(EXCHANGE, &routing_key(queue), true, &question)?;
    // Where time is short, what has come by half of it is still to be shown.
    let patience = PATIENCE.min(timeout / 2);
    let mut servers: Vec<Report> = Vec::new();
    // One that drains may be no consumer any more, and is heard all the same.
    let patience = |servers: &Vec<Report>| {
        let consuming = servers.iter().filter(|report| !report.drains());
        let consuming: usize = consuming.map(consumers).sum();
        let expected = expected.filter(|expected| *expected > 0);
        let enough = expected.is_some_and(|expected| consuming >= expected as usize);
        if enough {
            patience.min(STRAGGLERS)
        } else {
            patience
        }
    };
    // Until the broker has taken the question, nobody can be late.
    let mut until = None;
    loop {
        let arrival = match until {
            None => inbox.next().await,
            Some(until) => {
                if let Ok(arrival) = timeout_at(deadline.min(until), inbox.next()).await {
                    arrival
                } else {
                    channel.caught_up().await;
                    let Some(arrival) = inbox.try_next() else {
                        break;
                    };
                    arrival
                }
            }
        };
        match arrival {
            // Nobody listens.
            Arrival::Returned(_) | Arrival::Confirmed { taken: false, .. } => break,
            Arrival::Confirmed { .. } => until = Some(Instant::now() + patience(&servers)),
            Arrival::Delivered(reply) => {
                let message = reply.message;
                if message.properties.correlation_id.as_deref() != Some(id.as_bytes()) {
                    continue;
                }
                if let Some(report) = read_pong(&message) {
                    servers.push(report);
                    until = Some(Instant::now() + patience(&servers));
                }
            }
            Arrival::Cancelled(_) => {
                return Err(Error::new(
                    Kind::Cancelled,
                    "the broker ended the subscription",
                ));
            }
            Arrival::Failed(error) => return Err(error),
        }
    }
    servers.sort_by(|one, other| (&one.instance, one.pid).cmp(&(&other.instance, other.pid)));
    Ok(servers)
}

/// Its consumers that the broker may count.
fn consumers(server: &Report) -> usize {
    server.consumers.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_that_say_nothing_are_counted() {
        // `!`: something is in flight; `+`: another consumer takes over.
        let server = |state: &str| Report {
            state: state.trim_end_matches(['!', '+']).into(),
            in_flight: u64::from(state.ends_with('!')),
            consumers: if state.ends_with('+') { 2 } else { 0 },
            queue_type: Some("quorum".into()),
            ..Report::default()
        };
        let view = |consumers, servers: &[&str]| View {
            queue: Ok(QueueStatus {
                name: "q".into(),
                messages: 0,
                consumers,
            }),
            servers: Ok(servers.iter().map(|state| server(state)).collect()),
        };
        for (consumers, servers, silent) in [
            (0, &[][..], 0),
            (2, &["consuming", "consuming"], 0),
            (3, &["consuming"], 2),
            (1, &["consuming", "consuming"], 0),
            (1, &["draining"], 1),
            (2, &["consuming", "draining!"], 0),
            (1, &["consuming", "draining!"], 0),
            (2, &["consuming+"], 0),
            (3, &["consuming+"], 1),
            (3, &["consuming+", "consuming"], 0),
        ] {
            let view = view(consumers, servers);
            assert_eq!(view.silent(), silent, "{consumers} {servers:?}");
        }
        let denied = || Status::new(Code::PermissionDenied, "no");
        let unasked = View {
            servers: Err(denied()),
            ..view(2, &[])
        };
        assert_eq!(unasked.silent(), 2);
        let unseen = View {
            queue: Err(denied()),
            ..view(0, &["consuming"])
        };
        assert_eq!(unseen.silent(), 0);
    }
}
