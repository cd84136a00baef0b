//! What this process got from whoever started it and can no longer be seen later: which of the three standard
//! descriptors were open.
//!
//! Before `main`, Rust's runtime opens /dev/null in the place of each closed descriptor. That cannot be told
//! from a /dev/null that somebody chose, so the descriptors are looked at earlier.

use rustix::io::{Errno, fcntl_getfd};
use rustix::stdio::{stderr, stdin, stdout};
use std::sync::atomic::{AtomicBool, Ordering};

/// Which of the descriptors 0, 1 and 2 were closed.
static CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Runs before `main`, where nothing of the standard library may be relied on: system calls without it, and
/// atomics, nothing else.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_descriptors_are_open() {
        for descriptor in 0..5 {
            assert!(!was_closed(descriptor), "{descriptor}");
        }
    }
}
