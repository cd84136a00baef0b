//! Why a computation ends without a result.

use std::fmt;

/// Why a result was discarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// No base is small enough for the error bound.
    Bound,
    /// A coefficient was too far from an integer.
    Distance,
    /// The digits were not those of F(n) modulo 2^61 - 1.
    Check,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bound => "the error bound was exceeded",
            Self::Distance => "a coefficient was not close to an integer",
            Self::Check => "the result was wrong modulo 2^61 - 1",
        })
    }
}

/// Why there is no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// `keep_going` returned false.
    Cancelled,
    Doubt(Doubt),
}

impl Stop {
    /// Fails with [`Stop::Cancelled`] unless `keep_going`.
    pub(super) fn unless(keep_going: bool) -> Result<(), Self> {
        if keep_going {
            Ok(())
        } else {
            Err(Self::Cancelled)
        }
    }
}

impl From<Doubt> for Stop {
    fn from(doubt: Doubt) -> Self {
        Self::Doubt(doubt)
    }
}
