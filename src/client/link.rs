//! The client's connection: the session, or the attempt to get one, and the search for a broker that serves the queue
//! where the present one does not.
//!
//! Owns the session, the choice of the broker and the backoff. Promises that there is always a session or an attempt,
//! and that a session is given up only when it is lost or another one has been found to be better.

use super::Settings;
use super::failure;
use super::presence::{self, Look};
use super::session::{Event, Session};
use crate::broker::backoff::Backoff;
use crate::broker::endpoint::Endpoints;
use crate::broker::{Error, Kind};
use crate::config::{BrokerUrl, Reconnect};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest pause between attempts to connect while calls wait, whatever is configured: they wait for seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// The shortest time from one search to the next: each asks all other brokers.
const SEARCH_PAUSE: Duration = Duration::from_secs(2);

/// For how long a broker has to refuse the client before it is believed: what an operator changes is often in order
/// again a moment later.
const REFUSALS: Duration = presence::AGREE;

type Opened = (Endpoints, Result<Box<Session>, Error>);
type Attempt = Pin<Box<dyn Future<Output = Opened> + Send>>;

/// Something that happened to the connection.
pub(super) enum LinkEvent {
    /// To the session.
    Session(Event),
    /// There is a session again.
    Connected,
    /// An attempt to connect has failed.
    Failed(Error),
    /// Another broker serves the queue: the session is one with that broker now.
    Moved,
    /// No other broker serves the queue.
    NotFound,
}

/// See the module.
pub(super) struct Link {
    settings: Arc<Settings>,
    endpoints: Endpoints,
    backoff: Backoff,
    session: Option<Box<Session>>,
    /// To connect, while there is no session.
    attempt: Option<Attempt>,
    /// For another broker, while there is one.
    search: Option<Attempt>,
    search_after: Option<Instant>,
    refused_since: Option<Instant>,
}

impl Link {
    /// Connects to the first broker that answers; what a look at the queue has shown there.
    pub(super) async fn connect(settings: Arc<Settings>) -> Result<(Self, Option<Look>), Error> {
        let mut link = Self::new(settings);
        let settings = Arc::clone(&link.settings);
        let open = |url| Session::open(url, &settings, true);
        let (session, look) = link.endpoints.first(settings.connect_limit, open).await?;
        link.session = Some(session);
        Ok((link, look))
    }

    /// Begins to connect, and goes on until it works.
    pub(super) fn connecting(settings: Arc<Settings>) -> Self {
        let mut link = Self::new(settings);
        link.attempt = Some(link.connect_after(Duration::ZERO));
        link
    }

