//! The client: many calls in flight on one channel, each with a deadline.
//!
//! [`Client::connect`] opens the connection and starts one driver task, which owns everything else;
//! [`Client::call`] hands it a question and waits for the answer; [`Client::close`] joins it. A lost
//! connection is survived: the driver connects again and asks again, within each call's own time.
//! Every call ends by its deadline, as a [`Reply`] or as a [`CallError`] that says why not.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use fibrpc::client::{Client, Settings};
//! use std::time::Duration;
//!
//! let client = Client::connect(Settings::default()).await?;
//! let timeout = Duration::from_secs(5);
//! let (a, b) = tokio::join!(client.call("30", timeout), client.call("31", timeout));
//! println!("{} {}", a?.value, b?.value);
//! client.close().await;
//! # Ok(())
//! # }
//! ```

mod call;
pub mod conclusion;
mod driver;
mod failure;
mod fleet;
mod link;
mod pending;
mod ping;
mod presence;
pub mod probe;
mod session;

pub use fleet::{Fleet, View};
pub use ping::{Answerer, Pong};

use crate::broker::Error;
use crate::config::{self, Config};
use crate::protocol::reply::{self, Trailer};
use crate::protocol::{Code, Message, Status};
use call::{Command, Question};
use driver::Driver;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

/// Questions on their way to the driver; it takes them out at once, so this is no queue.
const COMMANDS: usize = 64;

/// The largest request body, in bytes. Brokers close the channel, and with it all calls on it, where
/// a message is larger than they take (16 MiB by default since RabbitMQ 4.0).
pub const MAX_BODY: usize = 16 << 20;

/// A wait that is longer than any caller's.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);

/// How a client reaches its server.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The broker.
    pub broker: config::Broker,
    /// The request queue.
    pub queue: String,
    /// The connection's name, as the broker shows it.
    pub name: String,
    /// Whether calls wait for a broker, a queue and a server until their deadline, whatever the broker refuses
    /// meanwhile; connecting is a part of the first calls then. Otherwise a call fails where there is no queue, or no
    /// server on it for about a second.
    pub wait_for_server: bool,
    /// The longest that connecting for the first time may take in all, however many brokers there are; `None`:
    /// `broker.connect_timeout` for each.
    pub connect_limit: Option<Duration>,
    /// Whether numbers are asked for as plainly as the tutorial's clients do, which saves the broker a good
    /// part of its work: without a deadline on the request, and without its word that it took it. A request
    /// that it refuses (a full queue) then ends at its deadline here, as one that got lost.
    pub plain: bool,
}

impl Settings {
    /// The settings in a configuration; fails calls at once where no server is there.
    pub fn new(config: &Config) -> Self {
        Self {
            broker: config.broker.clone(),
            queue: config.queue.name.clone(),
            name: format!("fibrpc {}", std::process::id()),
            wait_for_server: false,
            connect_limit: None,
            plain: false,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Decimal digits, perhaps with a sign: an integer of any size.
    pub value: String,
    /// What the server says about itself and about where the time went.
    pub trailer: Trailer,
    /// From the (last) publish of the request to its reply.
    pub round_trip: Duration,
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status}")]
pub struct CallError {
    /// What went wrong, in one line.
    pub status: Status,
    /// What the server says about itself, where it was the server that said no.
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

/// Where the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Not there; the driver tries again and again. The last failure in one line.
    Connecting(String),
    /// There.
    Ready,
    /// There, but the broker takes no requests; its reason.
    Blocked(String),
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting(why) => write!(f, "no connection to the broker: {why}"),
            Self::Ready => f.write_str("connected"),
            Self::Blocked(why) => write!(f, "the broker takes no requests at present: {why}"),
        }
    }
}

