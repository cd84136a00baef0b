//! Requests: what a delivery asks for, and the message that asks it.
//!
//! Reading cannot fail, so that everything that came with a reply address can be answered; what is
//! wrong with a request comes out of [`Request::number`]. Pure: the time is passed in.

use std::time::Duration;

use super::words::plural;
use super::{Code, Defect, HeaderValue, Message, Properties, Status, header, number};

/// How far the caller's clock may be behind or ahead, in milliseconds, before a deadline is taken
/// at its word.
pub const CLOCK_SKEW_MS: i64 = 1_000;

/// A deadline that was missed by more than this is not one in milliseconds, or a clock is not set at all.
const UNLIKELY: Duration = Duration::from_secs(366 * 24 * 3600);

/// In which form the request came and the reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Decimal text, as in RabbitMQ's tutorial.
    Text,
    /// JSON: `30` or `{"n": 30}`.
    Json,
}

impl Format {
    /// JSON for `application/json` and every type that ends in `+json` (RFC 6839), in any case and
    /// with any parameters. Text for all others, since the tutorial's clients send none, or whatever
    /// their library puts there.
    pub fn of(content_type: Option<&str>) -> Self {
        let essence = content_type.unwrap_or_default().split(';').next();
        let essence = essence
            .unwrap_or_default()
            .trim_ascii()
            .to_ascii_lowercase();
        if essence == "application/json" || essence.ends_with("+json") {
            Self::Json
        } else {
            Self::Text
        }
    }
}

/// A request as the server sees it. Holds whatever was sent; [`Request::number`] judges the body.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The payload.
    pub body: Vec<u8>,
    /// From `content_type`.
    pub format: Format,
    /// The property `type`; see [`control`](super::control).
    pub kind: Option<String>,
    /// Where the reply goes; `None` (or empty on the wire): nobody waits for one.
    pub reply_to: Option<String>,
    /// What the reply carries as `correlation_id`: the request's own, else its `message_id`.
    pub correlation_id: Option<Vec<u8>>,
    /// When the caller stops waiting, in Unix milliseconds.
    pub deadline_ms: Option<i64>,
    /// When the request was published, in Unix milliseconds, where it can be known: `fibrpc` sends
    /// its timeout both as `expiration` and as the deadline, so it is the difference. The property
    /// `timestamp` counts whole seconds, which is too coarse to tell a time in the queue from it.
    pub sent_ms: Option<i64>,
    /// Whether the broker drops the request when it has waited in the queue for too long.
    pub expires: bool,
    /// W3C trace context, as it came.
    pub trace_parent: Option<String>,
    /// W3C trace context, vendor part, as it came.
    pub trace_state: Option<String>,
    /// How often a quorum queue has delivered this request before.
    pub delivery_count: u64,
    /// What could not be delivered of it.
    pub defect: Option<Defect>,
}

impl Request {
    /// Reads a delivery. Cannot fail: what is wrong with the body comes out of [`Request::number`].
    ///
    /// Headers of another type than the protocol's are taken as missing: a deadline is an integer of any width or
    /// decimal text, in milliseconds, or a timestamp, in seconds.
    pub fn read(message: Message) -> Self {
        let Message { body, properties } = message;
        let text = |name| match properties.header(name) {
            Some(HeaderValue::Text(value)) => Some(value.clone()),
            _ => None,
        };
        let deadline = properties.header(header::DEADLINE);
        let deadline_ms = deadline.and_then(HeaderValue::unix_ms);
        Self {
            body,
            format: Format::of(properties.content_type.as_deref()),
            deadline_ms,
            sent_ms: sent_ms(deadline_ms, properties.expiration.as_deref()),
            expires: properties.expiration.is_some(),
            trace_parent: text(header::TRACEPARENT),
            trace_state: text(header::TRACESTATE),
            delivery_count: (properties.header(header::DELIVERY_COUNT))
                .and_then(HeaderValue::integer)
                .and_then(|count| u64::try_from(count).ok())
                .unwrap_or(0),
            defect: properties.defect,
            kind: properties.kind,
            reply_to: properties.reply_to.filter(|name| !name.is_empty()),
            correlation_id: properties.correlation_id.or(properties.message_id),
        }
    }

