//! Questions about the server itself: is it there, and how is it doing.
//!
//! A *ping* is a request on the request queue, so it proves the way that all requests take; a *status*
//! request goes to every server of a queue at once, through an exchange that every broker has. Both
//! are answered by a *pong*, which carries a [`Report`]. A server that knows nothing of this answers a
//! ping as the request for the number of 0, and a client sees by the pong's type which it was.

use super::message::{HeaderValue, Message, Properties, header};
use super::request::{self, Request};
use super::status::Code;
use serde::{Deserialize, Serialize};

/// The exchange to which servers bind their control queues: predeclared by brokers, so that nobody
/// needs the permission to make one.
pub const EXCHANGE: &str = "amq.direct";

/// The `type` of a pong.
pub const PONG: &str = "fibrpc.pong";

/// What a control request's body is: the cheapest request to a server that answers it as one.
const BODY: &str = "0";

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Of whichever server takes it from the request queue.
    Ping,
    /// Of every server of a queue, on its control queue.
    Status,
}

impl Question {
    /// The `type` of the request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ping => "fibrpc.ping",
            Self::Status => "fibrpc.status",
        }
    }

    /// What the request asks about the server, if it does.
    pub fn of(request: &Request) -> Option<Self> {
        let kind = request.kind.as_deref()?;
        [Self::Ping, Self::Status]
            .into_iter()
            .find(|question| question.name() == kind)
    }

    /// The message that asks it; the other values are those of [`request::write`].
    pub fn write(self, id: &[u8], reply_to: &str, timeout_ms: u64, deadline_ms: i64) -> Message {
        let mut message = request::write(BODY, id, reply_to, timeout_ms, deadline_ms);
        message.properties.kind = Some(self.name().into());
        message
    }
}

/// The routing key under which the servers of `queue` hear status requests.
pub fn routing_key(queue: &str) -> String {
    format!("fibrpc.control.{queue}")
}

/// What a server says about itself. Fields are added, never renamed; one that a server of another
/// version does not send has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Its instance name.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// The name of its host.
    pub host: String,
    /// Its process id there.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Its clock, in Unix milliseconds.
    pub clock_ms: i64,
    /// `consuming`, `blocked`, `draining`, or another word of a later version.
    pub state: String,
    /// The queue it serves.
    pub queue: String,
    /// The queue's type, where the server could find it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_type: Option<String>,
    /// Deliveries that the broker may send it ahead.
    pub prefetch: u16,
    /// Its consumers of the queue: for a moment more than one when the prefetch follows the work. 0 from one of
    /// another version, which has one.
    pub consumers: u32,
    /// Requests taken and not settled, the ping itself included.
    pub in_flight: u64,
    /// Requests taken since the start, pings included.
    pub received: u64,
    /// Those that somebody may have seen before.
    pub redelivered: u64,
    /// Requests answered with a value.
    pub served: u64,
    /// Requests answered with an error.
    pub failed: u64,
    /// Pings answered.
    pub pinged: u64,
    /// Requests that nobody could be answered for: no reply address, or one that is refused.
    pub unanswerable: u64,
    /// Reply addresses that the server's policy refused: of these requests, and of status requests.
    pub refused: u64,
    /// Replies that came back from the broker, since their caller had gone.
    pub returned: u64,
    /// Replies that the broker refused, each time: a full reply queue.
    pub nacked: u64,
    /// Requests whose caller had stopped waiting.
    pub expired: u64,
    /// Requests rejected because they took sessions down.
    pub poisoned: u64,
    /// Sessions with the broker since the start.
    pub sessions: u64,
    /// Half of the requests of the last one to two minutes were worked out within so many
    /// microseconds, from delivery to the finished answer; none where there were no requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p50_us: Option<u64>,
    /// The same for 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p99_us: Option<u64>,
}

impl Report {
    /// Whether it finishes what it has begun and takes nothing new.
    pub fn drains(&self) -> bool {
        self.state == "draining"
    }
}

/// The pong to `request`. `message_id` is the server's own id of this reply.
pub fn pong(request: &Request, report: &Report, message_id: u64) -> Message {
    Message {
        // Text and numbers always serialise.
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

/// The report in a pong; `None` where the message is none. What cannot be read of a report has its
/// default, since the pong alone says that the server is there.
pub fn read_pong(message: &Message) -> Option<Report> {
    let properties = &message.properties;
    if properties.kind.as_deref() != Some(PONG) {
        return None;
    }
    let mut report: Report = serde_json::from_slice(&message.body).unwrap_or_default();
    if let (true, Some(HeaderValue::Text(name))) = (
        report.instance.is_empty(),
        properties.header(header::SERVER),
    ) {
        report.instance.clone_from(name);
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

    fn asked(question: Question) -> Request {
        Request::read(question.write(b"id", "amq.gen-x", 1_000, 1_700_000_000_000))
    }

    #[test]
    fn questions_are_known_by_their_type() {
        for question in [Question::Ping, Question::Status] {
            let request = asked(question);
            assert_eq!(Question::of(&request), Some(question));
            assert_eq!(request.reply_to.as_deref(), Some("amq.gen-x"));
            assert_eq!(request.number(), Ok(0), "a plain server answers it too");
        }
        for kind in [None, Some(""), Some("fibrpc.pong"), Some("fibrpc.ping ")] {
            let mut message = Question::Ping.write(b"id", "amq.gen-x", 1, 1);
            message.properties.kind = kind.map(str::to_owned);
            assert_eq!(Question::of(&Request::read(message)), None, "{kind:?}");
        }
    }

    #[test]
    fn a_pong_brings_the_report() {
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
    fn pongs_of_other_versions_are_understood() {
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
    fn an_ordinary_reply_is_no_pong() {
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
