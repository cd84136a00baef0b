//! Requests: what a delivery asks for, and the message that asks it.
//!
//! Reading cannot fail, so that everything that came with a reply address can be answered; what is
//! wrong with a request comes out of [`Request::number`]. Pure: the time is passed in.

use super::message::{Defect, HeaderValue, Message, Properties, header};
use super::status::{Code, Status};
use crate::text;
use super::{amqp10, number};
use std::time::Duration;

/// How far the caller's clock may be behind or ahead, in milliseconds, before a deadline is taken
/// at its word.
pub const CLOCK_SKEW_MS: i64 = 1_000;

/// A deadline that was missed by more than this is not one in milliseconds, or a clock is not set at all.
const IMPLAUSIBLY_LATE: Duration = Duration::from_secs(366 * 24 * 3600);

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
        let Message {
            mut body,
            mut properties,
        } = message;
        if properties.kind.as_deref() == Some(amqp10::KIND) && properties.defect.is_none() {
            match amqp10::value(&body) {
                Some(value) => body = value,
                None => properties.defect = Some(Defect::Section),
            }
        }
        let queue = properties.reply_to.as_deref().and_then(amqp10::queue);
        if let Some(queue) = queue {
            properties.reply_to = String::from_utf8(queue)
                .inspect_err(|not_text| {
                    properties.defect = Some(Defect::ReplyTo(not_text.as_bytes().to_vec()));
                })
                .ok();
        }
        let text = |name| properties.text_header(name).map(str::to_owned);
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
        if self.defect == Some(Defect::Section) {
            return Err(Status::new(
                Code::InvalidArgument,
                "the body is an AMQP 1.0 section that is not understood: send a data section, a string or an integer",
            ));
        }
        if let Some(Defect::Body(size)) = self.defect {
            return Err(Status::new(
                Code::InvalidArgument,
                format!(
                    "the body of {} is larger than server.max_request_bytes allows",
                    text::count(size, "byte")
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
        let hint = if late > IMPLAUSIBLY_LATE {
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
                text::duration(late)
            ),
        )
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
mod tests;
