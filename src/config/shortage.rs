//! This machine is short of something that every program needs: what that is, and what to do. Pure.

use rustix::io::Errno;
use std::io;

/// What it is short of.
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

impl Shortage {
    /// The shortage that an error tells of, if it does.
    pub fn of(error: &io::Error) -> Option<Self> {
        match Errno::from_io_error(error)? {
            Errno::MFILE => Some(Self::ProcessFiles),
            Errno::NFILE => Some(Self::SystemFiles),
            Errno::NOMEM => Some(Self::Memory),
            Errno::NOBUFS => Some(Self::Buffers),
            _ => None,
        }
    }

    /// What is short, as it reads after a colon.
    pub const fn words(self) -> &'static str {
        match self {
            Self::ProcessFiles => "too many open files in this process",
            Self::SystemFiles => "too many open files in the whole system",
            Self::Memory => "out of memory",
            Self::Buffers => "no buffer space left in the kernel",
        }
    }

    /// What to do.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::ProcessFiles => "raise its limit (LimitNOFILE= in the unit, or ulimit -n)",
            Self::SystemFiles => "close files, or raise the limit (sysctl fs.file-max)",
            Self::Memory => {
                "free memory, or raise its limit (MemoryMax= in the unit, or ulimit -v)"
            }
            Self::Buffers => "free memory, or close connections",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortages_are_told_from_faults() {
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
