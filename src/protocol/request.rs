//! Requests: reading a delivery, and writing the message for one.
//!
//! Reading cannot fail, so that every request with a reply address can be answered; a body that was not kept is an error of
//! [`RequestMessage::body`]. Pure: the current time is an argument.

use super::amqp10;
use super::message::{Defect, HeaderValue, Message, Properties, header};
use super::status::Status;
use super::trace_context::TraceContext;
use crate::text;
use std::time::Duration;

/// The tolerance for differing clocks when a deadline is checked, in milliseconds.
pub const CLOCK_SKEW_MS: i64 = 1_000;

/// If a deadline was missed by more than this, its unit is wrong or a clock is not set.
const IMPLAUSIBLY_LATE: Duration = Duration::from_secs(366 * 24 * 3600);

/// The format of a request and its reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Decimal text, as in RabbitMQ's tutorial.
    Text,
    /// JSON.
    Json,
}

impl Format {
    /// JSON for `application/json` and all types that end in `+json` (RFC 6839), case-insensitively
    /// and with any parameters. Text for all others: the tutorial's clients send no type, or their
    /// library's default.
    pub fn of(content_type: Option<&str>) -> Self {
        let essence = content_type.and_then(|value| value.split(';').next());
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

/// A request as delivered. The service validates the body.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RequestMessage {
    /// The payload.
    pub body: Vec<u8>,
    /// From `content_type`.
    pub format: Format,
    /// The property `type`; see [`control`](super::control).
    pub kind: Option<String>,
    /// The reply address; `None` (absent or empty on the wire): no reply is expected.
    pub reply_to: Option<String>,
    /// The `correlation_id` of the reply: the request's own, else its `message_id`.
    pub correlation_id: Option<Vec<u8>>,
    /// The caller's deadline, in Unix milliseconds.
    pub deadline_ms: Option<i64>,
    /// When the request was published, in Unix milliseconds, if known: `fibrpc` sends its timeout both
    /// as `expiration` and as the deadline, so it is the difference. The property `timestamp` has whole
    /// seconds, which is too coarse for the time in the queue.
    pub sent_ms: Option<i64>,
    /// When the broker received the request, in Unix milliseconds, if it says so.
    pub arrived_ms: Option<i64>,
    /// Whether the request has an `expiration`, after which the broker drops it from the queue.
    pub expires: bool,
    /// The caller's trace context, if it is valid. The server replaces it by its own.
    pub trace: Option<Box<TraceContext>>,
    /// Previous deliveries of this request, as counted by a quorum queue.
    pub delivery_count: u64,
    /// The part of the message that could not be read.
    pub(crate) defect: Option<Defect>,
}

impl RequestMessage {
    /// Reads a delivery.
    ///
    /// Headers of unexpected types count as missing. A deadline is an integer of any width or decimal text, in
    /// milliseconds, or a timestamp, in seconds.
    pub(crate) fn read(message: Message) -> Self {
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
        let deadline = properties.header(header::DEADLINE);
        let deadline_ms = deadline.and_then(HeaderValue::unix_ms);
        Self {
            body,
            format: Format::of(properties.content_type.as_deref()),
            deadline_ms,
            sent_ms: sent_ms(deadline_ms, properties.expiration.as_deref()),
            arrived_ms: (properties.header(header::ARRIVED)).and_then(HeaderValue::integer),
            expires: properties.expiration.is_some(),
            trace: (properties.text_header(header::TRACEPARENT))
                .and_then(|parent| {
                    TraceContext::parse(parent, properties.text_header(header::TRACESTATE))
                })
                .map(Box::new),
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

    /// The body. A server refuses requests without one before its service sees them.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if it was too large to be kept, or is an unsupported section of AMQP 1.0.
    pub fn body(&self) -> Result<&[u8], Status> {
        let message = match &self.defect {
            Some(Defect::Section) => {
                "the body is an AMQP 1.0 section that is not understood: send a data section, a string or an integer".into()
            }
            Some(Defect::Body(size)) => format!(
                "the body of {} is larger than server.max_request_bytes allows",
                text::count(*size, "byte")
            ),
            Some(Defect::ReplyTo(_)) | None => return Ok(&self.body),
        };
        Err(Status::invalid_argument(message))
    }

    /// The method that the property `type` names; `None`: the default one.
    pub fn method(&self) -> Option<&str> {
        let kind = self.kind.as_deref()?;
        (!kind.is_empty() && kind != amqp10::KIND).then_some(kind)
    }

    /// The time until the deadline at `now_ms` (Unix milliseconds), plus [`CLOCK_SKEW_MS`]; `None`: no
    /// deadline.
    pub fn time_left(&self, now_ms: i64) -> Option<Duration> {
        let end = self.deadline_ms?.saturating_add(CLOCK_SKEW_MS);
        let left = u64::try_from(end.saturating_sub(now_ms)).unwrap_or(0);
        Some(Duration::from_millis(left))
    }

    /// Whether the deadline has passed at `now_ms` (Unix milliseconds), even if the caller's clock is
    /// [`CLOCK_SKEW_MS`] behind. Never true without a deadline.
    pub fn expired(&self, now_ms: i64) -> bool {
        self.deadline_ms
            .is_some_and(|deadline| now_ms > deadline.saturating_add(CLOCK_SKEW_MS))
    }

    /// The status of a request that had [expired](Self::expired) when it arrived at `now_ms`: by how much it missed its
    /// deadline, and the likely cause. The deadline was set by the caller's clock and is compared with ours.
    pub fn too_late(&self, now_ms: i64) -> Status {
        let late = now_ms.saturating_sub(self.deadline_ms.unwrap_or(now_ms));
        let late = Duration::from_millis(u64::try_from(late).unwrap_or(0));
        let hint = if late > IMPLAUSIBLY_LATE {
            "; is fibrpc-deadline in milliseconds of Unix time, and are the clocks of both machines right?"
        } else if self.expires {
            // The broker drops an expired request from the queue, so it cannot have waited there.
            "; do the clocks of both machines agree?"
        } else {
            "; it waited in the queue for too long, or the clocks of both machines do not agree"
        };
        Status::deadline_exceeded(format!(
            "the caller's deadline passed {} before the request arrived here{hint}",
            text::duration(late)
        ))
    }
}

/// When a message was sent whose time to live, `expiration` (decimal milliseconds), ends at
/// `deadline_ms`.
fn sent_ms(deadline_ms: Option<i64>, expiration: Option<&str>) -> Option<i64> {
    let lifetime: u32 = expiration?.parse().ok()?; // brokers accept at most 32 bits
    let sent = deadline_ms?.checked_sub(i64::from(lifetime))?;
    (sent > 0).then_some(sent)
}

/// The beginning of the method names that the protocol reserves.
const RESERVED: &str = "fibrpc.";

/// Checks a method's name, which travels as the property `type`.
///
/// # Errors
///
/// `INVALID_ARGUMENT` if it is reserved or longer than 255 bytes.
pub fn check_method(name: &str) -> Result<(), Status> {
    let problem = if name.starts_with(RESERVED) || name == amqp10::KIND {
        "is reserved; choose another name"
    } else if name.len() > 255 {
        "is longer than the 255 bytes of AMQP"
    } else {
        return Ok(());
    };
    let name = text::quoted(name.as_bytes());
    Err(Status::invalid_argument(format!(
        "the method name {name} {problem}"
    )))
}

/// A request of plain text, which must be UTF-8. `id` becomes both `correlation_id` and
/// `message_id`, `timeout_ms` the expiration, and `deadline_ms` the header, as decimal text: it would need 64 bits as an
/// integer, which not every AMQP library supports.
///
/// The expiration is capped at `u32::MAX` (49 days), RabbitMQ's maximum; a longer one would close the channel.
pub fn write(body: &[u8], id: &[u8], reply_to: &str, timeout_ms: u64, deadline_ms: i64) -> Message {
    Message {
        body: body.to_vec(),
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

/// A request as the clients of RabbitMQ's tutorial send it, with only the properties that the
/// reply needs.
pub fn write_plain(body: &[u8], id: &[u8], reply_to: &str) -> Message {
    Message {
        body: body.to_vec(),
        properties: Properties {
            correlation_id: Some(id.to_vec()),
            reply_to: Some(reply_to.into()),
            ..Properties::default()
        },
    }
}

#[cfg(test)]
mod tests;
