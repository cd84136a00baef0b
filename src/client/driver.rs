//! The task behind a [`Client`](super::Client): owns the connection and all calls that wait.
//!
//! One loop takes what comes next: a question, something from the broker, or a deadline. A question
//! is *held* until the queue is known to have a server, *asked* once it was published, and *parked*
//! where it came back and the client was told to wait. Whatever happens, each call is answered once,
//! by its deadline.

mod deadlines;
mod events;

use super::call::{Call, Command, Question, Stage};
use super::failure;
use super::link::Link;
use super::pending::Pending;
use super::presence::{AGREE, Look};
use super::session::REPLY_TO;
use super::{Counters, Settings, State};
use crate::broker::Error;
use crate::broker::clock::unix_ms;
use crate::protocol::{Status, request};
use futures_util::future::BoxFuture;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

/// As many commands and events as are taken before the callers get their turn.
const BATCH: usize = 256;

/// A time, and the reading of what has arrived by then.
type Judging = Option<(Instant, BoxFuture<'static, ()>)>;

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
    link: Link,
    calls: Pending<Call>,
    known: Option<Known>,
    /// What spoke against asking last, and when; nothing once a reply has come.
    doubt: Option<(Instant, Status)>,
    /// Until when a missing queue or server is waited for, since a reconnect has just shown that the
    /// broker was away: servers need time to come back, too.
    patient_until: Option<Instant>,
    /// When parked calls are asked again.
    ask_parked_at: Option<Instant>,
    /// When calls are held no longer without a look for another broker.
    look_elsewhere_at: Option<Instant>,
    /// When a connection on which the broker takes nothing is left for a new one.
    renew_at: Option<Instant>,
    /// Since when the broker has taken nothing, on one connection after the other.
    refused_since: Option<Instant>,
    /// When it is to be seen whether the broker confirms.
    look_at_confirms_at: Option<Instant>,
    /// Calls due at this time are judged late once all that has arrived was read.
    judging: Judging,
}

impl Driver {
    /// Connects, trying each URL once; where the settings say to wait, [`Driver::run`] connects and goes on trying.
    pub(super) async fn connect(
        settings: Settings,
        commands: mpsc::Receiver<Command>,
        counters: Arc<Counters>,
        state: watch::Sender<State>,
    ) -> Result<Self, Error> {
        let settings = Arc::new(settings);
        let (link, look) = if settings.wait_for_server {
            (Link::connecting(Arc::clone(&settings)), None)
        } else {
            Link::connect(Arc::clone(&settings)).await?
        };
        let mut driver = Self {
            settings,
            commands,
            counters,
            state,
            link,
            calls: Pending::new(),
            known: None,
            doubt: None,
            patient_until: None,
            ask_parked_at: None,
            look_elsewhere_at: None,
            renew_at: None,
            refused_since: None,
            look_at_confirms_at: None,
            judging: None,
        };
        if driver.link.session().is_none() {
            let silent = format!("{} did not answer", driver.link.addresses());
            driver.state.send_replace(State::Connecting(silent));
        }
        if let Some(Look { seen, .. }) = look.filter(|look| !look.is_doubtful()) {
            driver.learn(failure::verdict(&driver.settings.queue, seen));
        }
        Ok(driver)
    }

