//! The client's connection: the session or the attempt to open one, and the search for a broker that serves the queue if the
//! present broker does not.
//!
//! Owns the session, the choice of the broker and the backoff. There is always a session or an attempt; a session is
//! replaced only if it is lost or the search has found a better one.

use super::failure;
use super::presence::{self, Check};
use super::session::{Session, SessionEvent, finish};
use super::settings::Settings;
use crate::broker::backoff::Backoff;
use crate::broker::endpoint::Endpoints;
use crate::broker::{Error, Kind};
use crate::config::{BrokerUrl, Reconnect};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest delay between attempts to connect while calls wait, whatever is configured.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// The shortest time between two searches, each of which connects to all other brokers.
const MIN_SEARCH_INTERVAL: Duration = Duration::from_secs(2);

/// For how long brokers have to refuse the client before calls fail: an operator's change is often complete a moment
/// later.
const REFUSAL_GRACE: Duration = presence::AGREEMENT;

type Attempt = BoxFuture<'static, (Endpoints, Result<Box<Session>, Error>)>;

/// An event of the connection.
#[allow(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub(super) enum ConnectorEvent {
    /// Of the session.
    Session(SessionEvent),
    /// There is a session again.
    Connected,
    /// An attempt to connect has failed.
    Failed(Error),
    /// Another broker serves this queue, and the session is now with that broker.
    Moved(Arc<str>),
    /// No other broker serves the queue that was searched for.
    NotFound,
}

/// See the module.
pub(super) struct Connector {
    settings: Arc<Settings>,
    endpoints: Endpoints,
    backoff: Backoff,
    session: Option<Box<Session>>,
    /// The attempt to connect, while there is no session.
    attempt: Option<Attempt>,
    /// The search for another broker that serves this queue, if any.
    search: Option<(Arc<str>, Attempt)>,
    search_after: Option<Instant>,
    refused_since: Option<Instant>,
}

impl Connector {
    /// Connects to the first broker that answers, and checks the queue of the settings once.
    pub(super) async fn connect(settings: Arc<Settings>) -> Result<(Self, Option<Check>), Error> {
        let mut connector = Self::new(settings);
        let settings = Arc::clone(&connector.settings);
        let open = |url| Session::open(url, &settings, settings.queue.as_ref());
        let opening = connector.endpoints.first(settings.connect_limit, open);
        let (session, check) = opening.await?;
        connector.session = Some(session);
        Ok((connector, check))
    }

    /// Starts to connect, and retries until it succeeds.
    pub(super) fn connecting(settings: Arc<Settings>) -> Self {
        let mut connector = Self::new(settings);
        connector.attempt = Some(connector.connect_after(Duration::ZERO));
        connector
    }

    fn new(settings: Arc<Settings>) -> Self {
        let Reconnect { initial, max } = settings.broker.reconnect;
        Self {
            endpoints: Endpoints::new(&settings.broker.url),
            settings,
            backoff: Backoff::new(initial, max.min(MAX_DELAY)),
            session: None,
            attempt: None,
            search: None,
            search_after: None,
            refused_since: None,
        }
    }

