//! The task behind a [`Client`](super::Client): owns the connection and all calls that wait.
//!
//! One loop takes what comes next: a question, something from the broker, or a deadline. A question
//! is *held* until the queue is known to have a server, *asked* once it was published, and *parked*
//! where it came back and the client was told to wait. Whatever happens, each call is answered once,
//! by its deadline.

use super::call::{Call, Command, Question, Stage};
use super::failure;
use super::pending::Pending;
use super::session::{Event, REPLY_TO, Session};
use super::{Counters, Settings, State};
use crate::broker::backoff::Backoff;
use crate::broker::endpoint::Endpoints;
use crate::broker::{Error, QueueStatus, Returned};
use crate::config::Reconnect;
use crate::protocol::{Code, Message, Status, request};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// How long a sign of a server (a reply, a consumer on the queue) counts as proof that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// How long the word that nobody is there counts.
const BAD_NEWS: Duration = Duration::from_millis(100);

/// The longest pause between attempts to connect, whatever is configured: calls wait for seconds.
const PAUSE: Duration = Duration::from_secs(1);

/// How often a client that waits for a queue asks again.
const PARKED: Duration = Duration::from_millis(250);

/// As many commands and events as are taken before the callers get their turn.
const BATCH: usize = 256;

type Opened = Result<(Box<Session>, Option<Result<QueueStatus, Error>>), Error>;

/// The connection, or the attempt to get one.
enum Link {
    Up(Box<Session>),
    Down(Pin<Box<dyn Future<Output = Opened> + Send>>),
}

enum LinkEvent {
    Session(Event),
    Opened(Opened),
}

impl Link {
    async fn event(&mut self) -> LinkEvent {
        match self {
            Self::Up(session) => LinkEvent::Session(session.event().await),
            Self::Down(attempt) => LinkEvent::Opened(attempt.await),
        }
    }

    fn try_event(&mut self) -> Option<Event> {
        match self {
            Self::Up(session) => session.try_event(),
            Self::Down(_) => None,
        }
    }
}

/// What is known about servers on the queue, and for how long that is good enough.
struct Known {
    until: Instant,
    verdict: Result<(), Status>,
}

/// See the module.
pub(super) struct Driver {
    settings: Arc<Settings>,
    commands: mpsc::Receiver<Command>,
    counters: Arc<Counters>,
    state: watch::Sender<State>,
    endpoints: Endpoints,
    backoff: Backoff,
    link: Link,
    calls: Pending<Call>,
    known: Option<Known>,
    /// Until when a missing queue or server is waited for, since a reconnect has just shown that the
    /// broker was away: servers need time to come back, too.
    patient_until: Option<Instant>,
    /// When parked calls are asked again.
    ask_parked_at: Option<Instant>,
}

impl Driver {
    /// Connects, trying each URL once; where the settings say to wait, [`Driver::run`] goes on trying.
    pub(super) async fn connect(
        settings: Settings,
        commands: mpsc::Receiver<Command>,
        counters: Arc<Counters>,
        state: watch::Sender<State>,
    ) -> Result<Self, Status> {
        let mut endpoints = Endpoints::new(&settings.broker.url);
        let check = !settings.wait_for_server;
        let opened = endpoints.first(async |url| Session::open(url, &settings, check).await);
        let (link, seen) = match opened.await {
            Ok((session, seen)) => (Link::Up(session), seen),
            Err(error) if settings.wait_for_server && !error.needs_operator() => {
                (Link::Down(Box::pin(async { Err(error) })), None)
            }
            Err(error) => return Err(error.into()),
        };
        let reconnect = settings.broker.reconnect;
        let mut driver = Self {
            settings: Arc::new(settings),
            commands,
            counters,
            state,
            endpoints,
            backoff: Backoff::new(reconnect.initial, reconnect.max.min(PAUSE)),
            link,
            calls: Pending::new(),
            known: None,
            patient_until: None,
            ask_parked_at: None,
        };
        if let Some(seen) = seen {
            driver.checked(seen);
        }
        Ok(driver)
    }