    /// Serves the client until it is closed or dropped.
    pub(super) async fn run(mut self) {
        let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
        let mut set = None;
        loop {
            let due = self.due();
            // Set for the most urgent, and left there when that was answered: a timer for each call would
            // cost more than all else here.
            if let Some(due) = due
                && set.is_none_or(|set| due < set)
            {
                alarm.as_mut().reset(due.into());
                set = Some(due);
            }
            let (mut command, mut read_up_to) = (None, None);
            tokio::select! {
                event = self.link.event() => self.linked(event),
                received = self.commands.recv() => command = Some(received.unwrap_or(Command::Close)),
                () = &mut alarm, if set.is_some() => {
                    set = None;
                    self.timed(Instant::now());
                }
                now = read_up(&mut self.judging) => read_up_to = Some(now),
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
                            number: 0,
                            exposed: 0,
                        };
                        self.accept(deadline, call);
                    }
                    Some(Command::Close) => return self.close().await,
                    None => break,
                }
            }
            for _ in 0..if read_up_to.is_some() {
                usize::MAX
            } else {
                BATCH
            } {
                match self.link.try_event() {
                    Some(event) => self.happened(event),
                    None => break,
                }
            }
            if let Some(now) = read_up_to {
                self.expire(now);
            }
            tokio::task::consume_budget().await;
        }
    }

    async fn close(mut self) {
        self.end_all(&failure::closed(), |_| true);
        // A broker that takes no requests does not hear the goodbye either.
        let hears = !matches!(*self.state.borrow(), State::Blocked(_));
        self.link.close(hears).await;
    }

    /// Takes a question in: asks it, holds it, or says at once that nobody is there.
    fn accept(&mut self, deadline: Instant, call: Call) {
        let now = Instant::now();
        let id = Uuid::new_v4();
        if self.link.session().is_none() {
            self.calls.insert(id, deadline, call);
            return;
        }
        let patient = self.patient(now);
        match self.known.as_ref().filter(|known| now < known.until) {
            Some(known) if let Err(status) = &known.verdict => call.fail(status),
            known => {
                let is_known = known.is_some();
                // Whoever waits anyhow need not know, unless there is another broker to go to.
                if !is_known && (!patient || self.link.has_alternatives()) {
                    self.check(now);
                }
                self.calls.insert(id, deadline, call);
                if is_known || patient {
                    self.ask(id, now);
                } else if self.link.has_alternatives() {
                    self.look_elsewhere_at.get_or_insert(now + AGREE);
                }
            }
        }
    }

    /// Begins to look whether somebody is there.
    fn check(&mut self, now: Instant) {
        let agree = self.agree(now);
        if let Some(session) = self.link.session() {
            session.check(&self.settings.queue, agree);
        }
    }

    /// For how long looks have to agree: not at all, where they have just done so.
    fn agree(&self, now: Instant) -> Duration {
        match &self.doubt {
            Some((at, _)) if now - *at < AGREE => Duration::ZERO,
            _ => AGREE,
        }
    }

    /// Publishes one call, for the first time or again.
    fn ask(&mut self, id: Uuid, now: Instant) {
        let watch_confirms = self.link.has_alternatives() && !self.settings.plain;
        let Some(session) = self.link.session() else {
            return;
        };
        let Some((deadline, call)) = self.calls.get_mut(id) else {
            return;
        };
        let left = deadline.saturating_duration_since(now);
        let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        let deadline_ms = unix_ms().saturating_add_unsigned(left_ms);
        let mut text = Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text).as_bytes();
        let message = match &call.question {
            Question::Number(n) if self.settings.plain => request::write_plain(n, text, REPLY_TO),
            question => question.message(text, left_ms, deadline_ms),
        };
        match session.publish(id, &self.settings.queue, &message) {
            Ok(number) => {
                call.stage = Stage::Asked(now);
                call.number = number;
                call.exposed += 1;
                count(&self.counters.asked);
                if watch_confirms {
                    self.look_at_confirms_at
                        .get_or_insert(now + deadlines::UNCONFIRMED);
                }
            }
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
            call.fail(status);
        }
    }

    /// Whether a missing queue or server is waited for.
    fn patient(&self, now: Instant) -> bool {
        self.settings.wait_for_server || self.patient_until.is_some_and(|until| now < until)
    }
}

/// Pends where nothing is to be judged.
async fn read_up(judging: &mut Judging) -> Instant {
    let now = match judging {
        Some((now, read)) => {
            read.await;
            *now
        }
        None => std::future::pending().await,
    };
    *judging = None;
    now
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
