//! Tests of replies: what is on the wire, the way there and back, and what other servers send.

use super::*;
use proptest::prelude::*;

fn request(format: Format) -> Request {
    let content_type = (format == Format::Json).then(|| "application/json".to_owned());
    Request::read(Message {
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

fn trailer_of_all() -> Trailer {
    Trailer {
        server: Some("one".into()),
        queued: Some(Duration::from_micros(1_500)),
        compute: Some(Duration::from_micros(7)),
    }
}

fn plain(body: &[u8]) -> Message {
    Message {
        body: body.to_vec(),
        properties: Properties::default(),
    }
}

#[test]
fn success_on_the_wire() {
    let table = [
        (Format::Text, "832040", "text/plain"),
        (
            Format::Json,
            r#"{"n":30,"value":"832040"}"#,
            "application/json",
        ),
    ];
    for (format, body, content_type) in table {
        let answer = Answer::number(30, "832040".into(), format);
        let message = write(&request(format), Ok(answer), &trailer_of_all(), 42);
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
fn errors_on_the_wire() {
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

#[test]
fn digits_move_from_answer_to_client_without_a_copy() {
    let digits = "8".repeat(1_000);
    let place = digits.as_ptr();
    let answer = Answer::number(30, digits, Format::Text);
    let message = write(&request(Format::Text), Ok(answer), &Trailer::default(), 1);
    let (result, _) = read(message);
    let result = result.unwrap();
    assert_eq!(result.as_ptr(), place);
}

#[test]
fn times_are_whole_microseconds_and_never_overflow() {
    let trailer = Trailer {
        server: None,
        queued: Some(Duration::MAX),
        compute: Some(Duration::from_nanos(1_999)),
    };
    let answer = Answer::number(1, "1".into(), Format::Text);
    let message = write(&request(Format::Text), Ok(answer), &trailer, u64::MAX);
    let header = |name| message.properties.header(name);
    let longest = HeaderValue::Int(i32::MAX.into());
    assert_eq!(header(header::QUEUED_US), Some(&longest));
    assert_eq!(header(header::COMPUTE_US), Some(&HeaderValue::Int(1)));
    let id = message.properties.message_id.as_deref();
    assert_eq!(id, Some(&b"18446744073709551615"[..]));
}

#[test]
fn an_error_of_code_ok_is_a_fault_of_the_server() {
    for format in [Format::Text, Format::Json] {
        let status = Status::new(Code::Ok, "what");
        let message = write(&request(format), Err(status), &Trailer::default(), 1);
        let (result, _) = read(message);
        assert_eq!(result, Err(Status::new(Code::Internal, "what")));
    }
}

#[test]
fn replies_of_any_server() {
    let table: [(&[u8], &str); 11] = [
        (b"832040", "832040"),
        (b" 832040\r\n", "832040"),
        (b"0", "0"),
        (b"-298632863", "-298632863"), // 32 bits wrapped round
        (b"354224848179261915075", "354224848179261915075"),
        (b"007", "007"),
        (b"\t1", "1"),
        (b"1\n", "1"),
        (b"\x0b1", "1"),
        (b"\n-1\n", "-1"),
        (b"9", "9"),
    ];
    for (body, digits) in table {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(read(plain(body)).0.as_deref(), Ok(digits), "{shown:?}");
    }
}

#[test]
fn replies_that_are_no_integers() {
    let java = b"\xac\xed\0\x05sr\0\x11java.lang.Integer";
    let table: [(&[u8], &str); 15] = [
        (b"", "server reported an error (empty reply)"),
        (b" \n", "server reported an error (empty reply)"),
        (b"NaN", "the reply is not an integer: `NaN`"),
        (b"-", "the reply is not an integer: `-`"),
        (b"+5", "the reply is not an integer: `+5`"),
        (b"--5", "the reply is not an integer: `--5`"),
        (b"1.0E25", "the reply is not an integer: `1.0E25`"),
        (b"1 2", "the reply is not an integer: `1 2`"),
        (b"5\0", r"the reply is not an integer: `5\0`"),
        (b"\x1b[31m5", r"the reply is not an integer: `\u{1b}[31m5`"),
        (
            b"{\"n\":30,\"value\":\"1\"}",
            r#"the reply is not an integer: `{"n":30,"value":"1"}`"#,
        ),
        (
            b"error: INTERNAL: x",
            "the reply is not an integer: `error: INTERNAL: x`",
        ),
        (
            b"\0\0\0\0\0\x0c\xb2\x28",
            "the reply is not an integer: `\\0\\0\\0\\0\\0\\u{c}\u{fffd}(`",
        ),
        (
            java,
            "the reply is not an integer: `\u{fffd}\u{fffd}\\0\\u{5}sr\\0\\u{11}java.lang.Integer`",
        ),
        (
            &[b'x'; 1000],
            "the reply is not an integer: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...`",
        ),
    ];
    for (body, message) in table {
        let expected = Err(Status::new(Code::Unknown, message));
        assert_eq!(read(plain(body)).0, expected);
    }
}

#[test]
fn json_replies() {
    let table: [(&[u8], Option<&str>); 8] = [
        (br#"{"n":30,"value":"832040"}"#, Some("832040")),
        (br#" {"value":"-5", "more":[1]} "#, Some("-5")),
        (br#"{"value":"\u0035"}"#, Some("5")),
        (b"832040", Some("832040")),
        (br#"{"n":30,"value":832040}"#, None),
        (br#"{"n":30}"#, None),
        (br#"{"value":"5 "}"#, None),
        (br#"{"value":"5"} x"#, None),
    ];
    for (body, digits) in table {
        let message = Message {
            body: body.to_vec(),
            properties: Properties {
                content_type: Some("application/json; charset=utf-8".into()),
                ..Properties::default()
            },
        };
        let (result, _) = read(message);
        assert_eq!(result.as_deref().ok(), digits, "{result:?}");
        if let Err(status) = result {
            assert_eq!(status.code, Code::Unknown);
        }
    }
}

/// What a client makes of an error with this header `fibrpc-status`.
fn read_odd(status: Option<HeaderValue>, kind: Option<&str>, json: bool, body: &str) -> Status {
    let message = Message {
        body: body.into(),
        properties: Properties {
            content_type: json.then(|| PROBLEM_JSON.into()),
            kind: kind.map(Into::into),
            headers: status
                .into_iter()
                .map(|value| (header::STATUS, value))
                .collect(),
            ..Properties::default()
        },
    };
    read(message).0.unwrap_err()
}

#[test]
fn errors_without_a_known_code() {
    let text = |name: &str| Some(HeaderValue::Text(name.into()));
    let error = Some(KIND_ERROR);
    let table = [
        (
            None,
            error,
            "error: INTERNAL: x",
            "(``): `error: INTERNAL: x`",
        ),
        (text("OK"), error, "55", "(`OK`): `55`"),
        (text("TEAPOT"), None, "x", "(`TEAPOT`): `x`"),
        (text("a\nb"), error, "", r"(`a\nb`): ``"),
        (Some(HeaderValue::Int(3)), error, "x", "(``): `x`"),
    ];
    for (header, kind, body, part) in table {
        let status = read_odd(header, kind, false, body);
        assert_eq!(status.code, Code::Unknown, "{status}");
        let message = format!("the server's error has no known code {part}");
        assert_eq!(status.message, message);
    }
}

#[test]
fn errors_with_an_odd_body() {
    let no_reason = "the server gave no reason:";
    let table = [
        (false, "error: INTERNAL: x", "x"),
        (false, "error: INTERNAL: a\n\u{1b}b", r"a\n\u{1b}b"),
        (false, "error: INTERNAL: ", ""),
        (false, "55", &format!("{no_reason} `55`")),
        (false, "", &format!("{no_reason} ``")),
        (
            false,
            "error: UNKNOWN: x",
            &format!("{no_reason} `error: UNKNOWN: x`"),
        ),
        (true, r#"{"detail":"x"}"#, "x"),
        (true, r#"{"detail":"a\nb"}"#, r"a\nb"),
        (
            true,
            r#"{"detail":5}"#,
            &format!(r#"{no_reason} `{{"detail":5}}`"#),
        ),
        (true, "[[[[", &format!("{no_reason} `[[[[`")),
    ];
    for (json, body, message) in table {
        for kind in [None, Some(KIND_ERROR)] {
            let header = Some(HeaderValue::Text("INTERNAL".into()));
            let status = read_odd(header, kind, json, body);
            assert_eq!(status, Status::new(Code::Internal, message), "{body}");
        }
    }
}

#[test]
fn long_messages_are_cut() {
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
    assert_eq!(
        read(foreign).0.unwrap_err().message.len(),
        MAX_MESSAGE_CHARS + 3
    );
}

#[test]
fn trailers_of_the_wrong_type_are_missing() {
    let message = Message {
        body: b"1".to_vec(),
        properties: Properties {
            headers: vec![
                (header::SERVER, HeaderValue::Int(1)),
                (header::QUEUED_US, HeaderValue::Int(-1)),
                (header::COMPUTE_US, HeaderValue::Time(7)),
            ],
            ..Properties::default()
        },
    };
    assert_eq!(read(message), (Ok("1".into()), Trailer::default()));
}

#[test]
fn trailers_may_be_text_and_wider_than_ours() {
    let message = Message {
        body: b"1".to_vec(),
        properties: Properties {
            headers: vec![
                (header::QUEUED_US, HeaderValue::Int(i64::MAX)),
                (header::COMPUTE_US, HeaderValue::Text("7".into())),
            ],
            ..Properties::default()
        },
    };
    let (_, trailer) = read(message);
    let longest = Duration::from_micros(i64::MAX.unsigned_abs());
    assert_eq!(trailer.queued, Some(longest));
    assert_eq!(trailer.compute, Some(Duration::from_micros(7)));
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
    })
}

proptest! {
    #[test]
    fn digits_come_back(n: u64, digits in "[0-9]{1,60}", format in formats(), trailer in trailers()) {
        let answer = Answer::number(n, digits.clone(), format);
        let message = write(&request(format), Ok(answer), &trailer, n);
        prop_assert_eq!(read(message), (Ok(digits), trailer));
    }

    #[test]
    fn errors_come_back(
        index in 1..Code::ALL.len(),
        message in "[ -~äöü€]{0,500}",
        format in formats(),
        trailer in trailers(),
    ) {
        let status = Status::new(Code::ALL[index], message);
        let reply = write(&request(format), Err(status.clone()), &trailer, 0);
        prop_assert!(std::str::from_utf8(&reply.body).unwrap().lines().count() == 1);
        prop_assert_eq!(read(reply), (Err(status), trailer));
    }

    #[test]
    fn no_reply_panics(
        body: Vec<u8>,
        status in proptest::option::of(".{0,20}"),
        kind in proptest::option::of("fibrpc\\.(reply|error)|.{0,10}"),
        content_type in proptest::option::of("application/json|.{0,20}"),
    ) {
        let value = status.map(|status| (header::STATUS, HeaderValue::Text(status)));
        let (result, _) = read(Message {
            body,
            properties: Properties {
                content_type,
                kind,
                headers: value.into_iter().collect(),
                ..Properties::default()
            },
        });
        if let Ok(digits) = result {
            prop_assert!(is_integer(digits.as_bytes()));
        }
    }
}
