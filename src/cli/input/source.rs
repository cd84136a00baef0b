//! The source of numbers, standard input or a file, and why it cannot be read.

use crate::cli::exit;
use crate::config::Shortage;
use crate::stdio;
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The name that stands for standard input.
pub(in crate::cli) const STDIN: &str = "-";

/// Standard input or a file. A FIFO opens at once, even without a writer.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    if path == Path::new(STDIN) {
        return stdio::stdin()?.try_clone_to_owned();
    }
    // By now such a path names something other than what was closed.
    if let Err(closed) = stdio::stdin()
        && stdio::is_stdin(path)
    {
        return Err(closed);
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    file.map(OwnedFd::from)
}

/// A resource that this process lacks is not the file's fault.
pub(super) fn exit_status(error: &io::Error) -> u8 {
    Shortage::of(error).map_or(exit::NO_INPUT, |_| exit::SYSTEM)
}

pub(super) fn cannot_read(name: &str, error: &io::Error) -> String {
    let (what, to_do) = match error.kind() {
        io::ErrorKind::NotFound => ("no such file", "; check the path"),
        io::ErrorKind::PermissionDenied => ("permission denied", "; check who may read it"),
        io::ErrorKind::IsADirectory => ("is a directory", "; name a file"),
        _ => return format!("cannot read {name}: {error}"),
    };
    format!("cannot read {name}: {what}{to_do}")
}
