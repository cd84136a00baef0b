//! The client: many calls in flight on one channel, to any queue, each with a deadline.
//!
//! [`Client::connect`] opens the connection and starts one driver task, which owns everything else; [`Client::call`] passes
//! a call to it and waits for the reply; [`Client::close`] joins it. After a lost connection, the driver reconnects and
//! publishes again, within each call's own time. Every call ends by its deadline, with a reply or a [`CallError`].
//!
//! ```no_run
//! use fibrpc::{Client, Json, Text};
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize)] struct Order { item: String, count: u32 }
//! #[derive(serde::Deserialize)] struct Price { cents: u64 }
//!
//! # async fn example(order: Order) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect("amqp://localhost/%2f").await?;
//! let Json(price) = client.call::<Json<Price>>("prices", Json(order)).timeout(Duration::from_secs(5)).await?;
//! println!("{} cents", price.cents);
//!
//! // Any queue, any number of calls at once.
//! let (a, b) = tokio::join!(
//!     client.call::<Text>("rpc_queue", "30"),
//!     client.call::<Text>("texts", "hello").method("upper"),
//! );
//! println!("{} {}", a?.0, b?.0);
//! client.close().await;
//! # Ok(())
//! # }
//! ```

mod body;
mod builder;
pub(crate) mod call;
mod connector;
mod deadline_map;
mod driver;
mod error;
mod exchange;
mod failure;
pub(crate) mod failure_kind;
mod late;
mod monitor;
mod pending;
mod ping;
mod presence;
pub(crate) mod probe;
mod session;
mod settings;
mod shared;
mod span;
mod state;

pub use body::{FromReply, IntoBody};
pub use builder::Builder;
pub use call::{Call, CallFuture, MAX_BODY};
pub use error::CallError;
pub(crate) use monitor::{Monitor, Overview};
pub(crate) use ping::Answerer;
pub use ping::Pong;
pub(crate) use settings::Settings;
pub use state::{ConnectionState, Stats};

use crate::broker::Error;
use crate::protocol::Status;
use call::check_queue;
use driver::Driver;
use exchange::Exchange;
use pending::{Command, Payload};
use shared::Shared;
use state::Counters;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

/// A connection to a broker, over which any number of tasks call the servers on any queues. Clones share it.
///
/// Dropping the last clone and all calls ends the driver at once and cuts the connection; [`Client::close`] closes it in
/// order.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

impl Client {
    /// Connects to the broker at this URL. Must be called in a tokio runtime with time and I/O.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if the URL is none, `PERMISSION_DENIED` if the broker refuses the user, else `UNAVAILABLE`.
    pub async fn connect(url: &str) -> Result<Self, Status> {
        Self::builder(url).connect().await
    }

    /// A client of the broker at this URL, with further settings.
    ///
    /// ```no_run
    /// # use fibrpc::Client;
    /// # use std::time::Duration;
    /// # async fn example() -> Result<(), fibrpc::Status> {
    /// let client = Client::builder("amqps://a.example.org/shop")
    ///     .broker("amqps://b.example.org/shop")
    ///     .ca_file("ca.pem")
    ///     .wait_for_server(true)
    ///     .timeout(Duration::from_secs(30))
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// Connects, trying every broker URL once; a slow broker does not delay the next one.
    ///
    /// If all fail, returns the most informative error; never fails with `wait_for_server`, since calls wait then.
    pub(crate) async fn open(settings: Settings) -> Result<Self, Error> {
        let (commands, receiver) = mpsc::unbounded_channel();
        let (publish_state, state) = watch::channel(ConnectionState::Ready);
        let counters = Arc::new(Counters::default());
        let timeout = settings.timeout;
        let driver =
            Driver::connect(settings, receiver, Arc::clone(&counters), publish_state).await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run());
        Ok(Self {
            shared: Arc::new(Shared {
                commands,
                driver: Mutex::new(tasks),
                counters,
                state,
                timeout,
            }),
        })
    }

    /// Calls the servers on a queue: a builder that is awaited.
    ///
    /// `R` is what the reply becomes: [`Json<T>`](crate::Json), [`Text`](crate::Text), [`Bytes`](crate::Bytes), or
    /// [`Reply`](crate::Reply) for everything that is known about it. The body becomes a request likewise.
    ///
    /// ```no_run
    /// # use fibrpc::{Client, Json};
    /// # use std::time::Duration;
    /// # async fn example(client: Client) -> Result<(), fibrpc::CallError> {
    /// let call = client.call::<Json<u64>>("stock", Json("tea"));
    /// let Json(left) = call.method("count").timeout(Duration::from_secs(1)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - the error of the server, with its details;
    /// - `DEADLINE_EXCEEDED` if there is no reply in time;
    /// - `UNAVAILABLE` if there is no queue or no server on it, or no connection: no server works on the request;
    /// - `UNKNOWN` if the reply is not an `R`, or if the connection was lost after the request had been published and it
    ///   cannot be repeated.
    pub fn call<R>(&self, queue: impl Into<Arc<str>>, body: impl IntoBody) -> Call<R> {
        Call::new(&self.shared, queue.into(), body)
    }

    /// Checks that a server on the queue replies: like a call, but nothing is computed.
    ///
    /// Any reply counts; without a reply, fails as [`Client::call`] does.
    pub async fn ping(
        &self,
        queue: impl Into<Arc<str>>,
        timeout: Duration,
    ) -> Result<Pong, Status> {
        self.ping_since(Instant::now(), queue, timeout).await
    }

    /// Like [`Client::ping`], for a ping that began earlier, for example with connecting: `timeout` counts from `since`.
    pub async fn ping_since(
        &self,
        since: Instant,
        queue: impl Into<Arc<str>>,
        timeout: Duration,
    ) -> Result<Pong, Status> {
        let queue = queue.into();
        let request = check_queue(&queue).map(|()| (queue, Payload::Ping));
        let shared = Arc::clone(&self.shared);
        let (message, round_trip) = Exchange::new(shared, request, timeout, Some(since)).await?;
        Ok(Pong {
            round_trip,
            from: message.into(),
        })
    }

    /// The counters.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats()
    }

    /// The state of the connection.
    pub fn state(&self) -> ConnectionState {
        self.shared.state.borrow().clone()
    }

    /// Ends waiting calls with `UNAVAILABLE`, closes the connection and joins the driver. A second call does nothing.
    pub async fn close(&self) {
        // An error means that the driver has ended already.
        let _ = self.shared.commands.send(Command::Close);
        let mut driver = self.shared.driver.lock().await;
        while driver.join_next().await.is_some() {}
    }
}

impl Builder {
    /// Connects, trying every broker once, each within its time limit.
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`]; what is wrong with the settings is `INVALID_ARGUMENT`, all of it in one line.
    pub async fn connect(self) -> Result<Client, Status> {
        Ok(Client::open(self.settings()?).await?)
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Self::new(error.code(), error.message)
    }
}
