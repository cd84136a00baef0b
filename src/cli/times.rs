//! Where the time of a call was spent and which server replied, as text and as JSON. Pure.

use crate::protocol::reply_value::Trailer;
use crate::protocol::trace_context::Hex;
use crate::text::{duration, micros};
use serde::Serialize;
use std::time::Duration;

/// For people.
pub(super) fn times(trailer: &Trailer, round_trip: Option<Duration>) -> String {
    let Trailer {
        server,
        queued,
        compute,
        trace_id,
    } = trailer;
    let times = [
        (round_trip, "round trip"),
        (*queued, "queued"),
        (*compute, "computed"),
    ];
    let times = times
        .into_iter()
        .filter_map(|(time, what)| Some(format!("{what} {}", duration(time?))));
    let server = server.as_deref().map(|name| format!("by {name}"));
    let trace = (trace_id.as_deref()).map(|id| format!("trace {}", Hex(id)));
    let parts: Vec<_> = times.chain(server).chain(trace).collect();
    parts.join(", ")
}

/// The members of a line of `--json`. Fields are added, never renamed.
#[derive(Serialize)]
pub(super) struct Times<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    queued_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compute_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
}

impl<'a> Times<'a> {
    pub(super) fn new(trailer: &'a Trailer, round_trip: Option<Duration>) -> Self {
        Self {
            server: trailer.server.as_deref(),
            queued_us: trailer.queued.map(micros),
            compute_us: trailer.compute.map(micros),
            round_trip_us: round_trip.map(micros),
            trace_id: (trailer.trace_id.as_deref()).map(|id| Hex(id).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        let trailer = Trailer {
            server: Some("a\u{202e}b".into()),
            queued: Some(Duration::from_micros(1500)),
            compute: Some(Duration::from_micros(20)),
            trace_id: Some(Box::new([0xa0; 16])),
        };
        assert_eq!(
            times(&trailer, Some(Duration::from_micros(2345))),
            "round trip 2.35ms, queued 1.5ms, computed 20µs, by a\u{202e}b, trace a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0"
        );
        assert_eq!(
            times(&Trailer::default(), Some(Duration::from_secs(1))),
            "round trip 1s"
        );
    }
}
