//! What this process has said already, of what is said once: warnings about settings that every connection meets anew.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Remembers subjects, for as long as the process runs. There are as many as the configuration has had brokers and files.
#[derive(Debug, Default)]
pub(crate) struct Warned(Mutex<BTreeSet<String>>);

/// The process's own memory.
pub(crate) static WARNED: Warned = Warned(Mutex::new(BTreeSet::new()));

impl Warned {
    /// Whether nothing was said of this subject yet. From now on something was.
    pub(crate) fn is_new(&self, subject: &str) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        !said.contains(subject) && said.insert(subject.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_new_once() {
        let said = Warned::default();
        let seen = ["a", "b", "a", "a", "b"].map(|subject| said.is_new(subject));
        assert_eq!(seen, [true, true, false, false, false]);
    }
}
