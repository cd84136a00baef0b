//! Control requests: whether a server replies, and its state.
//!
//! A *ping* goes through the request queue, so it takes the same path as every request; a *status*
//! request goes to all servers of a queue at once, through a predeclared exchange. Both
//! are answered by a *pong*, which carries a [`Report`]. A server that does not support them answers a
//! ping as a request for the number of 0; the reply's `type` shows which of the two it is.

use super::message::{HeaderValue, Message, Properties, header};
use super::request::{self, RequestMessage};
use super::status::Code;
use crate::named::named;
use serde::{Deserialize, Serialize};

/// The exchange to which servers bind their control queues. Every broker predeclares it, so nobody needs the
/// permission to declare one.
pub const EXCHANGE: &str = "amq.direct";

/// The `type` of a pong.
pub const PONG: &str = "fibrpc.pong";

/// The body of a control request: the cheapest number for a server that does not support control requests.
const BODY: &str = "0";

named! {
    /// The kind of a control request; the name is the request's `type`.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Question {
        /// Answered by the server that receives it from the request queue.
        Ping = "fibrpc.ping",
        /// Answered by every server of a queue, through its control queue.
        Status = "fibrpc.status",
    }
}

impl Question {
    /// The kind of this request; `None` if it is not a control request.
    pub fn of(request: &RequestMessage) -> Option<Self> {
        let kind = request.kind.as_deref()?;
        let mut all = Self::ALL.iter().copied();
        all.find(|question| question.name() == kind)
    }

    /// The control request as a message; for the arguments see [`request::write`].
    pub fn write(self, id: &[u8], reply_to: &str, timeout_ms: u64, deadline_ms: i64) -> Message {
        let mut message = request::write(BODY.as_bytes(), id, reply_to, timeout_ms, deadline_ms);
        message.properties.kind = Some(self.name().into());
        message
    }
}

/// The routing key of status requests to the servers of `queue`.
pub fn routing_key(queue: &str) -> String {
    format!("fibrpc.control.{queue}")
}

/// A server's report about itself. Fields are added, never renamed; a field that a server of another
/// version does not send has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The instance name.
    pub instance: String,
    /// The version of fibrpc.
    pub version: String,
    /// The host name.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// The server's clock, in Unix milliseconds.
    pub clock_ms: i64,
    /// `consuming`, `blocked`, `draining`, or a state of a later version.
    pub state: String,
    /// Why the server does not serve, or not with its present settings, in one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The request queue.
    pub queue: String,
    /// The queue's type, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_type: Option<String>,
    /// Unacknowledged deliveries that the broker may send.
    pub prefetch: u16,
    /// The server's consumers on the queue: briefly more than one while the prefetch changes. 0 from servers that do
    /// not report it, which have one.
    pub consumers: u32,
    /// Requests delivered and not settled, this ping included.
    pub in_flight: u64,
    /// Requests delivered since the start, pings included.
    pub received: u64,
    /// Deliveries with the `redelivered` flag.
    pub redelivered: u64,
    /// Requests answered with a value.
    pub served: u64,
    /// Requests answered with an error.
    pub failed: u64,
    /// Pings answered.
    pub pinged: u64,
    /// Requests that could not be answered: no reply address, or a refused one.
    pub unanswerable: u64,
    /// Reply addresses refused by the server's policy, in requests and status requests.
    pub refused: u64,
    /// Replies that the broker returned because the caller had gone.
    pub returned: u64,
    /// Replies refused by the broker (a full reply queue), counted each time.
    pub nacked: u64,
    /// Requests whose deadline had passed.
    pub expired: u64,
    /// Requests rejected because they ended sessions repeatedly.
    pub poisoned: u64,
    /// Sessions established since the start.
    pub sessions: u64,
    /// The last minute, in milliseconds: the time before this report that the following members are about. 30 to 60 seconds,
    /// or less if the server started later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_ms: Option<u64>,
    /// Requests answered in that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_requests: Option<u64>,
    /// Those of them that were answered with an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recent_errors: Option<u64>,
    /// Median time from delivery to the finished answer in that time, in microseconds; `None` if nothing was computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// The 90th percentile of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p90_us: Option<u64>,
    /// The 99th percentile of the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

impl Report {
    /// Whether the server finishes what it has begun and accepts no new requests.
    pub fn drains(&self) -> bool {
        self.state == "draining"
    }
}

