//! Replies: their form on the wire, and round trips; replies of other servers are in `foreign`.

mod foreign;

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn request(format: Format) -> RequestMessage {
    let content_type = (format == Format::Json).then(|| "application/json".to_owned());
    RequestMessage::read(Message {
        body: b"30".to_vec(),
        properties: Properties {
            content_type,
            correlation_id: Some(vec![0, 255, 7]),
            message_id: Some(b"the client's".to_vec()),
            reply_to: Some("amq.gen-x".into()),
            expiration: Some("5000".into()),
            kind: Some("theirs".into()),
            timestamp: Some(1),
            persistent: true,
            headers: vec![
                (header::DEADLINE, HeaderValue::Int(1_800_000_000_000)),
                (header::TRACEPARENT, HeaderValue::Text("00-ab-cd-01".into())),
                (header::SERVER, HeaderValue::Text("forged".into())),
                (header::DELIVERY_COUNT, HeaderValue::Int(1)),
            ],
            ..Properties::default()
        },
    })
}

fn full_trailer() -> Trailer {
    Trailer {
        server: Some("one".into()),
        queued: Some(Duration::from_micros(1_500)),
        compute: Some(Duration::from_micros(7)),
        trace_id: None,
    }
}

#[test]
fn a_success_on_the_wire() {
    let table = [
        (Format::Text, "832040", "text/plain"),
        (
            Format::Json,
            r#"{"n":30,"value":"832040"}"#,
            "application/json",
        ),
    ];
    for (format, body, content_type) in table {
        let answer = Reply::new(body, content_type);
        let message = write(&request(format), Ok(answer), &full_trailer(), 42);
        let expected = Message {
            body: body.into(),
            properties: Properties {
                content_type: Some(content_type.into()),
                correlation_id: Some(vec![0, 255, 7]),
                message_id: Some(b"42".to_vec()),
                kind: Some("fibrpc.reply".into()),
                headers: vec![
                    (header::STATUS, HeaderValue::Text("OK".into())),
                    (header::SERVER, HeaderValue::Text("one".into())),
                    (header::QUEUED_US, HeaderValue::Int(1_500)),
                    (header::COMPUTE_US, HeaderValue::Int(7)),
                ],
                ..Properties::default() // transient, no reply_to, no expiration
            },
        };
        assert_eq!(message, expected, "{format:?}");
    }
}

#[test]
fn an_error_on_the_wire() {
    let status = Status::new(Code::ResourceExhausted, "too \"busy\",\ntry again");
    let table = [
        (
            Format::Text,
            r#"error: RESOURCE_EXHAUSTED: too "busy",\ntry again"#,
            "text/plain",
        ),
        (
            Format::Json,
            concat!(
                r#"{"type":"urn:fibrpc:error:RESOURCE_EXHAUSTED","title":"resource exhausted","#,
                r#""detail":"too \"busy\",\\ntry again","code":"RESOURCE_EXHAUSTED","#,
                r#""retryable":true}"#
            ),
            "application/problem+json",
        ),
    ];
    for (format, body, content_type) in table {
        let message = write(
            &request(format),
            Err(status.clone()),
            &Trailer::default(),
            0,
        );
        assert_eq!(String::from_utf8_lossy(&message.body), body);
        let properties = Properties {
            content_type: Some(content_type.into()),
            correlation_id: Some(vec![0, 255, 7]),
            message_id: Some(b"0".to_vec()),
            kind: Some("fibrpc.error".into()),
            headers: vec![
                (
                    header::STATUS,
                    HeaderValue::Text("RESOURCE_EXHAUSTED".into()),
                ),
                (header::RETRYABLE, HeaderValue::Bool(true)),
            ],
            ..Properties::default()
        };
        assert_eq!(message.properties, properties, "{format:?}");
    }
}

fn answer(body: impl Into<Vec<u8>>) -> Reply {
    Reply::new(body, "text/plain")
}

fn error(message: Message) -> Status {
    read(message).unwrap_err().0
}

#[test]
fn bodies_are_not_copied() {
    let body = vec![b'8'; 1_000];
    let place = body.as_ptr();
    let message = write(
        &request(Format::Text),
        Ok(answer(body)),
        &Trailer::default(),
        1,
    );
    assert_eq!(read(message).unwrap().body.as_ptr(), place);
}

