//! A computation for tests of everything around it.

use super::*;

/// It is never asked for.
pub(crate) struct Nothing;

impl Service for Nothing {
    type Job = ();

    fn admit(&self, _: &Request) -> Result<((), Cost), Status> {
        Ok(((), Cost::default()))
    }

    fn run(&self, (): (), _: &Cancel) -> Result<Reply, Status> {
        unreachable!("nobody asks")
    }
}
