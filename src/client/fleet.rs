//! [`Fleet`]: the servers on a queue, as they describe themselves, and the queue itself.
//!
//! Owns a connection of its own. Each look opens a channel of its own, since the broker closes a
//! channel on which something was refused.

use super::session::REPLY_TO;
use super::{Settings, failure};
use crate::broker::endpoint::Endpoints;
use crate::broker::{
    Arrival, Channel, Connection, Error, Event, Inbox, Kind, Options, QueueStatus,
};
use crate::protocol::control::{EXCHANGE, Question, Report, read_pong, routing_key};
use crate::protocol::{Code, Status};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

/// How long after the last report another one is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long, once as many have answered as consume: those that drain do not count.
const STRAGGLERS: Duration = Duration::from_millis(50);

/// How long an orderly close may take before the connection is cut.
const CLOSE: Duration = Duration::from_secs(1);

/// A connection for looking at the servers on a queue.
#[derive(Debug)]
pub struct Fleet {
    connection: Connection,
    queue: String,
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
    /// Consumers of the queue that have not answered: servers of another kind, older ones, and those
    /// that do not listen. A server that drains answers and consumes no more, but quorum queues count it as long
    /// as it has something in flight.
    pub fn silent(&self) -> usize {
        let consumers = self.queue.as_ref().map_or(0, |queue| queue.consumers);
        let consuming = |report: &&Report| {
            let counted = report.queue_type.as_deref() == Some("quorum") && report.in_flight > 0;
            !report.drains() || counted
        };
        let answered = self
            .servers
            .as_ref()
            .map_or(0, |servers| servers.iter().filter(consuming).count());
        usize::try_from(consumers)
            .unwrap_or(usize::MAX)
            .saturating_sub(answered)
    }
}

impl Fleet {
    /// Connects, trying every broker URL once; the errors are those of
    /// [`Client::connect`](super::Client::connect).
    pub async fn connect(settings: &Settings) -> Result<Self, Status> {
        let open = async |url| {
            let options = Options {
                name: settings.name.clone(),
                operation_timeout: settings.broker.confirm_timeout,
                max_body: None,
            };
            Connection::open(&url, &settings.broker, options).await
        };
        let mut endpoints = Endpoints::new(&settings.broker.url);
        // Boxed: what it takes to connect is large, and gone afterwards.
        let connection = Box::pin(endpoints.first(open)).await?;
        Ok(Self {
            connection,
            queue: settings.queue.clone(),
        })
    }

    /// Looks at the queue and asks its servers, within `limit`.
    ///
    /// `UNAVAILABLE` where there is no such queue or the connection is lost, `DEADLINE_EXCEEDED` where
    /// the broker does not answer in time.
    pub async fn look(&mut self, limit: Duration) -> Result<View, Status> {
        let deadline = Instant::now() + limit;
        let (looking, opening) = (self.connection.channel(), self.connection.channel());
        let queue = self.queue.clone();
        let look = async {
            let (looking, _) = looking.await?;
            let queue = match looking.queue_status(&queue).await {
                Err(error) if error.kind == Kind::Denied => Err(error.into()),
                seen => Ok(seen?),
            };
            let expected = queue.as_ref().ok().map(|queue| queue.consumers);
            let (channel, inbox) = opening.await?;
            let servers = match gather(&channel, inbox, &self.queue, expected, deadline).await {
                Err(error) if error.kind == Kind::Denied => Err(error.into()),
                asked => Ok(asked?),
            };
            Ok::<_, Error>(View { queue, servers })
        };
        let mut look = Box::pin(timeout_at(deadline, look));
        let mut blocked = None;
        loop {
            tokio::select! {
                looked = &mut look => return match looked {
                    Ok(Err(error)) if error.kind == Kind::NoQueue => Err(failure::no_queue(&queue)),
                    Ok(view) => Ok(view?),
                    Err(_) => Err(too_late(limit, blocked)),
                },
                event = self.connection.event() => match event {
                    Event::Blocked(reason) => blocked = Some(reason),
                    Event::Unblocked => blocked = None,
                    Event::Failed(error) => return Err(error.into()),
                },
            }
        }
    }

    /// Closes the connection in order.
    pub async fn close(self) {
        // Whoever closes has no more use for the connection: a failure here changes nothing.
        let _ = self.connection.close(CLOSE).await;
    }
}

fn too_late(limit: Duration, blocked: Option<String>) -> Status {
    let message = match blocked {
        Some(why) => format!(
            "cannot ask within {limit:?}: {}",
            super::State::Blocked(why)
        ),
        None => format!("no answer from the broker within {limit:?}"),
    };
    Status::new(Code::DeadlineExceeded, message)
}

/// Asks all servers and collects their reports: as many as there are consumers, or until none comes
/// any more.
async fn gather(
    channel: &Channel,
    mut inbox: Inbox,
    queue: &str,
    expected: Option<u32>,
    deadline: Instant,
) -> Result<Vec<Report>, Error> {
    channel.confirm_select().await?;
    let _replies = channel.consume(REPLY_TO, "", true).await?;
    let id = Uuid::new_v4().hyphenated().to_string();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH);
    let timeout = deadline.saturating_duration_since(Instant::now());
    let deadline_ms = (unix.unwrap_or_default() + timeout).as_millis();
    let question = Question::Status.write(
        id.as_bytes(),
        REPLY_TO,
        u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        i64::try_from(deadline_ms).unwrap_or(i64::MAX),
    );
    channel.publish_to(EXCHANGE, &routing_key(queue), true, &question)?;
    // Where time is short, what has come by half of it is still to be shown.
    let patience = PATIENCE.min(timeout / 2);
    let mut servers: Vec<Report> = Vec::new();
    // One that drains may be no consumer any more, and is heard all the same.
    let patience = |servers: &Vec<Report>| {
        let consuming = servers.iter().filter(|report| !report.drains()).count();
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
            Some(until) => match timeout_at(deadline.min(until), inbox.next()).await {
                Ok(arrival) => arrival,
                Err(_) => break,
            },
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
            Arrival::Cancelled => {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_that_say_nothing_are_counted() {
        let server = |state: &str| Report {
            state: state.trim_end_matches('!').into(),
            in_flight: u64::from(state.ends_with('!')),
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
