//! The trace that this program was started in, by the variables `TRACEPARENT` and `TRACESTATE`.

use super::common::Common;
use super::output::warn;
use crate::protocol::TraceContext;
use crate::text::quoted_to;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// How much of an invalid value a warning shows, in characters.
const MAX_SHOWN: usize = 60;

/// The trace of all calls. An invalid one is ignored, as the recommendation says; with `-v`, that is mentioned.
pub(super) fn of_environment(common: &Common) -> Option<TraceContext> {
    let read = |name| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let parent = read("TRACEPARENT")?;
    let trace = parse(&parent, read("TRACESTATE").as_deref());
    if trace.is_none() && common.verbose > 0 {
        let shown = quoted_to(parent.as_bytes(), MAX_SHOWN);
        warn(&format!(
            "TRACEPARENT is ignored: {shown} is not a trace context of W3C"
        ));
    }
    trace
}

fn parse(parent: &OsStr, state: Option<&OsStr>) -> Option<TraceContext> {
    TraceContext::parse(parent.to_str()?, state.and_then(OsStr::to_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_context_is_used() {
        const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let valid = parse(OsStr::new(PARENT), Some(OsStr::new("a=1"))).unwrap();
        assert_eq!(
            (valid.to_string().as_str(), valid.state()),
            (PARENT, Some("a=1"))
        );
        let no_text = OsStr::from_bytes(b"\xff");
        let without = parse(OsStr::new(PARENT), Some(no_text)).unwrap();
        assert_eq!(without.state(), None);
        for invalid in [OsStr::new("1"), OsStr::new(&PARENT[1..]), no_text] {
            assert_eq!(parse(invalid, None), None);
        }
    }
}
