//! Between AMQP's properties and ours. Only what the protocol gives a meaning to is read.

use super::connection::short;
use super::{Error, guard};
use crate::protocol::{Defect, HeaderValue, Properties, header};
use lapin::BasicProperties;
use lapin::types::{AMQPValue, ByteArray, FieldTable, LongString, ShortString};
use std::collections::BTreeMap;

/// What a delivered message says.
pub(super) fn properties(from: &BasicProperties) -> Properties {
    let text = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().to_owned());
    let bytes = |value: &Option<ShortString>| value.as_ref().map(|text| text.as_str().into());
    let mut to = Properties {
        content_type: text(from.content_type()),
        correlation_id: bytes(from.correlation_id()),
        message_id: bytes(from.message_id()),
        reply_to: text(from.reply_to()),
        expiration: text(from.expiration()),
        kind: text(from.kind()),
        timestamp: *from.timestamp(),
        persistent: *from.delivery_mode() == Some(2),
        headers: Vec::new(),
        defect: None,
    };
    if let Some(headers) = from.headers() {
        let headers = headers.inner();
        read_marks(headers, &mut to);
        to.headers = header::ALL
            .iter()
            .filter_map(|name| Some((*name, header_value(headers.get(*name)?)?)))
            .collect();
    }
    to
}

/// What the guard moved or took away so that the message could be decoded at all.
fn read_marks(headers: &BTreeMap<ShortString, AMQPValue>, to: &mut Properties) {
    let raw = |name| match headers.get(name) {
        Some(AMQPValue::ByteArray(bytes)) => Some(bytes.as_slice().to_vec()),
        _ => None,
    };
    to.correlation_id = to
        .correlation_id
        .take()
        .or_else(|| raw(guard::RAW_CORRELATION_ID));
    to.message_id = to.message_id.take().or_else(|| raw(guard::RAW_MESSAGE_ID));
    let number = |name| match headers.get(name) {
        Some(AMQPValue::LongLongInt(value)) => Some(*value),
        _ => None,
    };
    let dropped = number(guard::DEFECTS).unwrap_or(0);
    to.defect = if let Some(size) = number(guard::DROPPED_BODY) {
        Some(Defect::Body(u64::try_from(size).unwrap_or(u64::MAX)))
    } else if dropped & guard::DEFECT_REPLY_TO != 0 {
        Some(Defect::ReplyTo)
    } else if dropped & guard::DEFECT_HEADERS != 0 {
        Some(Defect::Headers)
    } else {
        None
    };
}

fn header_value(value: &AMQPValue) -> Option<HeaderValue> {
    Some(match value {
        AMQPValue::Boolean(value) => HeaderValue::Bool(*value),
        AMQPValue::ShortShortInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::ShortShortUInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::ShortInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::ShortUInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::LongInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::LongUInt(value) => HeaderValue::Int((*value).into()),
        AMQPValue::LongLongInt(value) => HeaderValue::Int(*value),
        AMQPValue::Timestamp(value) => HeaderValue::Int(i64::try_from(*value).ok()?),
        AMQPValue::ShortString(value) => HeaderValue::Text(value.as_str().to_owned()),
        AMQPValue::LongString(value) => {
            HeaderValue::Text(std::str::from_utf8(value.as_bytes()).ok()?.to_owned())
        }
        _ => return None,
    })
}

/// What a message to be published says.
pub(super) fn basic_properties(from: &Properties) -> Result<BasicProperties, Error> {
    let mut to = BasicProperties::default();
    let mut headers = FieldTable::default();
    for (name, value) in &from.headers {
        headers.insert(
            short("a header's name", name)?,
            match value {
                HeaderValue::Bool(value) => AMQPValue::Boolean(*value),
                HeaderValue::Int(value) => AMQPValue::LongLongInt(*value),
                HeaderValue::Text(value) => AMQPValue::LongString(LongString::from(value.as_str())),
            },
        );
    }
    if let Some(value) = &from.content_type {
        to = to.with_content_type(short("content_type", value)?);
    }
    if let Some(value) = &from.correlation_id {
        if let Ok(text) = std::str::from_utf8(value) {
            to = to.with_correlation_id(short("correlation_id", text)?);
        } else {
            let raw = AMQPValue::ByteArray(ByteArray::from(value.clone()));
            headers.insert(guard::RAW_CORRELATION_ID.into(), raw);
        }
    }
    if let Some(value) = &from.message_id {
        to = to.with_message_id(short("message_id", &String::from_utf8_lossy(value))?);
    }
    if let Some(value) = &from.reply_to {
        to = to.with_reply_to(short("reply_to", value)?);
    }
    if let Some(value) = &from.expiration {
        to = to.with_expiration(short("expiration", value)?);
    }
    if let Some(value) = &from.kind {
        to = to.with_type(short("type", value)?);
    }
    if let Some(value) = from.timestamp {
        to = to.with_timestamp(value);
    }
    to = to.with_delivery_mode(if from.persistent { 2 } else { 1 });
    Ok(if headers.inner().is_empty() {
        to
    } else {
        to.with_headers(headers)
    })
}