    /// Serves the client until it is closed or dropped.
    pub(super) async fn run(mut self) {
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        let mut set = None;
        loop {
            let due = [self.calls.next_deadline(), self.ask_parked_at];
            let due = due.into_iter().flatten().min();
            // Set for the most urgent, and left there when that was answered: a timer for each call would
            // cost more than all else here.
            if let Some(due) = due
                && set.is_none_or(|set| due < set)
            {
                alarm.as_mut().reset(due.into());
                set = Some(due);
            }
            let mut command = None;
            tokio::select! {
                event = self.link.event() => self.linked(event),
                received = self.commands.recv() => command = Some(received.unwrap_or(Command::Close)),
                () = &mut alarm, if set.is_some() => {
                    set = None;
                    self.timed(Instant::now());
                }
            }
            // All that is there already is taken in one go, up to a measure.
            for _ in 0..BATCH {
                match command.take().or_else(|| self.commands.try_recv().ok()) {
                    Some(Command::Ask {
                        question,
                        timeout,
                        deadline,
                        answer,
                    }) => {
                        let call = Call {
                            question,
                            timeout,
                            answer,
                            stage: Stage::Held,
                        };
                        self.accept(deadline, call);
                    }
                    Some(Command::Close) => return self.close().await,
                    None => break,
                }
            }
            for _ in 0..BATCH {
                match self.link.try_event() {
                    Some(event) => self.happened(event),
                    None => break,
                }
            }
            tokio::task::consume_budget().await;
        }
    }

    async fn close(mut self) {
        self.end_all(
            &Status::new(Code::Unavailable, "the client was closed"),
            |_| true,
        );
        if let Link::Up(session) = self.link {
            if matches!(*self.state.borrow(), State::Blocked(_)) {
                session.kill(); // the broker would not hear the goodbye
            } else {
                session.close().await;
            }
        }
    }

