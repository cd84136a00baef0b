//! Warnings that this process gives only once, although every connection finds the same cause again.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tracing::field::Empty;

/// Remembers subjects while the process runs; their number is bounded by the brokers and files in its configuration.
#[derive(Debug, Default)]
pub(crate) struct Warned(Mutex<BTreeSet<String>>);

/// The process's own memory.
pub(crate) static WARNED: Warned = Warned(Mutex::new(BTreeSet::new()));

impl Warned {
    /// Logs this warning, unless that was done before.
    pub(super) fn warn(&self, warning: &str) {
        if self.is_new(warning) {
            tracing::warn!(fibrpc_left_out = Empty, "{warning}");
        }
    }

    /// Whether there was no warning about this subject yet. From now on there was one.
    pub(crate) fn is_new(&self, subject: &str) -> bool {
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !warned.contains(subject) && warned.insert(subject.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_new_once() {
        let warned = Warned::default();
        let seen = ["a", "b", "a", "a", "b"].map(|subject| warned.is_new(subject));
        assert_eq!(seen, [true, true, false, false, false]);
    }
}
