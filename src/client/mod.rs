//! The client: many calls in flight on one channel, each with a deadline.
//!
//! [`Client::connect`] opens the connection and starts one driver task, which owns everything else; [`Client::call`] passes
//! a call to it and waits for the reply; [`Client::close`] joins it. After a lost connection, the driver reconnects and
//! publishes again, within each call's own time. Every call ends by its deadline, with a [`Reply`] or a [`CallError`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use fibrpc::client::{Client, Settings};
//! use std::time::Duration;
//!
//! let client = Client::connect(Settings::default()).await?;
//! let timeout = Duration::from_secs(5);
//! let (a, b) = tokio::join!(client.call("30", timeout), client.call("31", timeout));
//! println!("{:?} {:?}", a?.body, b?.body);
//! client.close().await;
//! # Ok(())
//! # }
//! ```

mod call;
mod connector;
mod deadline_map;
mod driver;
mod failure;
pub mod failure_kind;
mod late;
mod monitor;
mod ping;
mod presence;
pub mod probe;
mod session;
mod settings;
mod state;

pub use monitor::{Monitor, Overview};
pub use ping::{Answerer, Pong};
pub use settings::Settings;
pub use state::{ConnectionState, Stats};

use crate::broker::Error;
use crate::protocol::reply::{self, Content, Trailer};
use crate::protocol::{Code, Message, Status};
use call::{Call, Command, Outcome, Payload};
use driver::Driver;
use state::Counters;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// The capacity of the channel to the driver, which receives at once.
const COMMANDS: usize = 64;

/// The largest request body, in bytes. A broker closes the channel, and with it all calls on it, if a message exceeds the
/// broker's limit (16 MiB by default since RabbitMQ 4.0).
pub const MAX_BODY: usize = 16 << 20;

/// The deadline of a call whose timeout is beyond the range of the clock.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// The reply to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The payload.
    pub body: Vec<u8>,
    /// MIME type of the payload, if the server says.
    pub content_type: Option<String>,
    /// What the server reports about itself and its times.
    pub trailer: Trailer,
    /// From the (last) publish of the request to its reply.
    pub round_trip: Duration,
}

/// Why a call has no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}")]
pub struct CallError {
    /// What went wrong, in one line.
    pub status: Status,
    /// What the server reports about itself, if the error is from the server.
    pub trailer: Trailer,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self {
            status,
            trailer: Trailer::default(),
        }
    }
}

/// A connection to the servers on one queue. Calls take `&self`, from any number of tasks.
///
/// Dropping it ends the driver at once and cuts the connection; [`Client::close`] closes it in order.
#[derive(Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    driver: Mutex<JoinSet<()>>,
    counters: Arc<Counters>,
    state: watch::Receiver<ConnectionState>,
}

impl Client {
    /// Connects, trying every broker URL once; a slow broker does not delay the next one.
    ///
    /// If all fail, returns the most informative error; never fails with `wait_for_server`, since calls wait then. Must be
    /// called in a tokio runtime with time and I/O.
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (publish_state, state) = watch::channel(ConnectionState::Ready);
        let counters = Arc::new(Counters::default());
        let driver =
            Driver::connect(settings, receiver, Arc::clone(&counters), publish_state).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        Ok(Self {
            commands,
            driver: Mutex::new(tasks),
            counters,
            state,
        })
    }

    /// Sends a request of plain text, unchanged; [`Client::call_raw`] sends others.
    ///
    /// Errors: `DEADLINE_EXCEEDED` after `timeout`; `UNAVAILABLE` if there is no queue or no server on it; the error of the
    /// server.
    pub async fn call(
        &self,
        text: impl Into<String>,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        self.call_since(Instant::now(), text, timeout).await
    }

    /// Like [`Client::call`], for a call that began earlier, for example with connecting: `timeout` counts from `since`.
    pub async fn call_since(
        &self,
        since: Instant,
        text: impl Into<String>,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let body = text.into().into_bytes();
        check_size(&body)?;
        let (message, round_trip) = self.send(Payload::Text(body), since, timeout).await?;
        let (content, trailer) = reply::read(message);
        match content {
            Ok(Content { body, content_type }) => Ok(Reply {
                body,
                content_type,
                trailer,
                round_trip,
            }),
            Err(status) => {
                let left = timeout.saturating_sub(since.elapsed());
                let status = failure::refused_by_server(status, round_trip, left);
                Err(CallError { status, trailer })
            }
        }
    }

    /// Sends a request with any body to a service of your own, and returns its reply unchanged.
    ///
    /// Body, content type and headers are sent unchanged; the client sets all other properties.
    pub async fn call_raw(&self, request: Message, timeout: Duration) -> Result<Message, Status> {
        check_size(&request.body)?;
        let (message, _) = self
            .send(Payload::Raw(Box::new(request)), Instant::now(), timeout)
            .await?;
        Ok(message)
    }

    /// Checks that a server replies: like a call, but nothing is computed.
    ///
    /// Any reply counts; without a reply, fails as [`Client::call`] does.
    pub async fn ping(&self, timeout: Duration) -> Result<Pong, Status> {
        self.ping_since(Instant::now(), timeout).await
    }

    /// Like [`Client::ping`], for a ping that began earlier, for example with connecting: `timeout` counts from `since`.
    pub async fn ping_since(&self, since: Instant, timeout: Duration) -> Result<Pong, Status> {
        let (message, round_trip) = self.send(Payload::Ping, since, timeout).await?;
        Ok(Pong {
            round_trip,
            from: message.into(),
        })
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.counters.stats()
    }

    /// The state of the connection.
    pub fn state(&self) -> ConnectionState {
        self.state.borrow().clone()
    }

    /// Ends waiting calls with `UNAVAILABLE`, closes the connection and joins the driver. A second call does nothing.
    pub async fn close(&self) {
        // An error means that the driver has ended already.
        let _ = self.commands.send(Command::Close).await;
        while self.driver.lock().await.join_next().await.is_some() {}
    }

    async fn send(&self, payload: Payload, since: Instant, timeout: Duration) -> Outcome {
        let (sender, outcome) = oneshot::channel();
        let deadline = since.checked_add(timeout).unwrap_or(since + FOREVER);
        let command = Command::Call(deadline, Call::new(payload, timeout, sender));
        if self.commands.send(command).await.is_err() {
            return Err(failure::closed());
        }
        // If the driver is dropped, the request may have been published already.
        let dropped = || failure::as_far_as_known(&failure::closed(), true);
        outcome.await.unwrap_or_else(|_| Err(dropped()))
    }
}

fn check_size(body: &[u8]) -> Result<(), Status> {
    if body.len() <= MAX_BODY {
        return Ok(());
    }
    let message = format!(
        "the request body has {} bytes; the limit is {MAX_BODY}",
        body.len()
    );
    Err(Status::new(Code::OutOfRange, message))
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.message)
    }
}
