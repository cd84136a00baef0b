//! Random ids: UUIDs (version 4) that nobody can predict, so that nobody can forge a reply to a call of someone else.
//!
//! Owns, per thread, random bytes for the next few ids: the kernel is asked once for all of them.

use rustix::rand::{GetRandomFlags, getrandom};
use std::cell::RefCell;
use uuid::{Builder, Uuid};

/// The bytes of one id.
const BYTES: usize = 16;

/// As many as `getrandom(2)` always returns at once.
const AT_ONCE: usize = 256;

/// Random bytes; those before `used` have been used.
struct Random {
    bytes: [u8; AT_ONCE],
    used: usize,
}

thread_local! {
    static RANDOM: RefCell<Random> = const {
        RefCell::new(Random { bytes: [0; AT_ONCE], used: AT_ONCE })
    };
}

/// A random id.
pub fn random_id() -> Uuid {
    let bytes = RANDOM.with_borrow_mut(Random::next);
    Builder::from_random_bytes(bytes).into_uuid()
}

impl Random {
    fn next(&mut self) -> [u8; BYTES] {
        if self.used + BYTES > AT_ONCE {
            let got = getrandom(&mut self.bytes, GetRandomFlags::empty());
            if got != Ok(AT_ONCE) {
                // A kernel or sandbox without it: ids are still distinct.
                fastrand::fill(&mut self.bytes);
            }
            self.used = 0;
        }
        let mut id = [0; BYTES];
        id.copy_from_slice(&self.bytes[self.used..self.used + BYTES]);
        self.used += BYTES;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_distinct_and_of_version_4_on_every_thread() {
        let some = || (0..3 * AT_ONCE / BYTES).map(|_| random_id());
        let other = std::thread::spawn(move || some().collect::<Vec<_>>());
        let mut ids: Vec<_> = some().collect();
        ids.extend(other.join().unwrap());
        assert!(ids.iter().all(|id| id.get_version_num() == 4));
        let distinct: BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
