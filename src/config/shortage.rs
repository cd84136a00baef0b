//! Shortages of the machine that no file or broker is to blame for: what is short, and what to do. Pure.

use rustix::io::Errno;
use std::io;

/// What the machine is short of, in the order of the table below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// The process may open no more files.
    ProcessFiles,
    /// The system may.
    SystemFiles,
    /// Memory.
    Memory,
    /// Room for buffers in the kernel.
    Buffers,
}

#[rustfmt::skip]
const ALL: [(Errno, Shortage, &str, &str); 4] = [
    (Errno::MFILE, Shortage::ProcessFiles, "too many open files in this process",
        "raise its limit (LimitNOFILE= in the unit, or ulimit -n)"),
    (Errno::NFILE, Shortage::SystemFiles, "too many open files in the whole system",
        "close files, or raise the limit (sysctl fs.file-max)"),
    (Errno::NOMEM, Shortage::Memory, "out of memory",
        "free memory, or raise its limit (MemoryMax= in the unit, or ulimit -v)"),
    (Errno::NOBUFS, Shortage::Buffers, "no buffer space left in the kernel",
        "free memory, or close connections"),
];

impl Shortage {
    /// The shortage that an error reports, if it does.
    pub fn of(error: &io::Error) -> Option<Self> {
        let errno = Errno::from_io_error(error)?;
        let row = ALL.iter().find(|(known, ..)| *known == errno)?;
        Some(row.1)
    }

    /// What is short, as it reads after a colon.
    pub const fn words(self) -> &'static str {
        ALL[self as usize].2
    }

    /// What to do.
    pub const fn hint(self) -> &'static str {
        ALL[self as usize].3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_distinguished_from_other_errors() {
        for (errno, shortage) in [
            (Errno::MFILE, Some(Shortage::ProcessFiles)),
            (Errno::NFILE, Some(Shortage::SystemFiles)),
            (Errno::NOMEM, Some(Shortage::Memory)),
            (Errno::NOBUFS, Some(Shortage::Buffers)),
            (Errno::NOENT, None),
            (Errno::CONNREFUSED, None),
        ] {
            assert_eq!(Shortage::of(&errno.into()), shortage, "{errno:?}");
        }
        assert_eq!(Shortage::of(&io::Error::other("many open files")), None);
    }
}