#[test]
fn times_are_whole_microseconds_of_at_most_32_bits() {
    let trailer = Trailer {
        server: None,
        queued: Some(Duration::MAX),
        compute: Some(Duration::from_nanos(1_999)),
        trace_id: None,
    };
    let message = write(&request(Format::Text), Ok(answer("1")), &trailer, u64::MAX);
    let header = |name| message.properties.header(name);
    let longest = HeaderValue::Int(i32::MAX.into());
    assert_eq!(header(header::QUEUED_US), Some(&longest));
    assert_eq!(header(header::COMPUTE_US), Some(&HeaderValue::Int(1)));
    let id = message.properties.message_id.as_deref();
    assert_eq!(id, Some(&b"18446744073709551615"[..]));
}

#[test]
fn details_travel_in_the_problem_object() {
    let status =
        Status::not_found("no such item").with_details(json!({"item": "tea\n", "left": [1]}));
    let sent = |status: &Status, format| {
        write(
            &request(format),
            Err(status.clone()),
            &Trailer::default(),
            1,
        )
    };
    let message = sent(&status, Format::Json);
    let expected = concat!(
        r#"{"type":"urn:fibrpc:error:NOT_FOUND","title":"not found","detail":"no such item","#,
        r#""code":"NOT_FOUND","retryable":false,"details":{"item":"tea\n","left":[1]}}"#
    );
    assert_eq!(String::from_utf8_lossy(&message.body), expected);
    assert_eq!(error(message), status);
    // Text has no place for them.
    let plain = Status::not_found("no such item");
    assert_eq!(error(sent(&status, Format::Text)), plain);
    // Quotes included, one has the longest length and the other is longer.
    let longest = plain
        .clone()
        .with_details("x".repeat(MAX_DETAILS_BYTES - 2));
    assert_eq!(error(sent(&longest, Format::Json)), longest);
    let longer = plain
        .clone()
        .with_details("x".repeat(MAX_DETAILS_BYTES - 1));
    assert_eq!(error(sent(&longer, Format::Json)), plain);
}

#[test]
fn an_error_with_code_ok_is_sent_as_internal() {
    for format in [Format::Text, Format::Json] {
        let status = Status::new(Code::Ok, "what");
        let message = write(&request(format), Err(status), &Trailer::default(), 1);
        assert_eq!(error(message), Status::new(Code::Internal, "what"));
    }
}

#[test]
fn long_messages_are_shortened() {
    let status = Status::new(Code::Internal, "x".repeat(100_000));
    let message = write(&request(Format::Text), Err(status), &Trailer::default(), 1);
    assert_eq!(
        message.body.len(),
        "error: INTERNAL: ".len() + MAX_MESSAGE_CHARS + 3
    );
    let foreign = Message {
        body: format!("error: INTERNAL: {}", "y".repeat(100_000)).into(),
        ..message
    };
    assert_eq!(error(foreign).message().len(), MAX_MESSAGE_CHARS + 3);
}

fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Text), Just(Format::Json)]
}

fn trailers() -> impl Strategy<Value = Trailer> {
    let micros = || proptest::option::of((0..=i32::MAX as u64).prop_map(Duration::from_micros));
    let server = proptest::option::of("[ -~]{0,40}");
    (server, micros(), micros()).prop_map(|(server, queued, compute)| Trailer {
        server,
        queued,
        compute,
        trace_id: None,
    })
}

proptest! {
    #[test]
    fn bodies_round_trip(id: u64, body: Vec<u8>, format in formats(), trailer in trailers()) {
        let message = write(&request(format), Ok(answer(body.clone())), &trailer, id);
        prop_assert_eq!(read(message), Ok(Reply { trailer, ..answer(body) }));
    }

    #[test]
    fn errors_round_trip(
        index in 1..Code::ALL.len(),
        message in "[ -~äöü€]{0,500}",
        format in formats(),
        trailer in trailers(),
    ) {
        let status = Status::new(Code::ALL[index], message);
        let reply = write(&request(format), Err(status.clone()), &trailer, 0);
        prop_assert!(std::str::from_utf8(&reply.body).unwrap().lines().count() == 1);
        prop_assert_eq!(read(reply), Err((status, trailer)));
    }

    #[test]
    fn arbitrary_replies_never_panic(
        body: Vec<u8>,
        status in proptest::option::of(".{0,20}"),
        kind in proptest::option::of("fibrpc\\.(reply|error)|.{0,10}"),
        content_type in proptest::option::of("application/json|.{0,20}"),
    ) {
        let value = status.map(|status| (header::STATUS, HeaderValue::Text(status)));
        let _ = read(Message {
            body,
            properties: Properties {
                content_type,
                kind,
                headers: value.into_iter().collect(),
                ..Properties::default()
            },
        });
    }
}
