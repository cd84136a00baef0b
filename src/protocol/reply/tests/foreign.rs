//! Reading replies of other servers and other versions.

use super::*;

fn plain(body: &[u8]) -> Message {
    Message {
        body: body.to_vec(),
        properties: Properties::default(),
    }
}

#[test]
fn integers_from_any_server_are_read() {
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
fn replies_other_than_integers_are_unknown() {
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
fn json_replies_are_read() {
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

/// Reads an error with this header `fibrpc-status`.
fn read_error(status: Option<HeaderValue>, kind: Option<&str>, json: bool, body: &str) -> Status {
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
fn errors_without_a_known_code_are_unknown() {
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
        let status = read_error(header, kind, false, body);
        assert_eq!(status.code, Code::Unknown, "{status}");
        let message = format!("the server's error has no known code {part}");
        assert_eq!(status.message, message);
    }
}

#[test]
fn errors_with_an_unexpected_body_keep_their_code() {
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
            let status = read_error(header, kind, json, body);
            assert_eq!(status, Status::new(Code::Internal, message), "{body}");
        }
    }
}

#[test]
fn trailers_of_unexpected_types_are_ignored() {
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
fn trailers_may_be_text_or_64_bit_integers() {
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
