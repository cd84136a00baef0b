//! Notifications to systemd: readiness, STATUS, reload, stop, and the watchdog.
//!
//! [`Notify::update`] is called at each event and at least once per second, and sends what has changed, so that STATUS is
//! never older than that. Without `NOTIFY_SOCKET` nothing is sent.

use super::watchdog::Watchdog;
use crate::server::{Counters, ServerState};
use crate::telemetry::progress::Beats;
use crate::telemetry::status::status_line;
use crate::text::{MAX_LINE, excerpt, safe};
use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// `TimeoutStopSec=` of the unit that is shipped.
pub(super) const UNIT_STOP_TIMEOUT: Duration = Duration::from_secs(45);

/// Maximum time from the end of the drain to the exit: acks that the queue has to take (up to 6 s), closes, the last log lines.
const AFTER_DRAIN: Duration = Duration::from_secs(10);

/// What systemd knows about this process.
pub(super) struct Notify {
    began: Instant,
    /// How long readiness waits for the broker.
    ready_timeout: Duration,
    ready: bool,
    stopping: bool,
    status: String,
    /// Why the last reload was refused; stays in STATUS until one succeeds.
    refused: Option<String>,
    /// Why there is no telemetry, although it is configured; in STATUS as well.
    unavailable: Option<String>,
    watchdog: Option<Watchdog>,
    broken: bool,
}

impl Notify {
    /// Starts at `now`, with the watchdog limit from the environment.
    pub(super) fn new(ready_timeout: Duration, now: Instant) -> Self {
        Self {
            began: now,
            ready_timeout,
            ready: false,
            stopping: false,
            status: String::new(),
            refused: None,
            unavailable: None,
            watchdog: sd_notify::watchdog_enabled().map(|limit| Watchdog::new(limit, now)),
            broken: false,
        }
    }

    /// How often to call [`Self::update`] at least.
    pub(super) fn interval(&self) -> Duration {
        let second = Duration::from_secs(1);
        match &self.watchdog {
            Some(watchdog) => watchdog.interval().clamp(Duration::from_millis(10), second),
            None => second,
        }
    }

    /// Sends what has changed, and feeds the watchdog if that is due and justified.
    pub(super) fn update(&mut self, state: &ServerState, counters: &Counters, now: Instant) {
        let due = self.due(state, counters, now);
        self.send(&due);
    }

    /// A reload begins. [`Self::reloaded`] must follow in any case.
    pub(super) fn reloading(&mut self) {
        // Before READY, the READY at the end of the reload would come too early.
        if !self.ready {
            return;
        }
        // One datagram for both: newer versions of systemd match the READY with this reload by the time.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading.to_string(), now.to_string()]),
            Err(error) => tracing::warn!("cannot notify systemd of the reload: {error}"),
        }
    }

    /// Changes how long readiness waits for the broker.
    pub(super) fn ready_within(&mut self, ready_timeout: Duration) {
        self.ready_timeout = ready_timeout;
    }

    /// A reload is over: refused for this reason, or applied.
    pub(super) fn reloaded(&mut self, refused: Option<&str>) {
        self.refused = refused.map(|why| safe(why).into_owned());
        if self.ready {
            self.send(&[NotifyState::Ready.to_string()]);
        }
    }

    /// Why there is no telemetry, although it is configured.
    pub(super) fn telemetry(&mut self, unavailable: Option<String>) {
        self.unavailable = unavailable;
    }

    /// The daemon stops, within `drain_timeout` and a little more.
    pub(super) fn stopping(&mut self, drain_timeout: Duration) {
        self.stopping = true;
        self.send(&stopping(drain_timeout));
    }

    /// The notifications that are due.
    fn due(&mut self, state: &ServerState, counters: &Counters, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        let serving = matches!(
            state,
            ServerState::Consuming { .. } | ServerState::Blocked { .. }
        );
        let late = now >= self.began + self.ready_timeout;
        if !self.ready && !self.stopping && (serving || late) {
            self.ready = true;
            due.push(NotifyState::Ready.to_string());
        }
        let mut status = status_line(state, counters, now);
        if let Some(problem) = &self.refused {
            status = format!("{status}; reload refused: {problem}");
        }
        if let Some(problem) = &self.unavailable {
            status = format!("{status}; no telemetry: {problem}");
        }
        // systemd ignores more than 4096 bytes.
        let status = excerpt(&status, MAX_LINE).into_owned();
        if status != self.status {
            due.push(NotifyState::Status(&status).to_string());
            self.status = status;
        }
        if let Some(watchdog) = &mut self.watchdog
            && watchdog.is_due(Beats::of(counters), now)
        {
            due.push(NotifyState::Watchdog.to_string());
        }
        due
    }

    /// Sends assignments in one datagram. A failure is reported once, since it will persist.
    fn send(&mut self, assignments: &[String]) {
        if assignments.is_empty() {
            return;
        }
        let datagram = assignments.join("\n");
        if let Err(error) = sd_notify::notify(&[NotifyState::Custom(&datagram)])
            && !std::mem::replace(&mut self.broken, true)
        {
            tracing::warn!("cannot reach systemd at NOTIFY_SOCKET: {error}");
        }
    }
}

