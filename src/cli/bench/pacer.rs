//! Waits until an instant, accurate to microseconds: tokio's timers have a resolution of a millisecond, which would be
//! added to the latencies of an open loop.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The shortest wait. At higher rates, several requests are sent at once.
const MIN_WAIT: Duration = Duration::from_micros(50);

/// A kernel timer.
#[derive(Debug)]
pub(super) struct Pacer {
    timer: AsyncFd<OwnedFd>,
    armed: Option<Instant>,
}

impl Pacer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "for types that could lose their descriptor, which an OwnedFd cannot; what replaces it is unsafe"
        )]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer, armed: None })
    }

    /// Waits until `moment`; it is `now`. If dropped, the wait continues with the next call for the same moment.
    pub(super) async fn until(&mut self, moment: Instant, now: Instant) -> io::Result<()> {
        if self.armed != Some(moment) {
            let left = moment.saturating_duration_since(now).max(MIN_WAIT);
            let once = Itimerspec {
                it_interval: Timespec::default(),
                it_value: left.try_into().map_err(io::Error::other)?,
            };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
            self.armed = Some(moment);
        }
        loop {
            let mut ready = self.timer.readable().await?;
            let expired = ready.try_io(|timer| Ok(rustix::io::read(timer, &mut [0_u8; 8])?));
            // Otherwise it was ready for an earlier moment, which was read or abandoned.
            if let Ok(expired) = expired {
                self.armed = None;
                return expired.map(drop);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn waits_end_and_can_be_abandoned() {
        let mut pacer = Pacer::new().unwrap();
        let now = Instant::now();
        let (soon, late) = (
            now + Duration::from_millis(5),
            now + Duration::from_secs(3600),
        );
        for moment in [now, soon, soon, now] {
            pacer.until(moment, now).await.unwrap();
        }
        // An abandoned moment neither delays the wait for another nor ends it.
        assert!(pacer.until(late, now).now_or_never().is_none());
        pacer.until(soon, now).await.unwrap();
        assert!(pacer.until(soon, now).now_or_never().is_none());
        let _ = pacer.timer.readable().await.unwrap();
        assert!(pacer.until(late, now).now_or_never().is_none());
    }
}