    fn linked(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Session(event) => self.happened(event),
            LinkEvent::Opened(opened) => self.opened(opened),
        }
    }

    /// Takes a question in: asks it, holds it, or says at once that nobody is there.
    fn accept(&mut self, deadline: Instant, call: Call) {
        let now = Instant::now();
        let id = Uuid::new_v4();
        let patient = self.patient(now);
        let known = self.known.as_ref().filter(|known| now < known.until);
        match (&mut self.link, known) {
            (
                Link::Up(_),
                Some(Known {
                    verdict: Err(status),
                    ..
                }),
            ) => {
                call.end(Err(status.clone()));
            }
            (Link::Up(session), known) => {
                let ask = known.is_some() || patient;
                if !ask {
                    session.check(&self.settings.queue);
                }
                self.calls.insert(id, deadline, call);
                if ask {
                    self.ask(id, now);
                }
            }
            (Link::Down(_), _) => {
                self.calls.insert(id, deadline, call);
            }
        }
    }

    /// Publishes one call, for the first time or again.
    fn ask(&mut self, id: Uuid, now: Instant) {
        let Link::Up(session) = &mut self.link else {
            return;
        };
        let Some((deadline, call)) = self.calls.get_mut(id) else {
            return;
        };
        let left = deadline.saturating_duration_since(now);
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            + left;
        let deadline_ms = i64::try_from(unix.as_millis()).unwrap_or(i64::MAX);
        let mut text = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text).as_bytes();
        let message = match &call.question {
            Question::Number(n) if self.settings.plain => request::write_plain(n, text, REPLY_TO),
            question => question.message(text, left_ms, deadline_ms),
        };
        call.stage = Stage::Asked(now);
        match session.publish(id, &self.settings.queue, &message) {
            Ok(()) => count(&self.counters.asked),
            Err(error) => self.end(id, &error.into()),
        }
    }

    fn ask_all(&mut self, which: impl Fn(&Call) -> bool) {
        let now = Instant::now();
        for id in self.calls.ids(which) {
            self.ask(id, now);
        }
    }

    fn end_all(&mut self, status: &Status, which: impl Fn(&Call) -> bool) {
        for id in self.calls.ids(which) {
            self.end(id, status);
        }
    }

    fn end(&mut self, id: Uuid, status: &Status) {
        if let Some(call) = self.calls.remove(id) {
            call.end(Err(status.clone()));
        }
    }

    fn happened(&mut self, event: Event) {
        match event {
            Event::Reply(message) => self.reply(message),
            Event::Refused(id) => self.end(id, &failure::refused(&self.settings.queue)),
            Event::Returned(returned) => self.returned(&returned),
            Event::Checked(seen) => {
                self.checked(seen);
                match self.known.as_ref().map(|known| known.verdict.clone()) {
                    Some(Err(status)) => self.end_all(&status, |call| call.stage == Stage::Held),
                    _ => self.ask_all(|call| call.stage == Stage::Held),
                }
            }
            Event::Blocked(reason) => {
                tracing::warn!(reason, "blocked by the broker");
                self.state.send_replace(State::Blocked(reason));
            }
            Event::Unblocked => {
                tracing::info!("the broker reads again");
                self.state.send_replace(State::Ready);
            }
            Event::Lost(error) => self.lost(&error),
        }
    }

    fn reply(&mut self, message: Message) {
        let properties = &message.properties;
        let id = properties.correlation_id.as_deref().and_then(parse);
        let Some(call) = id.and_then(|id| self.calls.remove(id)) else {
            tracing::debug!(?id, "a reply that nobody waits for");
            return count(&self.counters.unexpected);
        };
        let now = Instant::now();
        let since = match call.stage {
            Stage::Asked(at) => now.saturating_duration_since(at),
            Stage::Held | Stage::Parked => Duration::ZERO,
        };
        count(&self.counters.answered);
        self.backoff.reset();
        self.known = Some(Known {
            until: now + SIGN_OF_LIFE,
            verdict: Ok(()),
        });
        call.end(Ok((message, since)));
    }

    /// A request came back: there is no such queue.
    fn returned(&mut self, returned: &Returned) {
        count(&self.counters.returned);
        tracing::debug!(
            queue = returned.routing_key,
            "a request came back: no such queue"
        );
        let Some(id) = returned.correlation_id.as_deref().and_then(parse) else {
            return;
        };
        let now = Instant::now();
        if !self.patient(now) {
            return self.end(id, &failure::no_queue(&self.settings.queue));
        }
        if let Some((_, call)) = self.calls.get_mut(id) {
            call.stage = Stage::Parked;
            self.ask_parked_at.get_or_insert(now + PARKED);
        }
    }

    /// Learns from a look at the queue. Only what is certain counts against asking.
    fn checked(&mut self, seen: Result<QueueStatus, Error>) {
        let verdict = failure::verdict(&self.settings.queue, seen);
        let good_for = if verdict.is_ok() {
            SIGN_OF_LIFE
        } else {
            BAD_NEWS
        };
        self.known = Some(Known {
            until: Instant::now() + good_for,
            verdict,
        });
    }

    /// Whether a missing queue or server is waited for.
    fn patient(&self, now: Instant) -> bool {
        self.settings.wait_for_server || self.patient_until.is_some_and(|until| now < until)
    }

    fn lost(&mut self, error: &Error) {
        count(&self.counters.lost);
        if let Link::Up(session) = self.reconnect(error) {
            session.kill();
        }
    }

    fn opened(&mut self, opened: Opened) {
        match opened {
            Ok((session, _)) => {
                tracing::info!("connected");
                self.link = Link::Up(session);
                self.state.send_replace(State::Ready);
                self.known = None;
                self.patient_until = Some(Instant::now() + self.settings.broker.reconnect.max);
                self.ask_all(|_| true);
            }
            Err(error) => {
                self.reconnect(&error);
            }
        }
    }

    /// Starts the next attempt to connect; gives back what was there instead.
    fn reconnect(&mut self, error: &Error) -> Link {
        let delay = if error.needs_operator() {
            self.end_all(&error.clone().into(), |_| true);
            let Reconnect { initial, max } = self.settings.broker.reconnect;
            Backoff::new(initial, max).slowest()
        } else if self.endpoints.at_start_of_round() {
            self.backoff.next_delay()
        } else {
            Duration::ZERO
        };
        tracing::warn!(%error, ?delay, "no connection");
        self.state
            .send_replace(State::Connecting(error.message.clone()));
        let url = self.endpoints.next_url();
        let settings = Arc::clone(&self.settings);
        let attempt = async move {
            tokio::time::sleep(delay).await;
            Session::open(url, &settings, false).await
        };
        std::mem::replace(&mut self.link, Link::Down(Box::pin(attempt)))
    }

    /// Does what is due.
    fn timed(&mut self, now: Instant) {
        if self.ask_parked_at.is_some_and(|at| at <= now) {
            self.ask_parked_at = None;
            self.ask_all(|call| call.stage == Stage::Parked);
        }
        while let Some(call) = self.calls.pop_expired(now) {
            let status = failure::too_late(
                &self.settings.queue,
                call.timeout,
                &self.state.borrow(),
                call.stage,
            );
            call.end(Err(status));
        }
    }
}

fn parse(id: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(id).ok()
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
