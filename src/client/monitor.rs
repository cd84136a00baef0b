//! [`Monitor`]: the status of a queue, and the reports of the servers on it.
//!
//! Owns a connection of its own. Each query opens channels of its own, since the broker closes a channel on which something
//! was refused. If the broker shows no server and another broker does, the monitor moves to that one.

use super::pending::expiration;
use super::session::{CLOSE_TIMEOUT, REPLY_TO};
use super::settings::Settings;
use super::state::ConnectionState;
use super::{failure, presence};
use crate::broker::endpoint::Endpoints;
use crate::broker::{
    Arrival, Channel, Connection, ConnectionEvent, Error, Kind, Mailbox, QueueStatus, random_id,
};
use crate::protocol::control::{EXCHANGE, Question, Report, read_pong, routing_key};
use crate::protocol::{Code, Status};
use crate::text::duration;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// How long to wait for another report after the last one.
const REPORT_TIMEOUT: Duration = Duration::from_millis(500);

/// The same once as many servers have replied as consume: draining servers do not consume, but reply.
const DRAINING_TIMEOUT: Duration = Duration::from_millis(50);

/// The time reserved for the reports.
const REPORTS: Duration = Duration::from_secs(1);

/// The shortest time for a query.
const MIN_LIMIT: Duration = Duration::from_millis(100);

/// How long the replies that have arrived by the deadline may take to be handled.
const GRACE: Duration = Duration::from_millis(100);

/// A connection that queries the servers on a queue.
#[derive(Debug)]
pub struct Monitor {
    connection: Connection,
    endpoints: Endpoints,
    settings: Settings,
    queue: String,
}

/// A queue and its servers.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Overview {
    /// The queue; an error if the user has no permission to check it.
    pub queue: Result<QueueStatus, Status>,
    /// The reports of the servers that replied, in the order of instance names; an error if the user has no permission to
    /// query them.
    pub servers: Result<Vec<Report>, Status>,
}

impl Overview {
    /// Whether the queue has servers, or may have.
    pub fn shows_servers(&self) -> bool {
        let is_served = |queue: &QueueStatus| queue.consumers > 0;
        let answered = |servers: &Vec<Report>| !servers.is_empty();
        self.queue.as_ref().map_or(true, is_served) || self.servers.as_ref().map_or(true, answered)
    }

    /// How long a query of at most `limit` waits for another report after the last one.
    pub fn report_timeout(limit: Duration) -> Duration {
        REPORT_TIMEOUT.min(limit / 2)
    }

    /// The number of consumers without a report: other kinds of servers, older ones, and those that do not respond. A draining
    /// server reports but no longer consumes; quorum queues count it as a consumer while it has requests in flight.
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

impl Monitor {
    /// Connects as a client does, with the same errors.
    pub async fn connect(settings: &Settings, queue: &str) -> Result<Self, Error> {
        let mut endpoints = Endpoints::new(&settings.broker.url);
        let operation = settings.broker.confirm_timeout;
        let open = async |url| settings.open(&url, operation).await;
        let opening = endpoints.first(settings.connect_limit, open);
        // Boxed: the future is large, and dropped afterwards.
        let connection = Box::pin(opening).await?;
        Ok(Self {
            connection,
            endpoints,
            settings: settings.clone(),
            queue: queue.to_owned(),
        })
    }

    /// Checks the queue and queries its servers, within `limit` from `since`, for example the start of connecting; but
    /// leaves a moment for the query in any case.
    ///
    /// Errors: `UNAVAILABLE` if there is no such queue or the connection is lost, `DEADLINE_EXCEEDED` if the broker does not
    /// answer in time.
    pub async fn overview(
        &mut self,
        since: std::time::Instant,
        limit: Duration,
    ) -> Result<Overview, Status> {
        let now = Instant::now();
        let deadline = (Instant::from_std(since) + limit).max(now + MIN_LIMIT);
        let settings = &self.settings;
        let queue = self.queue.as_str();
        let seen = query(&mut self.connection, queue, limit, deadline).await;
        if seen.as_ref().is_ok_and(Overview::shows_servers) {
            return seen;
        }
        // This broker may be cut off from the queue, or have lost it, while others have not.
        let elsewhere = self.endpoints.other(async |url| {
            let operation = settings.broker.confirm_timeout;
            let mut connection = settings.open(&url, operation).await?;
            match query(&mut connection, queue, limit, deadline).await {
                Ok(overview) if overview.shows_servers() => Ok((connection, overview)),
                Ok(_) | Err(_) => Err(Kind::QueueDown.error("no servers")),
            }
        });
        match timeout_at(deadline, Box::pin(elsewhere)).await {
            Ok(Ok((connection, overview))) => {
                self.connection = connection;
                Ok(overview)
            }
            _ => seen,
        }
    }