    /// The session, while there is one.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        self.session.as_deref_mut()
    }

    /// The next event. Cancellation safe.
    pub(super) async fn event(&mut self) -> ConnectorEvent {
        tokio::select! {
            biased;
            event = session_event(&mut self.session) => ConnectorEvent::Session(event),
            (endpoints, opened) = finish(&mut self.attempt) => {
                self.endpoints = endpoints;
                match opened {
                    Ok(session) => {
                        self.session = Some(session);
                        self.refused_since = None;
                        ConnectorEvent::Connected
                    }
                    Err(error) => ConnectorEvent::Failed(error),
                }
            }
            (queue, (endpoints, found)) = found(&mut self.search) => match found {
                Ok(session) => {
                    self.endpoints = endpoints;
                    if let Some(before) = self.session.replace(session) {
                        before.kill();
                    }
                    ConnectorEvent::Moved(queue)
                }
                Err(error) => {
                    tracing::debug!(%error, "no other broker serves the queue");
                    ConnectorEvent::NotFound
                }
            },
        }
    }

    /// The next event of the session, if it has happened already.
    pub(super) fn try_event(&mut self) -> Option<SessionEvent> {
        self.session.as_mut()?.try_event()
    }

    /// Resets the backoff after a reply.
    pub(super) fn reset_backoff(&mut self) {
        self.backoff.reset();
    }

    /// Drops the session and connects again.
    pub(super) fn reconnect(&mut self) {
        if let Some(session) = self.session.take() {
            session.kill();
        }
        self.search = None;
        // Another broker may be available at once.
        let delay = if self.endpoints.are_several() {
            Duration::ZERO
        } else {
            self.backoff.next_delay()
        };
        self.attempt = Some(self.connect_after(delay));
    }

    /// Retries after a failed attempt: soon if calls wait for it.
    pub(super) fn try_again(&mut self, error: &Error, waiting: bool) {
        let delay = if error.needs_operator() && !waiting {
            let Reconnect { initial, max } = self.settings.broker.reconnect;
            Backoff::new(initial, max).slowest()
        } else {
            self.backoff.next_delay()
        };
        self.attempt = Some(self.connect_after(delay));
    }

    /// Whether brokers have refused the client for [`REFUSAL_GRACE`], for a reason that only an operator can remove.
    pub(super) fn is_refused(&mut self, error: &Error) -> bool {
        if !error.needs_operator() {
            self.refused_since = None;
            return false;
        }
        let now = Instant::now();
        now - *self.refused_since.get_or_insert(now) >= REFUSAL_GRACE
    }

    /// Searches for another broker that serves the queue, unless there is no other or a search was started a moment ago;
    /// returns whether a search is in progress, perhaps for another queue.
    pub(super) fn search(&mut self, queue: &Arc<str>, agreement: Duration) -> bool {
        if self.search.is_some() {
            return true;
        }
        let now = Instant::now();
        let possible = self.endpoints.are_several() && self.session.is_some();
        if !possible || self.search_after.is_some_and(|after| now < after) {
            return false;
        }
        self.search_after = Some(now + MIN_SEARCH_INTERVAL);
        let mut endpoints = self.endpoints.clone();
        let settings = Arc::clone(&self.settings);
        let wanted = Arc::clone(queue);
        let search: Attempt = Box::pin(async move {
            let open =
                |url| open_if_served(url, Arc::clone(&settings), Arc::clone(&wanted), agreement);
            let found = endpoints.other(open).await;
            (endpoints, found)
        });
        self.search = Some((Arc::clone(queue), search));
        true
    }

    /// Ends the search: the present broker serves a queue. Returns whether there was one.
    pub(super) fn stop_search(&mut self) -> bool {
        self.search.take().is_some()
    }

    /// Whether there are other brokers.
    pub(super) fn has_alternatives(&self) -> bool {
        self.endpoints.are_several()
    }

    /// The brokers' addresses, in words.
    pub(super) fn addresses(&self) -> String {
        self.endpoints.addresses()
    }

    /// Closes the session, in order if the broker reads from the connection.
    pub(super) async fn close(self, reads: bool) {
        if let Some(session) = self.session {
            if reads {
                session.close().await;
            } else {
                session.kill();
            }
        }
    }

    fn connect_after(&self, delay: Duration) -> Attempt {
        let mut endpoints = self.endpoints.clone();
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            let opened = endpoints.first(None, |url| open(url, Arc::clone(&settings)));
            let opened = opened.await;
            (endpoints, opened)
        })
    }
}

async fn open(url: BrokerUrl, settings: Arc<Settings>) -> Result<Box<Session>, Error> {
    let (session, _) = Session::open(url, &settings, None).await?;
    Ok(session)
}

/// Connects to a broker, and fails unless it serves the queue.
async fn open_if_served(
    url: BrokerUrl,
    settings: Arc<Settings>,
    queue: Arc<str>,
    agreement: Duration,
) -> Result<Box<Session>, Error> {
    let session = open(url, settings).await?;
    let checking = presence::check(session.channels(), Arc::clone(&queue), agreement, None);
    let result = checking.await;
    let result = match result {
        Err(error) if matches!(error.kind, Kind::Lost | Kind::Timeout | Kind::Protocol) => {
            return Err(error);
        }
        result => result,
    };
    match failure::availability(&queue, result) {
        Ok(()) => Ok(session),
        Err(status) => {
            session.close().await;
            Err(Kind::QueueDown.error(status.message()))
        }
    }
}

/// The end of the search, for the queue that it was for; never returns if there is none. Cancellation safe.
async fn found(
    search: &mut Option<(Arc<str>, Attempt)>,
) -> (Arc<str>, (Endpoints, Result<Box<Session>, Error>)) {
    let found = match search {
        Some((queue, attempt)) => (Arc::clone(queue), attempt.await),
        None => std::future::pending().await,
    };
    *search = None;
    found
}

async fn session_event(session: &mut Option<Box<Session>>) -> SessionEvent {
    match session {
        Some(session) => session.event().await,
        None => std::future::pending().await,
    }
}