/// The pong to `request`. `message_id` is the server's id for this reply.
pub fn pong(request: &RequestMessage, report: &Report, message_id: u64) -> Message {
    Message {
        // Cannot fail: text and numbers always serialise.
        body: serde_json::to_vec(report).unwrap_or_default(),
        properties: Properties {
            content_type: Some("application/json".into()),
            correlation_id: request.correlation_id.clone(),
            message_id: Some(message_id.to_string().into_bytes()),
            kind: Some(PONG.into()),
            headers: vec![
                (header::STATUS, HeaderValue::Text(Code::Ok.name().into())),
                (header::SERVER, HeaderValue::Text(report.instance.clone())),
            ],
            ..Properties::default()
        },
    }
}

/// The report in a pong; `None` if the message is not a pong. An unreadable report is replaced by the
/// default, since the pong alone proves that the server replies.
pub fn read_pong(message: &Message) -> Option<Report> {
    let properties = &message.properties;
    if properties.kind.as_deref() != Some(PONG) {
        return None;
    }
    let mut report: Report = serde_json::from_slice(&message.body).unwrap_or_default();
    if report.instance.is_empty()
        && let Some(name) = properties.text_header(header::SERVER)
    {
        name.clone_into(&mut report.instance);
    }
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            instance: "blue".into(),
            version: "1.2.3".into(),
            pid: 4711,
            queue: "rpc_queue".into(),
            served: 10,
            p50_us: Some(12),
            ..Report::default()
        }
    }

    fn asked(question: Question) -> RequestMessage {
        RequestMessage::read(question.write(b"id", "amq.gen-x", 1_000, 1_700_000_000_000))
    }

    #[test]
    fn a_report_says_whether_the_server_drains() {
        let of = |state: &str| Report {
            state: state.into(),
            ..report()
        };
        assert!(of("draining").drains() && !of("consuming").drains());
    }

    #[test]
    fn control_requests_are_recognised_by_their_type() {
        for question in [Question::Ping, Question::Status] {
            let request = asked(question);
            assert_eq!(Question::of(&request), Some(question));
            assert_eq!(request.reply_to.as_deref(), Some("amq.gen-x"));
            assert_eq!(request.body, b"0", "other servers can answer it");
        }
        for kind in [None, Some(""), Some("fibrpc.pong"), Some("fibrpc.ping ")] {
            let mut message = Question::Ping.write(b"id", "amq.gen-x", 1, 1);
            message.properties.kind = kind.map(str::to_owned);
            assert_eq!(
                Question::of(&RequestMessage::read(message)),
                None,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_pong_carries_the_report() {
        let request = asked(Question::Ping);
        let message = pong(&request, &report(), 7);
        let properties = &message.properties;
        assert_eq!(properties.correlation_id.as_deref(), Some(&b"id"[..]));
        assert_eq!(properties.message_id.as_deref(), Some(&b"7"[..]));
        assert_eq!(properties.reply_to, None);
        assert!(!properties.persistent);
        let status = Some(&HeaderValue::Text("OK".into()));
        assert_eq!(properties.header(header::STATUS), status);
        assert_eq!(read_pong(&message), Some(report()));
    }

    #[test]
    fn pongs_of_other_versions_are_read() {
        let mut message = pong(&asked(Question::Status), &report(), 1);
        for (body, pid) in [
            (&br#"{"pid":5,"from_the_future":[1]}"#[..], 5),
            (b"{}", 0),
            (br#"{"pid":"five"}"#, 0),
            (b"not json", 0),
            (b"", 0),
        ] {
            message.body = body.to_vec();
            let read = read_pong(&message).unwrap();
            assert_eq!((read.pid, read.instance.as_str()), (pid, "blue"));
        }
    }

    #[test]
    fn an_ordinary_reply_is_not_a_pong() {
        let mut message = pong(&asked(Question::Ping), &report(), 1);
        for kind in [None, Some("fibrpc.reply"), Some("fibrpc.error")] {
            message.properties.kind = kind.map(str::to_owned);
            assert_eq!(read_pong(&message), None, "{kind:?}");
        }
    }

    #[test]
    fn each_queue_has_a_routing_key_of_its_own() {
        assert_eq!(routing_key("rpc_queue"), "fibrpc.control.rpc_queue");
    }
}