/// The announcement of a stop. Requests more time only if the drain may outlast the unit's limit, for operators who have
/// only increased `drain_timeout`.
fn stopping(drain_timeout: Duration) -> Vec<String> {
    let mut assignments = vec![NotifyState::Stopping.to_string()];
    let longest = drain_timeout + AFTER_DRAIN;
    if longest > UNIT_STOP_TIMEOUT {
        assignments.push(format!("EXTEND_TIMEOUT_USEC={}", longest.as_micros()));
    }
    assignments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notify(watchdog: Option<Duration>, now: Instant) -> Notify {
        Notify {
            watchdog: watchdog.map(|limit| Watchdog::new(limit, now)),
            ..Notify::new(Duration::from_secs(10), now)
        }
    }

    fn consuming() -> ServerState {
        ServerState::Consuming {
            endpoint: "mq1:5672".into(),
            queue: "q".into(),
            unopened: None,
        }
    }

    #[test]
    fn ready_once_consuming_and_status_when_it_changes() {
        let now = Instant::now();
        let counters = Counters::default();
        let mut notify = notify(None, now);
        assert_eq!(
            notify.due(&ServerState::Starting, &counters, now),
            ["STATUS=starting"]
        );
        assert!(
            notify
                .due(&ServerState::Starting, &counters, now)
                .is_empty()
        );
        assert_eq!(
            notify.due(&consuming(), &counters, now),
            ["READY=1", "STATUS=consuming q on mq1:5672, 0 in flight"]
        );
        Counters::add(&counters.in_flight);
        assert_eq!(
            notify.due(&consuming(), &counters, now),
            ["STATUS=consuming q on mq1:5672, 1 in flight"]
        );
        assert!(notify.due(&consuming(), &counters, now).is_empty());
    }

    #[test]
    fn ready_without_a_broker_after_a_while_but_not_while_stopping() {
        let now = Instant::now();
        let counters = Counters::default();
        let waiting = ServerState::Connecting {
            endpoint: "mq1:5672".into(),
            attempt: 3,
        };
        let late = now + Duration::from_secs(10);
        let mut patient = notify(None, now);
        patient.due(&waiting, &counters, now);
        let early = now + Duration::from_millis(9_999);
        assert!(patient.due(&waiting, &counters, early).is_empty());
        patient.ready_within(Duration::from_secs(11));
        assert!(patient.due(&waiting, &counters, late).is_empty());
        patient.ready_within(Duration::from_secs(10));
        assert_eq!(patient.due(&waiting, &counters, late), ["READY=1"]);
        assert!(patient.due(&waiting, &counters, late).is_empty());
        let mut leaving = notify(None, now);
        leaving.due(&waiting, &counters, now);
        leaving.stopping(Duration::ZERO);
        assert!(leaving.due(&waiting, &counters, late).is_empty());
    }

    #[test]
    fn a_refused_reload_stays_in_status_until_one_succeeds() {
        let now = Instant::now();
        let counters = Counters::default();
        let mut notify = notify(None, now);
        notify.due(&consuming(), &counters, now);
        notify.reloaded(Some("bad\nREADY=1"));
        assert_eq!(
            notify.due(&consuming(), &counters, now),
            [r"STATUS=consuming q on mq1:5672, 0 in flight; reload refused: bad\nREADY=1"]
        );
        notify.reloaded(None);
        assert_eq!(
            notify.due(&consuming(), &counters, now),
            ["STATUS=consuming q on mq1:5672, 0 in flight"]
        );
    }

    #[test]
    fn the_watchdog_is_fed_only_while_there_are_beats() {
        let start = Instant::now();
        let counters = Counters::default();
        let mut notify = notify(Some(Duration::from_secs(6)), start);
        assert_eq!(notify.interval(), Duration::from_secs(1));
        notify.due(&consuming(), &counters, start);
        let mut fed = Vec::new();
        for second in 1..12 {
            match second {
                4 => Counters::add(&counters.loop_beats),
                5 => Counters::add(&counters.pool_beats),
                _ => {}
            }
            let now = start + Duration::from_secs(second);
            let due = notify.due(&consuming(), &counters, now);
            fed.extend(due.into_iter().map(|line| (second, line)));
        }
        assert_eq!(fed, [(5, "WATCHDOG=1".to_owned())]);
    }

    #[test]
    fn more_time_is_requested_only_if_the_unit_allows_less() {
        for (drain, expect) in [
            (0, &["STOPPING=1"][..]),
            (30, &["STOPPING=1"]),
            (35, &["STOPPING=1"]),
            (36, &["STOPPING=1", "EXTEND_TIMEOUT_USEC=46000000"]),
            (7200, &["STOPPING=1", "EXTEND_TIMEOUT_USEC=7210000000"]),
        ] {
            assert_eq!(stopping(Duration::from_secs(drain)), expect);
        }
    }
}
