//! Reading of small text files that someone named: never hangs, never reads more than its limit.

use super::shortage::Shortage;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// There is none.
    Missing,
    /// There may be one, but not for this user.
    Denied,
    /// The machine is short of something, which says nothing of the file.
    Shortage(Shortage),
    /// Anything else, as it reads after "cannot read FILE: ".
    Failed(String),
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file"),
            Self::Denied => f.write_str("permission denied"),
            Self::Shortage(shortage) => f.write_str(shortage.words()),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => {
                Shortage::of(&error).map_or_else(|| Self::Failed(error.to_string()), Self::Shortage)
            }
        }
    }
}

/// Reads a regular file of at most `limit` bytes of UTF-8.
pub(super) fn read(path: &Path, limit: u64) -> Result<String, ReadError> {
    // The usual way to say "no configuration".
    if path == Path::new("/dev/null") {
        return Ok(String::new());
    }
    // Opening a FIFO would wait for a writer, so look first.
    let kind = fs::metadata(path)?;
    if kind.is_dir() {
        return Err(ReadError::Failed("is a directory".into()));
    }
    if !kind.is_file() {
        return Err(ReadError::Failed("is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::Failed(format!("is larger than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.split(|byte| *byte == b'\n').count();
        ReadError::Failed(format!("is not UTF-8 in line {line}"))
    })
}
