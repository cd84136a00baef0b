//! The file in which a process leaves what the next one has to know if it dies: which requests were in hand, and how many
//! deaths each has been there at.
//!
//! Best effort, since a full disk must not stop the service: a write that fails is said once, and made good by the next one
//! that does not. At each moment the file is whole, since a process may die at each. A clean end leaves no file.

use super::events;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// The name of the file. An instance of the service has its state in a folder of its name beside it; no instance can be
/// called that, since systemd has no `+` in the names of units.
const NAME: &str = "+requests";

/// Where its next content is written, to take its place when it is whole.
const NEXT_NAME: &str = "+requests.new";

/// What it was called in version 0.1.0, where `fibrpcd@session` has its folder.
const OLD_NAME: &str = "session";

/// The file, if there is a state directory.
#[derive(Debug, Default)]
pub(super) struct Trace {
    file: Option<PathBuf>,
    /// Whether the last attempt to use it failed.
    broken: bool,
}

impl Trace {
    /// The trace in `directory`, and what the process before has left there.
    pub(super) fn open(directory: &Path) -> (Self, Option<String>) {
        let mut trace = Self {
            file: Some(directory.join(NAME)),
            broken: false,
        };
        let mut left = trace.read(&directory.join(NAME));
        // Once, after an upgrade.
        let old = directory.join(OLD_NAME);
        if old.is_file() {
            left = left.or(trace.read(&old));
            trace.judge(std::fs::remove_file(&old), &old);
        }
        (trace, left)
    }

    fn read(&mut self, file: &Path) -> Option<String> {
        match std::fs::read_to_string(file) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                self.judge(Err(error), file);
                None
            }
        }
    }

    /// Leaves this text for the next process.
    pub(super) fn write(&mut self, text: &str) {
        if let Some(file) = &self.file {
            let file = file.clone();
            let next = file.with_file_name(NEXT_NAME);
            let written = std::fs::write(&next, text).and_then(|()| std::fs::rename(&next, &file));
            if written.is_err() {
                let _ = std::fs::remove_file(&next);
            }
            self.judge(written, &file);
        }
    }

    /// Leaves nothing, from now on.
    pub(super) fn remove(&mut self) {
        if let Some(file) = self.file.take() {
            match std::fs::remove_file(&file) {
                // Gone with its directory, or never written: there is nothing that says anything wrong.
                Err(error) if error.kind() != ErrorKind::NotFound => self.judge(Err(error), &file),
                _ => {}
            }
        }
    }

    fn judge(&mut self, result: Result<(), Error>, file: &Path) {
        let broke = result.is_err();
        match result {
            Err(error) if !self.broken => events::trace_off(&file.display(), &error),
            Ok(()) if self.broken => events::trace_on(&file.display()),
            _ => {}
        }
        self.broken = broke;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_a_process_leaves_is_read_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let (mut trace, left) = Trace::open(directory.path());
        assert_eq!(left, None);
        trace.write("one");
        trace.write("two");
        let (mut trace, left) = Trace::open(directory.path());
        assert_eq!(left.as_deref(), Some("two"));
        trace.remove();
        trace.write("late");
        assert_eq!(Trace::open(directory.path()).1, None);
    }

    #[test]
    fn the_file_of_an_older_version_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(OLD_NAME), "old").unwrap();
        assert_eq!(Trace::open(directory.path()).1.as_deref(), Some("old"));
        assert_eq!(Trace::open(directory.path()).1, None);
        // The state of an instance of that name.
        fs::create_dir(directory.path().join(OLD_NAME)).unwrap();
        let (mut trace, left) = Trace::open(directory.path());
        assert_eq!((left, trace.broken), (None, false));
        trace.write("new");
        assert!(!trace.broken);
        assert!(directory.path().join(OLD_NAME).is_dir());
    }

    /// Whoever reads it while it is written, as the next process does, finds one text or the other.
    #[test]
    fn the_file_is_whole_at_each_moment() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        let (mut trace, _) = Trace::open(directory.path());
        let texts = ["one\n".repeat(4000), "two\n".repeat(4000)];
        trace.write(&texts[0]);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                for _ in 0..2000 {
                    let text = fs::read_to_string(&file).unwrap();
                    assert!(texts.contains(&text), "{} bytes", text.len());
                }
            });
            while !reader.is_finished() {
                trace.write(&texts[1]);
                trace.write(&texts[0]);
            }
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        fs::create_dir(&file).unwrap();
        let (mut trace, left) = Trace::open(directory.path());
        assert_eq!((left, trace.broken), (None, true));
        trace.write("one");
        assert!(trace.broken);
        fs::remove_dir(&file).unwrap();
        trace.write("two");
        assert!(!trace.broken);
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
    }

    /// As systemd has it: letters, digits, and these.
    #[test]
    fn no_instance_can_have_the_name() {
        let in_unit_names = |char: char| char.is_ascii_alphanumeric() || ":-_.\\@".contains(char);
        assert!(!NAME.chars().all(in_unit_names));
    }
}
