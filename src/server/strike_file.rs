//! The file by which the next process learns about requests if this one dies: the current requests, and how many deaths each
//! of them was involved in.
//!
//! Best effort, because a full disk must not stop the service: a failed write is logged once, and the next successful one
//! repairs it. The file is complete at any moment, because the process may die at any moment. A clean end removes it.

use super::log;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

/// The file's name. Instances of the service have state folders of their names beside it; none can have this name, because
/// systemd allows no `+` in unit names.
const NAME: &str = "+requests";

/// Receives the next content, and replaces the file when it is complete.
const NEXT_NAME: &str = "+requests.new";

/// The file's name in version 0.1.0, now the folder of `fibrpcd@session`.
const OLD_NAME: &str = "session";

/// The strike file, if there is a state directory.
#[derive(Debug, Default)]
pub(super) struct StrikeFile {
    file: Option<PathBuf>,
    /// Whether the last access failed.
    broken: bool,
}

impl StrikeFile {
    /// The file in `directory`, and what the previous process left there.
    pub(super) fn open(directory: &Path) -> (Self, Option<String>) {
        let mut strikes = Self {
            file: Some(directory.join(NAME)),
            broken: false,
        };
        let mut left = strikes.read(&directory.join(NAME));
        // Once, after an upgrade.
        let old = directory.join(OLD_NAME);
        if old.is_file() {
            left = left.or(strikes.read(&old));
            strikes.judge(std::fs::remove_file(&old), &old);
        }
        (strikes, left)
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

    /// Writes this text for the next process.
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

    /// Removes the file, for good.
    pub(super) fn remove(&mut self) {
        if let Some(file) = self.file.take() {
            match std::fs::remove_file(&file) {
                // If it is gone with its directory or was never written, it cannot mislead the next process.
                Err(error) if error.kind() != ErrorKind::NotFound => self.judge(Err(error), &file),
                _ => {}
            }
        }
    }

    fn judge(&mut self, result: Result<(), Error>, file: &Path) {
        let broke = result.is_err();
        match result {
            Err(error) if !self.broken => log::strike_file_off(&file.display(), &error),
            Ok(()) if self.broken => log::strike_file_on(&file.display()),
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
    fn the_next_process_reads_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let (mut strikes, left) = StrikeFile::open(directory.path());
        assert_eq!(left, None);
        strikes.write("one");
        strikes.write("two");
        let (mut strikes, left) = StrikeFile::open(directory.path());
        assert_eq!(left.as_deref(), Some("two"));
        strikes.remove();
        strikes.write("late");
        assert_eq!(StrikeFile::open(directory.path()).1, None);
    }

    #[test]
    fn the_file_of_an_older_version_is_read_once() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(OLD_NAME), "old").unwrap();
        assert_eq!(StrikeFile::open(directory.path()).1.as_deref(), Some("old"));
        assert_eq!(StrikeFile::open(directory.path()).1, None);
        // The state folder of an instance with that name.
        fs::create_dir(directory.path().join(OLD_NAME)).unwrap();
        let (mut strikes, left) = StrikeFile::open(directory.path());
        assert_eq!((left, strikes.broken), (None, false));
        strikes.write("new");
        assert!(!strikes.broken);
        assert!(directory.path().join(OLD_NAME).is_dir());
    }

    /// A reader sees either the old or the new text.
    #[test]
    fn the_file_is_complete_at_any_moment() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        let (mut strikes, _) = StrikeFile::open(directory.path());
        let texts = ["one\n".repeat(4000), "two\n".repeat(4000)];
        strikes.write(&texts[0]);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                for _ in 0..2000 {
                    let text = fs::read_to_string(&file).unwrap();
                    assert!(texts.contains(&text), "{} bytes", text.len());
                }
            });
            while !reader.is_finished() {
                strikes.write(&texts[1]);
                strikes.write(&texts[0]);
            }
        });
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(NAME);
        fs::create_dir(&file).unwrap();
        let (mut strikes, left) = StrikeFile::open(directory.path());
        assert_eq!((left, strikes.broken), (None, true));
        strikes.write("one");
        assert!(strikes.broken);
        fs::remove_dir(&file).unwrap();
        strikes.write("two");
        assert!(!strikes.broken);
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
    }

    /// systemd allows letters, digits, and these.
    #[test]
    fn no_instance_can_have_this_name() {
        let in_unit_names = |char: char| char.is_ascii_alphanumeric() || ":-_.\\@".contains(char);
        assert!(!NAME.chars().all(in_unit_names));
    }
}
