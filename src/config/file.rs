//! Reading small files that the user names: configuration, passwords, certificates. Never hangs, never
//! reads more than its limit, and accepts pipes, for `--config <(...)`.

use super::fault::Problem;
use super::shortage::Shortage;
use super::slips::path_hint;
use crate::text::duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FsWord, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time limit for reading a pipe to its end, short enough for a daemon that reloads.
const PIPE_TIMEOUT: Duration = Duration::from_secs(5);

/// What to do about a pipe without a writer.
const WRITE: &str = "write to it, or use a file";

/// Why a file was not read. Displayed, it reads after "cannot read FILE: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It does not exist; with what to do if its name shows why.
    #[error("no such file")]
    Missing(Option<&'static str>),
    /// This user may not read it.
    #[error("permission denied")]
    Denied,
    /// The machine is short of a resource; nothing is known about the file.
    #[error("{}", .0.words())]
    Shortage(Shortage),
    /// Anything else, with what to do if that is known.
    #[error("{0}")]
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

/// A file named in the configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// What is wrong with it.
    pub problem: Problem,
    /// Whether the only fault is that this user may not read it.
    pub denied: bool,
    /// Whether the machine was short of a resource, and nothing is known about the file.
    pub shortage: bool,
}

impl From<Problem> for FileFault {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            denied: false,
            shortage: false,
        }
    }
}

impl FileFault {
    /// A file that was not read; `of` is the key or credential that names it, `help` what to do if the error does not
    /// say.
    pub fn unread(of: &str, path: &Path, error: &ReadError, help: &str) -> Self {
        let (path, help) = (path.display(), error.help().unwrap_or(help));
        Self {
            problem: Problem::new(&format!("{of}: cannot use {path}: {error}; {help}")),
            denied: *error == ReadError::Denied,
            shortage: matches!(error, ReadError::Shortage(_)),
        }
    }
}

fn failed(what: impl Into<String>, help: impl Into<Option<&'static str>>) -> ReadError {
    ReadError::Failed(what.into(), help.into())
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match (error.kind(), Shortage::of(&error)) {
            (io::ErrorKind::NotFound, _) => Self::Missing(None),
            (io::ErrorKind::PermissionDenied, _) => Self::Denied,
            (_, Some(shortage)) => Self::Shortage(shortage),
            _ => failed(error.to_string(), None),
        }
    }
}

/// Reads at most `limit` bytes of UTF-8 text without NUL bytes.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, ReadError> {
    let bytes = read_file(path, limit)?;
    let line = |end| bytes[..end].split(|byte| *byte == b'\n').count();
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = line(error.valid_up_to());
        failed(format!("is not UTF-8 in line {line}"), "save it as UTF-8")
    })?;
    if let Some(at) = text.find('\0') {
        let what = format!("contains a NUL byte in line {}", line(at));
        return Err(failed(what, "save it as UTF-8 text"));
    }
    Ok(text.to_owned())
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
    let kind = metadata.file_type();
    // Under any name: a link to it masks a drop-in.
    let null_device = rustix::fs::makedev(1, 3);
    if kind.is_char_device() && metadata.rdev() == null_device {
        return Ok(Vec::new());
    }
    if kind.is_dir() {
        return Err(failed("is a directory", None));
    }
    if !kind.is_file() && !kind.is_fifo() {
        return Err(failed("is not a regular file or a pipe", None));
    }
    // Non-blocking, so that a FIFO without a writer opens at once.
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        drain(&file, limit)
    } else {
        from_pipe(&file, limit)
    }
}

fn absent(path: &Path, error: io::Error) -> ReadError {
    match error.kind() {
        // No file is below a home directory of /dev/null.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
        _ => return error.into(),
    }
    if path.is_symlink() && !path.starts_with("/dev") && !path.starts_with("/proc") {
        return failed("is a link to a file that does not exist", None);
    }
    ReadError::Missing(path.to_str().and_then(path_hint))
}

/// The content of unnamed pipes, by inode. They can be read only once, but files are read again at each
/// connect and each reload.
static PIPES: Mutex<BTreeMap<u64, Vec<u8>>> = Mutex::new(BTreeMap::new());

fn from_pipe(file: &File, limit: u64) -> Result<Vec<u8>, ReadError> {
    /// `PIPEFS_MAGIC` of linux/magic.h: the file system of pipes without a name.
    const PIPEFS_MAGIC: FsWord = 0x5049_5045;
    let drained = || match drain(file, limit)? {
        bytes if bytes.is_empty() => Err(failed("is a pipe, and no data arrived", WRITE)),
        bytes => Ok(bytes),
    };
    let system = rustix::fs::fstatfs(file).map_err(io::Error::from)?;
    if system.f_type != PIPEFS_MAGIC {
        return drained();
    }
    let inode = file.metadata()?.ino();
    let mut pipes = PIPES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bytes) = pipes.get(&inode) {
        return Ok(bytes.clone());
    }
    let bytes = drained()?;
    if bytes.len() as u64 <= limit {
        pipes.insert(inode, bytes.clone());
    }
    Ok(bytes)
}

/// Reads to the end, to a bit past the limit, or until the time limit for pipes.
fn drain(file: &File, limit: u64) -> Result<Vec<u8>, ReadError> {
    let deadline = Instant::now() + PIPE_TIMEOUT;
    let mut bytes = Vec::new();
    let mut chunk = [0; 8 << 10];
    while bytes.len() as u64 <= limit {
        let ready = retry_on_intr(|| {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
            poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&left))
        });
        if ready.map_err(io::Error::from)? == 0 {
            let what = match bytes.len() {
                0 => "is a pipe, and no data arrived",
                _ => "is a pipe whose writer did not finish",
            };
            let what = format!("{what} within {}", duration(PIPE_TIMEOUT));
            return Err(failed(what, WRITE));
        }
        match retry_on_intr(|| rustix::io::read(file, &mut chunk)) {
            Ok(0) => break,
            Ok(length) => bytes.extend_from_slice(&chunk[..length]),
            // Another process reads from the same pipe.
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
    Ok(bytes)
}