    /// Closes the connection in order.
    pub async fn close(self) {
        // A failure makes no difference: the connection ends in any case.
        let _ = self.connection.close(CLOSE_TIMEOUT).await;
    }
}

/// Checks the queue and queries its servers over this connection.
async fn query(
    connection: &mut Connection,
    queue: &str,
    limit: Duration,
    deadline: Instant,
) -> Result<Overview, Status> {
    let opening = connection.channel();
    // Some of the time is for the reports.
    let left = deadline.saturating_duration_since(Instant::now());
    let reports = REPORTS.min(left / 2);
    let checking = presence::check(
        connection.channels(),
        queue.into(),
        presence::AGREEMENT,
        deadline.checked_sub(reports),
    );
    let query = async {
        let status = match checking.await {
            Err(error) if error.kind == Kind::Denied => Err(error.into()),
            status => Ok(status?),
        };
        let expected = status.as_ref().ok().map(|status| status.consumers);
        let (channel, mailbox) = opening.await?;
        let servers = match gather(&channel, mailbox, queue, expected, deadline).await {
            Err(error) if error.kind == Kind::Denied => Err(error.into()),
            reports => Ok(reports?),
        };
        Ok::<_, Error>(Overview {
            queue: status,
            servers,
        })
    };
    let caught_up = connection.channels();
    let mut query = Box::pin(async move {
        let mut query = std::pin::pin!(query);
        if let Ok(overview) = timeout_at(deadline, &mut query).await {
            return Ok(overview);
        }
        // Replies that arrived while this process was stopped count.
        caught_up.caught_up().await;
        timeout(GRACE, query).await
    });
    let mut blocked = None;
    loop {
        tokio::select! {
            overview = &mut query => return match overview {
                Ok(Err(error)) if error.kind == Kind::NoQueue => Err(failure::no_queue(queue)),
                Ok(Err(error)) if error.kind == Kind::QueueDown => {
                    Err(failure::queue_down(queue, &error))
                }
                Ok(overview) => Ok(overview?),
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
        Some(why) => format!(
            "cannot query the servers within {limit}: {}",
            ConnectionState::Blocked(why)
        ),
        None => format!("no answer from the broker within {limit}"),
    };
    Status::new(Code::DeadlineExceeded, message)
}

/// Queries all servers and collects their reports, until there are as many as consumers or no more arrive.
async fn gather(
    channel: &Channel,
    mut mailbox: Mailbox,
    queue: &str,
    expected: Option<u32>,
    deadline: Instant,
) -> Result<Vec<Report>, Error> {
    channel.confirm_select().await?;
    let _replies = channel.consume(REPLY_TO, "", true).await?;
    let id = random_id().hyphenated().to_string();
    let timeout = deadline.saturating_duration_since(Instant::now());
    let (timeout_ms, deadline_ms) = expiration(timeout);
    let question = Question::Status.write(id.as_bytes(), REPLY_TO, timeout_ms, deadline_ms);
    channel.publish_to(EXCHANGE, &routing_key(queue), true, &question)?;
    let report_timeout = Overview::report_timeout(timeout);
    let mut servers: Vec<Report> = Vec::new();
    // A draining server may no longer consume, but reports.
    let wait = |servers: &Vec<Report>| {
        let consuming = servers.iter().filter(|report| !report.drains());
        let consuming: usize = consuming.map(consumers).sum();
        let expected = expected.filter(|expected| *expected > 0);
        let enough = expected.is_some_and(|expected| consuming >= expected as usize);
        if enough {
            report_timeout.min(DRAINING_TIMEOUT)
        } else {
            report_timeout
        }
    };
    // The wait for reports begins once the broker has confirmed the query.
    let mut until = None;
    loop {
        let arrival = match until {
            None => mailbox.next().await,
            Some(until) => {
                if let Ok(arrival) = timeout_at(deadline.min(until), mailbox.next()).await {
                    arrival
                } else {
                    channel.caught_up().await;
                    let Some(arrival) = mailbox.try_next() else {
                        break;
                    };
                    arrival
                }
            }
        };
        match arrival {
            // There is no server.
            Arrival::Returned(_) | Arrival::Confirmed { taken: false, .. } => break,
            Arrival::Confirmed { .. } => until = Some(Instant::now() + wait(&servers)),
            Arrival::Delivered(reply) => {
                let message = reply.message;
                if message.properties.correlation_id.as_deref() != Some(id.as_bytes()) {
                    continue;
                }
                if let Some(report) = read_pong(&message) {
                    servers.push(report);
                    until = Some(Instant::now() + wait(&servers));
                }
            }
            Arrival::Cancelled(_) => {
                return Err(
                    Kind::Cancelled.error("the broker cancelled the consumer of the reports")
                );
            }
            Arrival::Failed(error) => return Err(error),
        }
    }
    servers.sort_by(|one, other| (&one.instance, one.pid).cmp(&(&other.instance, other.pid)));
    Ok(servers)
}

/// The consumers of a server, as the broker may count them.
fn consumers(server: &Report) -> usize {
    server.consumers.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consumers_without_a_report_are_counted() {
        // `!`: requests in flight; `+`: a second consumer takes over.
        let server = |state: &str| Report {
            state: state.trim_end_matches(['!', '+']).into(),
            in_flight: u64::from(state.ends_with('!')),
            consumers: if state.ends_with('+') { 2 } else { 0 },
            queue_type: Some("quorum".into()),
            ..Report::default()
        };
        let overview = |consumers, servers: &[&str]| Overview {
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
            let overview = overview(consumers, servers);
            assert_eq!(overview.silent(), silent, "{consumers} {servers:?}");
        }
        let denied = || Status::new(Code::PermissionDenied, "no");
        let unqueried = Overview {
            servers: Err(denied()),
            ..overview(2, &[])
        };
        assert_eq!(unqueried.silent(), 2);
        let unchecked = Overview {
            queue: Err(denied()),
            ..overview(0, &["consuming"])
        };
        assert_eq!(unchecked.silent(), 0);
    }
}