    /// The number that the body asks for, in either format: `INVALID_ARGUMENT` where it asks for
    /// none, `OUT_OF_RANGE` where it is an integer above 64 bits.
    pub fn number(&self) -> Result<u64, Status> {
        if let Some(Defect::Body(size)) = self.defect {
            return Err(Status::new(
                Code::InvalidArgument,
                format!(
                    "the body of {} is larger than server.max_request_bytes allows",
                    plural(size, "byte")
                ),
            ));
        }
        match self.format {
            Format::Text => number::from_text(&self.body),
            Format::Json => number::from_json(&self.body),
        }
    }

    /// How long the caller still waits at `now_ms`, in Unix milliseconds, [`CLOCK_SKEW_MS`] included;
    /// `None`: for ever.
    pub fn time_left(&self, now_ms: i64) -> Option<Duration> {
        let end = self.deadline_ms?.saturating_add(CLOCK_SKEW_MS);
        let left = u64::try_from(end.saturating_sub(now_ms)).unwrap_or(0);
        Some(Duration::from_millis(left))
    }

    /// Whether the caller has stopped waiting at `now_ms`, in Unix milliseconds, even if its clock is
    /// [`CLOCK_SKEW_MS`] behind. Never without a deadline.
    pub fn expired(&self, now_ms: i64) -> bool {
        self.deadline_ms
            .is_some_and(|deadline| now_ms > deadline.saturating_add(CLOCK_SKEW_MS))
    }

    /// The refusal of a request that has [expired](Self::expired) when it arrives, at `now_ms`. The deadline is a
    /// time of the caller's clock and is compared with ours; it says by how much it was missed, and whose
    /// fault that can be.
    pub fn too_late(&self, now_ms: i64) -> Status {
        let late = now_ms.saturating_sub(self.deadline_ms.unwrap_or(now_ms));
        let late = Duration::from_millis(u64::try_from(late).unwrap_or(0));
        let hint = if late > UNLIKELY {
            "; is fibrpc-deadline in milliseconds of Unix time, and are the clocks of both machines right?"
        } else if self.expires {
            // The broker drops what waits in the queue for longer than the caller does.
            "; do the clocks of both machines agree?"
        } else {
            "; it waited in the queue for too long, or the clocks of both machines do not agree"
        };
        Status::new(
            Code::DeadlineExceeded,
            format!(
                "the caller's deadline passed {} before the request arrived here{hint}",
                roughly(late)
            ),
        )
    }
}

/// A duration as people say it, to two digits or so: `4.2s`, `95s`, `61min`, `25h`, `12 days`.
fn roughly(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..120 => format!("{seconds}s"),
        120..7_200 => format!("{}min", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => plural(seconds / 86_400, "day"),
    }
}

/// When a message was sent whose time to live is `expiration`, decimal milliseconds, and ends at
/// `deadline_ms`.
fn sent_ms(deadline_ms: Option<i64>, expiration: Option<&str>) -> Option<i64> {
    let lifetime: u32 = expiration?.parse().ok()?; // AMQP brokers take no more than 32 bits
    let sent = deadline_ms?.checked_sub(i64::from(lifetime))?;
    (sent > 0).then_some(sent)
}