/// What the driver has counted since the client was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests published, those that were asked again included.
    pub asked: u64,
    /// Replies that answered a call.
    pub answered: u64,
    /// Replies that nobody waited for: late, duplicate or with an unknown id. They were dropped.
    pub unexpected: u64,
    /// Requests that came back because there was no queue.
    pub returned: u64,
    /// Connections lost.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Counters {
    asked: AtomicU64,
    answered: AtomicU64,
    unexpected: AtomicU64,
    returned: AtomicU64,
    lost: AtomicU64,
}

/// A connection to the servers on one queue. Calls take `&self`, from as many tasks as there are.
///
/// Dropping it ends the driver at once and cuts the connection; [`Client::close`] does it in order.
#[derive(Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    driver: Mutex<JoinSet<()>>,
    counters: Arc<Counters>,
    state: watch::Receiver<State>,
}

impl Client {
    /// Connects, trying every broker URL once; one that does not answer soon does not hold up the next one.
    ///
    /// The error of the broker that says most; with `wait_for_server` none, since calls wait then. Must be called in a
    /// tokio runtime with time and I/O.
    pub async fn connect(settings: Settings) -> Result<Self, Error> {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let (publish_state, state) = watch::channel(State::Ready);
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

    /// Asks for the `n`-th number, which goes to the server as it is: it is the judge of it.
    ///
    /// `DEADLINE_EXCEEDED` once `timeout` is over, `UNAVAILABLE` where there is no queue or no server
    /// on it, otherwise what the server says; `UNKNOWN` where that is neither an integer nor an error.
    pub async fn call(&self, n: impl Into<String>, timeout: Duration) -> Result<Reply, CallError> {
        self.call_since(Instant::now(), n, timeout).await
    }

    /// The same for a call that began earlier, for example by connecting: its time runs from `since`.
    pub async fn call_since(
        &self,
        since: Instant,
        n: impl Into<String>,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        let question = Question::Number(n.into());
        let (message, round_trip) = self.ask(question, since, timeout).await?;
        let (value, trailer) = reply::read(message);
        match value {
            Ok(value) => Ok(Reply {
                value,
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

    /// Sends a request with any body to a service of your own, and gives back the reply as it came.
    ///
    /// Body, content type and headers go out as they are; all other properties are the client's.
    pub async fn call_raw(&self, request: Message, timeout: Duration) -> Result<Message, Status> {
        if request.body.len() > MAX_BODY {
            return Err(Status::new(
                Code::OutOfRange,
                format!(
                    "the request has {} bytes; brokers take {MAX_BODY}",
                    request.body.len()
                ),
            ));
        }
        let (message, _) = self
            .ask(Question::Raw(Box::new(request)), Instant::now(), timeout)
            .await?;
        Ok(message)
    }

    /// What was counted so far.
    pub fn stats(&self) -> Stats {
        let Counters {
            asked,
            answered,
            unexpected,
            returned,
            lost,
        } = &*self.counters;
        Stats {
            asked: asked.load(Ordering::Relaxed),
            answered: answered.load(Ordering::Relaxed),
            unexpected: unexpected.load(Ordering::Relaxed),
            returned: returned.load(Ordering::Relaxed),
            lost: lost.load(Ordering::Relaxed),
        }
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Ends the calls that still wait with `UNAVAILABLE`, closes the connection and joins the driver.
    /// Does nothing the second time.
    pub async fn close(&self) {
        // An error says that the driver has ended already.
        let _ = self.commands.send(Command::Close).await;
        while self.driver.lock().await.join_next().await.is_some() {}
    }

    async fn ask(
        &self,
        question: Question,
        since: Instant,
        timeout: Duration,
    ) -> Result<(Message, Duration), Status> {
        let (answer, answered) = oneshot::channel();
        let command = Command::Ask {
            question,
            timeout,
            deadline: since.checked_add(timeout).unwrap_or(since + FOREVER),
            answer,
        };
        let refused = self.commands.send(command).await.is_err();
        if refused {
            return Err(failure::closed());
        }
        // Dropped unanswered with the driver, when it may have been asked already.
        let gone = || failure::as_far_as_known(&failure::closed(), true);
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.message)
    }
}
