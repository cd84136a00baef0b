//! Reading requests from all kinds of messages.

use super::*;
use crate::protocol::Code;

fn request(properties: Properties) -> RequestMessage {
    RequestMessage::read(Message {
        body: b"30".to_vec(),
        properties,
    })
}

#[test]
fn a_message_without_properties_is_a_text_request() {
    let expected = RequestMessage {
        body: b"30".to_vec(),
        format: Format::Text,
        kind: None,
        reply_to: None,
        correlation_id: None,
        deadline_ms: None,
        sent_ms: None,
        arrived_ms: None,
        expires: false,
        trace: None,
        delivery_count: 0,
        defect: None,
    };
    assert_eq!(request(Properties::default()), expected);
    assert_eq!(expected.body(), Ok(&b"30"[..]));
    assert!(!expected.expired(i64::MAX));
}

#[test]
fn the_content_type_selects_the_format() {
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
fn the_correlation_id_takes_precedence_over_the_message_id() {
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
fn an_empty_reply_address_is_none() {
    for (reply_to, expected) in [(None, None), (Some(""), None), (Some("q"), Some("q"))] {
        let read = request(Properties {
            reply_to: reply_to.map(Into::into),
            ..Properties::default()
        });
        assert_eq!(read.reply_to.as_deref(), expected);
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn headers_of_unexpected_types_are_ignored() {
    let read = request(Properties {
        headers: vec![
            (header::DEADLINE, HeaderValue::Int(1_800_000_000_000)),
            (header::TRACEPARENT, HeaderValue::Text(PARENT.into())),
            (header::TRACESTATE, HeaderValue::Text("v=1".into())),
            (header::DELIVERY_COUNT, HeaderValue::Int(2)),
            (header::ARRIVED, HeaderValue::Int(1_800_000_000_000)),
        ],
        ..Properties::default()
    });
    assert_eq!(read.deadline_ms, Some(1_800_000_000_000));
    let trace = TraceContext::parse(PARENT, Some("v=1")).unwrap();
    assert_eq!(read.trace.as_deref(), Some(&trace));
    assert_eq!(read.delivery_count, 2);
    assert_eq!(read.arrived_ms, Some(1_800_000_000_000));

    let read = request(Properties {
        headers: vec![
            (header::DEADLINE, HeaderValue::Bool(true)),
            (header::TRACEPARENT, HeaderValue::Int(1)),
            (header::TRACESTATE, HeaderValue::Bool(true)),
            (header::DELIVERY_COUNT, HeaderValue::Int(-1)),
            (header::ARRIVED, HeaderValue::Bool(true)),
        ],
        ..Properties::default()
    });
    assert_eq!(read, request(Properties::default()));

    for parent in ["00-ab-cd-01", ""] {
        let read = request(Properties {
            headers: vec![
                (header::TRACEPARENT, HeaderValue::Text(parent.into())),
                (header::TRACESTATE, HeaderValue::Text("v=1".into())),
            ],
            ..Properties::default()
        });
        assert_eq!(read.trace, None, "{parent}");
    }
}

#[test]
fn deadlines_are_read_from_every_type() {
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
fn the_send_time_is_the_deadline_minus_the_expiration() {
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
fn the_time_left_has_a_second_of_skew_and_ends_at_zero() {
    let left = |deadline: Option<i64>, now| {
        let read = RequestMessage {
            deadline_ms: deadline,
            ..request(Properties::default())
        };
        read.time_left(now).map(|left| left.as_millis())
    };
    assert_eq!(left(None, 0), None);
    assert_eq!(left(Some(10_000), 9_500), Some(1_500));
    assert_eq!(left(Some(10_000), 11_000), Some(0));
    assert_eq!(left(Some(10_000), 12_000), Some(0));
}

#[test]
fn the_type_names_the_method() {
    let method = |kind: Option<&str>| {
        let read = RequestMessage {
            kind: kind.map(str::to_owned),
            ..request(Properties::default())
        };
        read.method().map(str::to_owned)
    };
    for none in [None, Some(""), Some("amqp-1.0")] {
        assert_eq!(method(none), None, "{none:?}");
    }
    assert_eq!(method(Some("price")).as_deref(), Some("price"));
}

#[test]
fn a_late_request_is_told_by_how_much_and_the_likely_cause() {
    let clocks = "; do the clocks of both machines agree?";
    let queue =
        "; it waited in the queue for too long, or the clocks of both machines do not agree";
    let unit = "; is fibrpc-deadline in milliseconds of Unix time, and are the clocks of both machines right?";
    let now = 1_800_000_000_000;
    let table = [
        (now - 4_000, true, "4s", clocks),
        (now - 4_000, false, "4s", queue),
        (now - 1_234, true, "1.23s", clocks),
        (now - 10_900, true, "10.9s", clocks),
        (now - 119_999, true, "2m", clocks),
        (now - 3_600_000, true, "1h", clocks),
        (now - 7_200_000, true, "2h", clocks),
        (now - 200_000_000, false, "2d7h", queue),
        (now / 1_000, true, "20812d12h", unit),
        (i64::MIN, false, "106751991167d7h", unit),
    ];
    for (deadline, expires, late, hint) in table {
        let read = request(Properties {
            expiration: expires.then(|| "5000".into()),
            headers: vec![(header::DEADLINE, HeaderValue::Int(deadline))],
            ..Properties::default()
        });
        assert!(read.expired(now));
        let status = read.too_late(now);
        assert_eq!(status.code(), Code::DeadlineExceeded);
        let expected =
            format!("the caller's deadline passed {late} before the request arrived here{hint}");
        assert_eq!(status.message(), expected);
    }
}

#[test]
fn an_oversized_body_is_refused_and_a_bad_reply_address_is_kept() {
    let with = |defect| {
        request(Properties {
            defect: Some(defect),
            ..Properties::default()
        })
    };
    assert_eq!(with(Defect::ReplyTo(vec![7])).body(), Ok(&b"30"[..]));
    assert_eq!(
        with(Defect::ReplyTo(vec![7])).defect,
        Some(Defect::ReplyTo(vec![7]))
    );
    let dropped = with(Defect::Body(104_857_600));
    let status = dropped.body().unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("104857600 bytes"), "{status}");
    assert!(
        status.message().contains("server.max_request_bytes"),
        "{status}"
    );
}

#[test]
fn written_requests_are_read_back() {
    let message = write(b"30", b"id-1", "amq.gen-x", 5_000, 1_800_000_005_000);
    assert_eq!(message.properties.message_id.as_deref(), Some(&b"id-1"[..]));
    assert_eq!(message.properties.expiration.as_deref(), Some("5000"));
    assert!(!message.properties.persistent);
    let read = RequestMessage::read(message);
    let expected = RequestMessage {
        reply_to: Some("amq.gen-x".into()),
        correlation_id: Some(b"id-1".to_vec()),
        deadline_ms: Some(1_800_000_005_000),
        sent_ms: Some(1_800_000_000_000),
        expires: true,
        ..request(Properties::default())
    };
    assert_eq!(read, expected);
    let plain = RequestMessage::read(write_plain(b"30", b"id-1", "amq.gen-x"));
    let expected = RequestMessage {
        reply_to: Some("amq.gen-x".into()),
        correlation_id: Some(b"id-1".to_vec()),
        ..request(Properties::default())
    };
    assert_eq!(plain, expected);
    let endless = write(b"30", b"", "q", u64::MAX, i64::MAX);
    assert_eq!(endless.properties.expiration.as_deref(), Some("4294967295"));
}

#[test]
fn queue_addresses_of_amqp_1_0_are_resolved() {
    let table = [
        ("/queues/amq.gen%2Dx", Some("amq.gen-x"), None),
        ("/queue/rpc_queue", Some("rpc_queue"), None),
        ("/queues/%zz", Some("/queues/%zz"), None),
        (
            "/queues/a%FF",
            None,
            Some(Defect::ReplyTo(b"a\xff".to_vec())),
        ),
    ];
    for (reply_to, expected, defect) in table {
        let read = request(Properties {
            reply_to: Some(reply_to.into()),
            ..Properties::default()
        });
        assert_eq!(read.reply_to.as_deref(), expected, "{reply_to}");
        assert_eq!(read.defect, defect, "{reply_to}");
    }
}

#[test]
fn value_sections_of_amqp_1_0_are_read_as_bodies() {
    let read = |kind: &str, body: &[u8], defect| {
        RequestMessage::read(Message {
            body: body.to_vec(),
            properties: Properties {
                kind: Some(kind.into()),
                defect,
                ..Properties::default()
            },
        })
    };
    let value = b"\x00\x53\x77\xa1\x0230";
    assert_eq!(read("amqp-1.0", value, None).body(), Ok(&b"30"[..]));
    let section = read("amqp-1.0", b"\x00\x53\x76\xd0", None);
    let status = section.body().unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("send a data section"), "{status}");
    // Only that type selects decoding, and a dropped body stays dropped.
    assert_eq!(read("other", value, None).body(), Ok(&value[..]));
    let dropped = read("amqp-1.0", b"", Some(Defect::Body(7)));
    assert!(dropped.body().unwrap_err().message().contains("7 bytes"));
}
