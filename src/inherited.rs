//! What this process inherited and cannot find out later: which of the three standard descriptors were open, and which
//! signals are ignored.
//!
//! Before `main`, Rust's runtime opens /dev/null in place of each closed descriptor. That cannot be distinguished from a
//! /dev/null chosen by the user, so the descriptors are checked earlier.

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// Which of the descriptors 0, 1 and 2 were closed.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Runs before `main`, where the standard library cannot be relied on: only direct system calls and atomics.
#[ctor::ctor]
fn look() {
    for (closed, descriptor) in CLOSED.iter().zip([stdin(), stdout(), stderr()]) {
        let is_closed = fcntl_getfd(descriptor) == Err(Errno::BADF);
        closed.store(is_closed, Ordering::Relaxed);
    }
}

/// Whether this descriptor was closed when the process started. False for all but the standard three.
pub(crate) fn was_closed(descriptor: usize) -> bool {
    let closed = CLOSED.get(descriptor);
    closed.is_some_and(|closed| closed.load(Ordering::Relaxed))
}

/// The ignored signals: by `nohup`, by `trap ''`, and SIGINT in background jobs of a script. To be read before any of
/// them is caught.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ignored {
    /// The lowest bit is signal 1.
    mask: u64,
}

impl Ignored {
    /// As they are now; none if that cannot be read.
    pub(crate) fn now() -> Self {
        Self::of(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    /// As `/proc/PID/status` has them.
    fn of(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Self {
            mask: mask.unwrap_or(0),
        }
    }

    /// Whether this signal is one of them.
    pub(crate) fn has(self, signal: i32) -> bool {
        (1..=64).contains(&signal) && self.mask >> (signal - 1) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status =
            "Name:\tfibrpc\nSigBlk:\t0000000000004002\nSigIgn:\t8000000000001002\nSigCgt:\t0\n";
        let ignored = Ignored::of(status);
        let signals: Vec<i32> = (-1..70).filter(|signal| ignored.has(*signal)).collect();
        assert_eq!(signals, [2, 13, 64]);
        for nothing in ["", "SigIgn:\tnonsense\n", "SigIgn:"] {
            assert!(!Ignored::of(nothing).has(13), "{nothing:?}");
        }
        // Rust's runtime ignores SIGPIPE.
        assert!(Ignored::now().has(13));
    }

    #[test]
    fn open_descriptors_are_open() {
        for descriptor in 0..5 {
            assert!(!was_closed(descriptor), "{descriptor}");
        }
    }
}