/// The message that asks for `n` (plain text), as `fibrpc` sends it. `id` becomes both
/// `correlation_id` and `message_id`; `timeout_ms` the expiration; `deadline_ms` the header, as decimal text,
/// since an integer would have to be one of 64 bits, and not every AMQP library knows those.
///
/// The expiration is at most `u32::MAX` (49 days), the most that RabbitMQ takes; a longer one would
/// close the channel.
pub fn write(n: &str, id: &[u8], reply_to: &str, timeout_ms: u64, deadline_ms: i64) -> Message {
    Message {
        body: n.as_bytes().to_vec(),
        properties: Properties {
            content_type: Some("text/plain".into()),
            correlation_id: Some(id.to_vec()),
            message_id: Some(id.to_vec()),
            reply_to: Some(reply_to.into()),
            expiration: Some(timeout_ms.min(u64::from(u32::MAX)).to_string()),
            headers: vec![(header::DEADLINE, HeaderValue::Text(deadline_ms.to_string()))],
            ..Properties::default()
        },
    }
}

/// The message that asks for `n` as the clients of RabbitMQ's tutorial send it, with nothing that the
/// reply could do without.
pub fn write_plain(n: &str, id: &[u8], reply_to: &str) -> Message {
    Message {
        body: n.as_bytes().to_vec(),
        properties: Properties {
            correlation_id: Some(id.to_vec()),
            reply_to: Some(reply_to.into()),
            ..Properties::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(properties: Properties) -> Request {
        Request::read(Message {
            body: b"30".to_vec(),
            properties,
        })
    }

    #[test]
    fn a_bare_message_asks_in_plain_text() {
        let expected = Request {
            body: b"30".to_vec(),
            format: Format::Text,
            kind: None,
            reply_to: None,
            correlation_id: None,
            deadline_ms: None,
            sent_ms: None,
            expires: false,
            trace_parent: None,
            trace_state: None,
            delivery_count: 0,
            defect: None,
        };
        assert_eq!(request(Properties::default()), expected);
        assert_eq!(expected.number(), Ok(30));
        assert!(!expected.expired(i64::MAX));
    }

    #[test]
    fn formats() {
        let table = [
            (None, Format::Text),
            (Some(""), Format::Text),
            (Some("text/plain"), Format::Text),
            (Some("text/plain; charset=utf-8"), Format::Text),
            (Some("application/octet-stream"), Format::Text),
            (Some("application/jsonp"), Format::Text),
            (Some("text/plain; x=application/json"), Format::Text),
            (Some("application/json"), Format::Json),
            (Some("Application/JSON"), Format::Json),
            (Some("application/json; charset=utf-8"), Format::Json),
            (Some(" application/json ;charset=UTF-8"), Format::Json),
            (Some("application/vnd.example+json"), Format::Json),
            (Some("application/problem+JSON; x=y"), Format::Json),
        ];
        for (content_type, format) in table {
            assert_eq!(Format::of(content_type), format, "{content_type:?}");
        }
    }

    #[test]
    fn the_format_decides_how_the_body_is_read() {
        let message = |content_type: &str| Message {
            body: br#"{"n": 30}"#.to_vec(),
            properties: Properties {
                content_type: Some(content_type.into()),
                ..Properties::default()
            },
        };
        assert_eq!(Request::read(message("application/json")).number(), Ok(30));
        let status = Request::read(message("text/plain")).number().unwrap_err();
        assert_eq!(status.code, Code::InvalidArgument);
    }

    #[test]
    fn the_correlation_id_goes_before_the_message_id() {
        let bytes = |id: &[u8]| Some(id.to_vec());
        let raw: &[u8] = &[0, 255, 128, 7, b'\n'];
        let table = [
            (bytes(b"c"), bytes(b"m"), bytes(b"c")),
            (bytes(raw), None, bytes(raw)),
            (None, bytes(raw), bytes(raw)),
            (bytes(b""), bytes(b"m"), bytes(b"")),
            (None, None, None),
        ];
        for (correlation_id, message_id, expected) in table {
            let read = request(Properties {
                correlation_id,
                message_id,
                ..Properties::default()
            });
            assert_eq!(read.correlation_id, expected);
        }
    }

    #[test]
    fn reply_addresses() {
        for (reply_to, expected) in [(None, None), (Some(""), None), (Some("q"), Some("q"))] {
            let read = request(Properties {
                reply_to: reply_to.map(Into::into),
                ..Properties::default()
            });
            assert_eq!(read.reply_to.as_deref(), expected);
        }
    }

    #[test]
    fn headers_of_the_right_type_are_read() {
        let read = request(Properties {
            headers: vec![
                (header::DEADLINE, HeaderValue::Int(1_800_000_000_000)),
                (header::TRACEPARENT, HeaderValue::Text("00-ab-cd-01".into())),
                (header::TRACESTATE, HeaderValue::Text("v=1".into())),
                (header::DELIVERY_COUNT, HeaderValue::Int(2)),
            ],
            ..Properties::default()
        });
        assert_eq!(read.deadline_ms, Some(1_800_000_000_000));
        assert_eq!(read.trace_parent.as_deref(), Some("00-ab-cd-01"));
        assert_eq!(read.trace_state.as_deref(), Some("v=1"));
        assert_eq!(read.delivery_count, 2);

        let read = request(Properties {
            headers: vec![
                (header::DEADLINE, HeaderValue::Bool(true)),
                (header::TRACEPARENT, HeaderValue::Int(1)),
                (header::TRACESTATE, HeaderValue::Bool(true)),
                (header::DELIVERY_COUNT, HeaderValue::Int(-1)),
            ],
            ..Properties::default()
        });
        assert_eq!(read, request(Properties::default()));
    }

    #[test]
    fn deadlines_of_every_type() {
        let text = |text: &str| HeaderValue::Text(text.into());
        let table = [
            (HeaderValue::Int(1_800_000_000_000), Some(1_800_000_000_000)),
            (HeaderValue::Int(-1), Some(-1)),
            (text("1800000000000"), Some(1_800_000_000_000)),
            (text(" 1800000000000\n"), Some(1_800_000_000_000)),
            (text("-5"), Some(-5)),
            (text("9223372036854775808"), None),
            (text("1.8e12"), None),
            (text("1800000000000 ms"), None),
            (text(""), None),
            (HeaderValue::Time(1_800_000_000), Some(1_800_000_000_000)),
            (HeaderValue::Time(u64::MAX), None),
            (HeaderValue::Time(u64::MAX / 1_000), None),
            (HeaderValue::Bool(true), None),
        ];
        for (value, expected) in table {
            let shown = format!("{value:?}");
            let read = request(Properties {
                headers: vec![(header::DEADLINE, value)],
                ..Properties::default()
            });
            assert_eq!(read.deadline_ms, expected, "{shown}");
        }
    }

    #[test]
    fn the_time_of_sending_is_the_deadline_less_the_expiration() {
        let table = [
            (Some(10_000), Some("4000"), Some(6_000)),
            (Some(10_000), Some("0"), Some(10_000)),
            (Some(10_000), None, None),
            (None, Some("4000"), None),
            (Some(10_000), Some(""), None),
            (Some(10_000), Some("4s"), None),
            (Some(10_000), Some("-4000"), None),
            (Some(10_000), Some("99999999999999999999"), None),
            (Some(10_000), Some("10000"), None),
            (Some(10_000), Some("20000"), None),
            (Some(i64::MIN), Some("1"), None),
        ];
        for (deadline_ms, expiration, expected) in table {
            let shown = format!("{deadline_ms:?} {expiration:?}");
            let deadline = deadline_ms.map(|ms| (header::DEADLINE, HeaderValue::Int(ms)));
            let read = request(Properties {
                expiration: expiration.map(Into::into),
                headers: deadline.into_iter().collect(),
                timestamp: Some(5),
                ..Properties::default()
            });
            assert_eq!(read.sent_ms, expected, "{shown}");
        }
    }

    #[test]
    fn deadlines_allow_a_second_of_skew() {
        let table = [
            (10_000, 9_000, false),
            (10_000, 10_000, false),
            (10_000, 11_000, false),
            (10_000, 11_001, true),
            (0, 1_001, true),
            (-5, 1_000, true),
            (i64::MAX, i64::MAX, false),
            (i64::MIN, 0, true),
        ];
        for (deadline, now, expired) in table {
            let read = request(Properties {
                headers: vec![(header::DEADLINE, HeaderValue::Int(deadline))],
                ..Properties::default()
            });
            assert_eq!(read.expired(now), expired, "{deadline} at {now}");
        }
    }

    #[test]
    fn a_refusal_says_by_how_much_the_deadline_was_missed_and_why_that_can_be() {
        let clocks = "; do the clocks of both machines agree?";
        let queue =
            "; it waited in the queue for too long, or the clocks of both machines do not agree";
        let unit = "; is fibrpc-deadline in milliseconds of Unix time, and are the clocks of both machines right?";
        let now = 1_800_000_000_000;
        let table = [
            (now - 4_000, true, "4.0s", clocks),
            (now - 4_000, false, "4.0s", queue),
            (now - 1_234, true, "1.2s", clocks),
            (now - 10_900, true, "10s", clocks),
            (now - 119_999, true, "119s", clocks),
            (now - 3_600_000, true, "60min", clocks),
            (now - 7_200_000, true, "2h", clocks),
            (now - 200_000_000, false, "2 days", queue),
            (now / 1_000, true, "20812 days", unit),
            (i64::MIN, false, "106751991167 days", unit),
        ];
        for (deadline, expires, late, hint) in table {
            let read = request(Properties {
                expiration: expires.then(|| "5000".into()),
                headers: vec![(header::DEADLINE, HeaderValue::Int(deadline))],
                ..Properties::default()
            });
            assert!(read.expired(now));
            let status = read.too_late(now);
            assert_eq!(status.code, Code::DeadlineExceeded);
            let expected = format!(
                "the caller's deadline passed {late} before the request arrived here{hint}"
            );
            assert_eq!(status.message, expected);
        }
    }

    #[test]
    fn defects() {
        let with = |defect| {
            request(Properties {
                defect: Some(defect),
                ..Properties::default()
            })
        };
        assert_eq!(with(Defect::ReplyTo(vec![7])).number(), Ok(30));
        assert_eq!(
            with(Defect::ReplyTo(vec![7])).defect,
            Some(Defect::ReplyTo(vec![7]))
        );
        let status = with(Defect::Body(104_857_600)).number().unwrap_err();
        assert_eq!(status.code, Code::InvalidArgument);
        assert!(status.message.contains("104857600 bytes"), "{status}");
        assert!(
            status.message.contains("server.max_request_bytes"),
            "{status}"
        );
    }

    #[test]
    fn what_the_client_writes_the_server_reads() {
        let message = write("30", b"id-1", "amq.gen-x", 5_000, 1_800_000_005_000);
        assert_eq!(message.properties.message_id.as_deref(), Some(&b"id-1"[..]));
        assert_eq!(message.properties.expiration.as_deref(), Some("5000"));
        assert!(!message.properties.persistent);
        let read = Request::read(message);
        let expected = Request {
            reply_to: Some("amq.gen-x".into()),
            correlation_id: Some(b"id-1".to_vec()),
            deadline_ms: Some(1_800_000_005_000),
            sent_ms: Some(1_800_000_000_000),
            expires: true,
            ..request(Properties::default())
        };
        assert_eq!(read, expected);
        let plain = Request::read(write_plain("30", b"id-1", "amq.gen-x"));
        let expected = Request {
            reply_to: Some("amq.gen-x".into()),
            correlation_id: Some(b"id-1".to_vec()),
            ..request(Properties::default())
        };
        assert_eq!(plain, expected);
        let endless = write("30", b"", "q", u64::MAX, i64::MAX);
        assert_eq!(endless.properties.expiration.as_deref(), Some("4294967295"));
    }
}
