//! Reading small files that the user names: configuration, passwords, certificates. Never hangs, never
//! reads more than its limit, and accepts pipes, for `--config <(...)`.

use super::shortage::Shortage;
use super::slips::path_hint;
use crate::text::duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FsWord, OFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time limit for reading a pipe to its end, short enough for a daemon that reloads.
const PIPE_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do about a pipe without a writer.
const WRITE: &str = "write to it, or use a file";

/// Why a file was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadError {
    /// It does not exist; with what to do if its name shows why.
    Missing(Option<&'static str>),
    /// This user may not read it.
    Denied,
    /// The machine is short of a resource; nothing is known about the file.
    Shortage(Shortage),
    /// Anything else, as it reads after "cannot read FILE: ", with what to do if that is known.
    Failed(String, Option<&'static str>),
}

impl ReadError {
    /// What to do, if that is known.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Missing(help) | Self::Failed(_, help) => *help,
            Self::Shortage(shortage) => Some(shortage.hint()),
            Self::Denied => None,
        }
    }
}

fn failed(what: impl Into<String>, help: impl Into<Option<&'static str>>) -> ReadError {
    ReadError::Failed(what.into(), help.into())
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(_) => f.write_str("no such file"),
            Self::Denied => f.write_str("permission denied"),
            Self::Shortage(shortage) => f.write_str(shortage.words()),
            Self::Failed(reason, _) => f.write_str(reason),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(None),
            io::ErrorKind::PermissionDenied => Self::Denied,
            _ => {
                Shortage::of(&error).map_or_else(|| failed(error.to_string(), None), Self::Shortage)
            }
        }
    }
}

/// Reads at most `limit` bytes of UTF-8 text without NUL bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, ReadError> {
    let line_of = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count();
    let text = String::from_utf8(read_file(path, limit)?).map_err(|error| {
        let line = line_of(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        failed(format!("is not UTF-8 in line {line}"), "save it as UTF-8")
    })?;
    match text.find('\0') {
        Some(at) => Err(failed(
            format!(
                "contains a NUL byte in line {}",
                line_of(&text.as_bytes()[..at])
            ),
            "save it as UTF-8 text",
        )),
        None => Ok(text),
    }
}

/// What some editors write before a text.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Whether a text starts with a mark of UTF-16, which `PowerShell` and some editors write.
pub fn is_utf16(text: &[u8]) -> bool {
    text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff")
}

/// Reads at most `limit` bytes, without a byte order mark.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    let mut bytes = read_raw(path, limit)?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("is larger than {limit} bytes"), None));
    }
    if is_utf16(&bytes) {
        return Err(failed("is UTF-16", "save it as UTF-8"));
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// Reads all bytes, or at least one more than `limit`.
fn read_raw(path: &Path, limit: u64) -> Result<Vec<u8>, ReadError> {
    // Before opening, since opening a device can have effects.
    let metadata = fs::metadata(path).map_err(|error| absent(path, error))?;
    if is_null_device(&metadata) {
        return Ok(Vec::new());
    }
    if metadata.is_dir() {
        return Err(failed("is a directory", None));
    }
    if !metadata.is_file() && !metadata.file_type().is_fifo() {
        return Err(failed("is not a regular file or a pipe", None));
    }
    // Non-blocking, so that a FIFO without a writer opens at once.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path)?;
    if file.metadata()?.is_file() {
        drain(file, limit)
    } else {
        from_pipe(file, limit)
    }
}

/// Whether it is `/dev/null`, under any name: a link to it masks a drop-in.
fn is_null_device(metadata: &Metadata) -> bool {
    let device = rustix::fs::makedev(1, 3);
    metadata.file_type().is_char_device() && metadata.rdev() == device
}

fn absent(path: &Path, error: io::Error) -> ReadError {
    let missing = matches!(
        error.kind(),
        // No file is below a home directory of /dev/null.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    );
    if !missing {
        return error.into();
    }
    if path.is_symlink() && !path.starts_with("/dev") && !path.starts_with("/proc") {
        return failed("is a link to a file that does not exist", None);
    }
    ReadError::Missing(path.to_str().and_then(path_hint))
}

/// The content of unnamed pipes, by inode. They can be read only once, but files are read again at each
/// connect and each reload.
static PIPES: Mutex<BTreeMap<u64, Vec<u8>>> = Mutex::new(BTreeMap::new());

fn from_pipe(file: File, limit: u64) -> Result<Vec<u8>, ReadError> {
    let not_empty = |bytes: Vec<u8>| {
        if bytes.is_empty() {
            return Err(failed("is a pipe, and no data arrived", WRITE));
        }
        Ok(bytes)
    };
    if !is_anonymous(&file)? {
        return not_empty(drain(file, limit)?);
    }
    let inode = file.metadata()?.ino();
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = pipes.get(&inode) {
        return Ok(bytes.clone());
    }
    let bytes = not_empty(drain(file, limit)?)?;
    if bytes.len() as u64 <= limit {
        pipes.insert(inode, bytes.clone());
    }
    Ok(bytes)
}

/// Whether a pipe has no name in the file system.
fn is_anonymous(file: &File) -> Result<bool, ReadError> {
    /// `PIPEFS_MAGIC` of linux/magic.h.
    const PIPEFS_MAGIC: FsWord = 0x5049_5045;
    let system = rustix::fs::fstatfs(file).map_err(io::Error::from)?;
    Ok(system.f_type == PIPEFS_MAGIC)
}

/// Reads to the end, to a bit past the limit, or until the time limit for pipes.
fn drain(mut file: File, limit: u64) -> Result<Vec<u8>, ReadError> {
    let deadline = Instant::now() + PIPE_TIMEOUT;
    let mut bytes = Vec::new();
    let mut chunk = [0; 8 << 10];
    while bytes.len() as u64 <= limit {
        if !is_readable(&file, deadline)? {
            let what = match bytes.len() {
                0 => "is a pipe, and no data arrived",
                _ => "is a pipe whose writer did not finish",
            };
            return Err(failed(
                format!("{what} within {}", duration(PIPE_TIMEOUT)),
                WRITE,
            ));
        }
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process reads from the same pipe.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// Waits for data or the end of the file; false at the deadline.
fn is_readable(file: &File, deadline: Instant) -> Result<bool, ReadError> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|error| failed(error.to_string(), None))?;
        match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}
