//! The number of requests that this server's drains have abandoned, kept in the state directory.
//!
//! A process that abandons requests ends at once, before anybody can read its counter. The next process therefore continues
//! to count where it ended. Best effort: if the file cannot be used, the counter begins at 0.

use std::fs;
use std::io::{Error, ErrorKind};
use std::path::Path;

/// The file's name. No instance of the service has a state directory of this name, because systemd allows no `+` in unit
/// names.
const NAME: &str = "+abandoned";

/// Receives the next content, and replaces the file when it is complete.
const NEXT_NAME: &str = "+abandoned.new";

/// What the previous processes abandoned.
pub(super) fn load(directory: &Path) -> u64 {
    let text = match fs::read_to_string(directory.join(NAME)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return 0,
        Err(error) => {
            warn(directory, &error);
            return 0;
        }
    };
    text.trim().parse().unwrap_or(0)
}

/// Writes the sum for the next process.
pub(super) fn save(directory: &Path, sum: u64) {
    let next = directory.join(NEXT_NAME);
    let written = fs::write(&next, format!("{sum}\n"));
    let written = written.and_then(|()| fs::rename(&next, directory.join(NAME)));
    if let Err(error) = written {
        warn(directory, &error);
    }
}

fn warn(directory: &Path, error: &Error) {
    let file = directory.join(NAME);
    tracing::warn!(
        "cannot use {}: {error}; the number of abandoned requests will not be known to the next process",
        file.display()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_process_continues_to_count() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(load(directory.path()), 0);
        save(directory.path(), 3);
        save(directory.path(), 5);
        assert_eq!(load(directory.path()), 5);
        let files = fs::read_dir(directory.path()).unwrap();
        assert_eq!(files.count(), 1, "nothing else is left");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_no_fault() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        save(&gone, 1);
        assert_eq!(load(&gone), 0);
        fs::write(directory.path().join(NAME), "not a number").unwrap();
        assert_eq!(load(directory.path()), 0);
    }
}
