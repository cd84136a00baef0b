//! Reading replies of other servers and other versions.

use super::*;

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
    read(message).unwrap_err().0
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
        assert_eq!(status.code(), Code::Unknown, "{status}");
        let message = format!("the server's error has no known code {part}");
        assert_eq!(status.message(), message);
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
fn details_of_other_servers_are_read_if_they_can_be() {
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let table = [
        ("null", None),
        ("[1,{}]", Some(serde_json::json!([1, {}]))),
        (deep.as_str(), None),
    ];
    for (details, expected) in table {
        let header = Some(HeaderValue::Text("INTERNAL".into()));
        let body = format!(r#"{{"detail":"x","details":{details}}}"#);
        let status = read_error(header, Some(KIND_ERROR), true, &body);
        assert_eq!(status.message(), "x");
        assert_eq!(status.details(), expected.as_ref());
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
    assert_eq!(read(message).unwrap().trailer, Trailer::default());
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
    let trailer = read(message).unwrap().trailer;
    let longest = Duration::from_micros(i64::MAX.unsigned_abs());
    assert_eq!(trailer.queued, Some(longest));
    assert_eq!(trailer.compute, Some(Duration::from_micros(7)));
}
