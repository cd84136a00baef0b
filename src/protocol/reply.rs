//! Replies: writing the message that answers a request, and reading one in the client.
//!
//! [`read()`] is the inverse of [`write()`] and also accepts replies from the servers of RabbitMQ's
//! tutorial in all languages, which have neither a type nor headers: they count as successful.
//! Of a request, only the correlation id is copied into its reply.

use super::message::{HeaderValue, Message, Properties, header};
use super::reply_value::{Reply, Trailer};
use super::request::{Format, RequestMessage};
use super::status::{Code, Status};
use crate::text;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, Value, to_raw_value};
use std::borrow::Cow;
use std::time::Duration;

/// Property `type` of a successful reply.
const KIND_REPLY: &str = "fibrpc.reply";
/// Property `type` of an error.
const KIND_ERROR: &str = "fibrpc.error";
/// MIME type of an error's body in reply to a JSON request (RFC 9457).
const PROBLEM_JSON: &str = "application/problem+json";
/// The maximum length of an error message in characters, when written and when read.
const MAX_MESSAGE_CHARS: usize = 500;
/// The maximum length of an error's details as JSON, in bytes; longer ones are not sent.
const MAX_DETAILS_BYTES: usize = 64 << 10;

/// The JSON body of an error (RFC 9457), with the code and the retryable flag as extension members.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    detail: &'a str,
    code: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Box<RawValue>>,
}

/// The part of such a body that is read.
#[derive(Deserialize)]
struct ProblemDetail<'a> {
    #[serde(borrow)]
    detail: Cow<'a, str>,
    /// Checked for syntax only, so that a nesting that is too deep to be read costs only the details.
    #[serde(borrow, default)]
    details: Option<&'a RawValue>,
}

/// The reply to `request`. `message_id` is the server's id for this reply, which matches a returned
/// message to its request.
///
/// An error message is sent as one line of at most 500 characters; details only in JSON, if they have at most 64 KiB. An error with code `OK` is a
/// contradiction and is sent as `INTERNAL`.
pub fn write(
    request: &RequestMessage,
    outcome: Result<Reply, Status>,
    trailer: &Trailer,
    message_id: u64,
) -> Message {
    let mut headers = Vec::with_capacity(5);
    let (kind, body, content_type) = match outcome {
        Ok(reply) => {
            let status = HeaderValue::Text(Code::Ok.name().into());
            headers.push((header::STATUS, status));
            (KIND_REPLY, reply.body, reply.content_type)
        }
        Err(status) => {
            let code = match status.code() {
                Code::Ok => Code::Internal,
                code => code,
            };
            headers.push((header::STATUS, HeaderValue::Text(code.name().into())));
            headers.push((header::RETRYABLE, HeaderValue::Bool(code.retryable())));
            let message = text::excerpt(status.message(), MAX_MESSAGE_CHARS);
            let details = status.details();
            let (body, content_type) = error_body(code, &message, details, request.format);
            (KIND_ERROR, body, Some(content_type.into()))
        }
    };
    if let Some(server) = &trailer.server {
        headers.push((header::SERVER, HeaderValue::Text(server.clone())));
    }
    for (name, time) in [
        (header::QUEUED_US, trailer.queued),
        (header::COMPUTE_US, trailer.compute),
    ] {
        if let Some(time) = time {
            // At most 32 bits, which every AMQP library can read.
            let micros = i32::try_from(time.as_micros()).unwrap_or(i32::MAX);
            headers.push((name, HeaderValue::Int(micros.into())));
        }
    }
    Message {
        body,
        properties: Properties {
            content_type: content_type.map(Cow::into_owned),
            correlation_id: request.correlation_id.clone(),
            message_id: Some(message_id.to_string().into_bytes()),
            kind: Some(kind.into()),
            headers,
            ..Properties::default()
        },
    }
}

/// An error as one line of text, or as a problem object.
fn error_body(
    code: Code,
    message: &str,
    details: Option<&Value>,
    format: Format,
) -> (Vec<u8>, &'static str) {
    let text = || format!("error: {}: {message}", code.name()).into_bytes();
    if format == Format::Text {
        return (text(), "text/plain");
    }
    let problem = Problem {
        kind: format!("urn:fibrpc:error:{}", code.name()),
        title: code.name().to_ascii_lowercase().replace('_', " "),
        detail: message,
        code: code.name(),
        retryable: code.retryable(),
        details: details
            .and_then(|details| to_raw_value(details).ok())
            .filter(|details| details.get().len() <= MAX_DETAILS_BYTES),
    };
    match serde_json::to_vec(&problem) {
        Ok(body) => (body, PROBLEM_JSON),
        Err(_) => (text(), "text/plain"), // cannot happen: these members always serialise
    }
}

/// Reads a reply of any server like the tutorial's: the body, which is not copied, or a status.
///
/// An error with an unknown code is `UNKNOWN`. Error messages are escaped and shortened to one line.
pub fn read(message: Message) -> Result<Reply, (Status, Trailer)> {
    let Message { body, properties } = message;
    let trailer = trailer(&properties);
    let status = properties.text_header(header::STATUS);
    let is_error = properties.kind.as_deref() == Some(KIND_ERROR)
        || status.is_some_and(|name| name != Code::Ok.name());
    let json = Format::of(properties.content_type.as_deref()) == Format::Json;
    if is_error {
        return Err((read_error(&body, status, json), trailer));
    }
    Ok(Reply {
        body,
        content_type: properties.content_type.map(Cow::Owned),
        trailer,
        round_trip: None,
    })
}

/// What any reply, an error included, says about its server.
pub fn trailer(properties: &Properties) -> Trailer {
    let time = |name| {
        let micros = properties.header(name)?.integer()?;
        u64::try_from(micros).ok().map(Duration::from_micros)
    };
    Trailer {
        server: (properties.text_header(header::SERVER))
            .map(|name| text::excerpt(name, 100).into_owned()),
        queued: time(header::QUEUED_US),
        compute: time(header::COMPUTE_US),
        trace_id: None,
    }
}

/// The status in an error reply. The code is read from the header; the one in the text is for people.
fn read_error(body: &[u8], status: Option<&str>, json: bool) -> Status {
    let code = status
        .and_then(Code::from_name)
        .filter(|code| *code != Code::Ok);
    let Some(code) = code else {
        let shown = text::quoted(status.unwrap_or_default().as_bytes());
        let body = text::quoted(body);
        return Status::unknown(format!(
            "the server's error has no known code ({shown}): {body}"
        ));
    };
    let mut details = None;
    let detail: Option<Cow<'_, str>> = if json {
        let problem: Option<ProblemDetail<'_>> = serde_json::from_slice(body).ok();
        problem.map(|problem| {
            details = problem.details;
            problem.detail
        })
    } else {
        let text = std::str::from_utf8(body).ok();
        let text = text.and_then(|text| text.strip_prefix("error: ")?.strip_prefix(code.name()));
        text.and_then(|text| text.strip_prefix(": "))
            .map(Cow::Borrowed)
    };
    let message = match detail {
        Some(detail) => text::excerpt(&detail, MAX_MESSAGE_CHARS).into_owned(),
        None => format!("the server gave no reason: {}", text::quoted(body)),
    };
    let details: Option<Value> = details.and_then(|raw| serde_json::from_str(raw.get()).ok());
    Status::new(code, message).with_details(details)
}

#[cfg(test)]
mod tests;