    fn new(settings: Arc<Settings>) -> Self {
        let Reconnect { initial, max } = settings.broker.reconnect;
        Self {
            endpoints: Endpoints::new(&settings.broker.url),
            settings,
            backoff: Backoff::new(initial, max.min(PAUSE)),
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

    /// The next thing that happens. Loses nothing when it is dropped unfinished.
    pub(super) async fn event(&mut self) -> LinkEvent {
        tokio::select! {
            biased;
            event = session_event(&mut self.session) => LinkEvent::Session(event),
            (endpoints, opened) = finish(&mut self.attempt) => {
                self.endpoints = endpoints;
                match opened {
                    Ok(session) => {
                        self.session = Some(session);
                        self.refused_since = None;
                        LinkEvent::Connected
                    }
                    Err(error) => LinkEvent::Failed(error),
                }
            }
            (endpoints, found) = finish(&mut self.search) => match found {
                Ok(session) => {
                    self.endpoints = endpoints;
                    if let Some(before) = self.session.replace(session) {
                        before.kill();
                    }
                    LinkEvent::Moved
                }
                Err(error) => {
                    tracing::debug!(%error, "no other broker serves the queue");
                    LinkEvent::NotFound
                }
            },
        }
    }

    /// What has happened on the session already.
    pub(super) fn try_event(&mut self) -> Option<Event> {
        self.session.as_mut()?.try_event()
    }

    /// A reply has come, so all is well.
    pub(super) fn reset_backoff(&mut self) {
        self.backoff.reset();
    }

    /// Gives up the session and connects anew.
    pub(super) fn lost(&mut self) {
        if let Some(session) = self.session.take() {
            session.kill();
        }
        self.search = None;
        // Others may be well.
        let delay = if self.endpoints.are_several() {
            Duration::ZERO
        } else {
            self.backoff.next_delay()
        };
        self.attempt = Some(self.connect_after(delay));
    }

    /// Tries again after a failed attempt: soon, if calls wait for it.
    pub(super) fn try_again(&mut self, error: &Error, waiting: bool) {
        let delay = if error.needs_operator() && !waiting {
            let Reconnect { initial, max } = self.settings.broker.reconnect;
            Backoff::new(initial, max).slowest()
        } else {
            self.backoff.next_delay()
        };
        self.attempt = Some(self.connect_after(delay));
    }

    /// Whether this failure to connect is one of the operator's and has lasted.
    pub(super) fn is_refused(&mut self, error: &Error) -> bool {
        if !error.needs_operator() {
            self.refused_since = None;
            return false;
        }
        let now = Instant::now();
        now - *self.refused_since.get_or_insert(now) >= REFUSALS
    }

    /// Looks for another broker that serves the queue, unless there is none to be asked or all have been asked a
    /// moment ago; whether it does.
    pub(super) fn search(&mut self, agree: Duration) -> bool {
        if self.search.is_some() {
            return true;
        }
        let now = Instant::now();
        let possible = self.endpoints.are_several() && self.session.is_some();
        if !possible || self.search_after.is_some_and(|after| now < after) {
            return false;
        }
        self.search_after = Some(now + SEARCH_PAUSE);
        let mut endpoints = self.endpoints.clone();
        let settings = Arc::clone(&self.settings);
        self.search = Some(Box::pin(async move {
            let found = endpoints.other(|url| serving(url, Arc::clone(&settings), agree));
            let found = found.await;
            (endpoints, found)
        }));
        true
    }

    /// The present broker serves the queue: no other one is needed.
    pub(super) fn stop_search(&mut self) {
        self.search = None;
    }

    /// Whether another broker could be asked.
    pub(super) fn has_alternatives(&self) -> bool {
        self.endpoints.are_several()
    }

    /// The brokers, in words.
    pub(super) fn addresses(&self) -> String {
        self.endpoints.addresses()
    }

    /// Closes the session in order, if the broker can hear that.
    pub(super) async fn close(self, hears: bool) {
        if let Some(session) = self.session {
            if hears {
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
    let (session, _) = Session::open(url, &settings, false).await?;
    Ok(session)
}

/// Connects to a broker if it serves the queue.
async fn serving(
    url: BrokerUrl,
    settings: Arc<Settings>,
    agree: Duration,
) -> Result<Box<Session>, Error> {
    let session = open(url, Arc::clone(&settings)).await?;
    let seen = presence::certain(session.channels(), settings.queue.clone(), agree, None).await;
    let seen = match seen {
        Err(error) if matches!(error.kind, Kind::Lost | Kind::Timeout | Kind::Protocol) => {
            return Err(error);
        }
        seen => seen,
    };
    match failure::verdict(&settings.queue, seen) {
        Ok(()) => Ok(session),
        Err(status) => {
            session.close().await;
            Err(Error::new(Kind::QueueDown, status.message))
        }
    }
}

async fn session_event(session: &mut Option<Box<Session>>) -> Event {
    match session {
        Some(session) => session.event().await,
        None => std::future::pending().await,
    }
}

async fn finish(slot: &mut Option<Attempt>) -> Opened {
    let opened = match slot {
        Some(attempt) => attempt.await,
        None => std::future::pending().await,
    };
    *slot = None;
    opened
}
