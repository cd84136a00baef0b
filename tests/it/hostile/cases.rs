//! The hostile messages: tables of bodies, headers, properties and reply addresses.

pub mod headers;

use crate::support::wire::Properties;
use crate::support::wire::properties::value;
use Fate::{Answer, Code, Silence, Value};

/// Somewhere in every hostile message, and never in the log.
pub const CANARY: &str = "canary-5e1f";

/// A direct reply-to name as a broker would make it, of a node that is not in the cluster.
pub const STRANGE_NODE: &str = "amq.rabbitmq.reply-to.g1h2AAlyZXBseUAxMjMAAAAAAAAAAQAAAAI=.AAAA";

/// The expected outcome of a message.
#[derive(Debug, Clone)]
pub enum Fate {
    /// This value.
    Value(&'static str),
    /// An error reply with this code.
    Code(&'static str),
    /// A value or an error: only that there is an answer is certain.
    Answer,
    /// No reply, and counted.
    Silence,
    /// The broker closes the sender's channel or connection, or drops the message.
    Broker,
}

pub struct Case {
    pub name: String,
    pub properties: Properties,
    pub body: Vec<u8>,
    pub fate: Fate,
}

pub fn case(
    name: impl Into<String>,
    properties: Properties,
    body: impl AsRef<[u8]>,
    fate: Fate,
) -> Case {
    Case {
        name: name.into(),
        properties,
        body: body.as_ref().to_vec(),
        fate,
    }
}

/// A request with a good body and an unusual property or header.
fn around(name: impl Into<String>, properties: Properties, fate: Fate) -> Case {
    case(name, properties, "10", fate)
}

pub fn plain() -> Properties {
    Properties::new().message_id(CANARY)
}

fn json() -> Properties {
    plain().content_type("application/json")
}

pub fn bodies() -> Vec<Case> {
    const INVALID: Fate = Code("INVALID_ARGUMENT");
    const RANGE: Fate = Code("OUT_OF_RANGE");
    let text = |name: &str, body: &[u8], fate| case(name, plain(), body, fate);
    let nested = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    let objects = br#"{"n":"#.repeat(100_000);
    vec![
        text("empty body", b"", INVALID),
        text("zero", b"0", Value("0")),
        text("above max_n", b"1000001", RANGE),
        text("negative", b"-1", INVALID),
        text("minus zero", b"-0", INVALID),
        text("plus", b"+5", Value("5")),
        text("leading zeros", b"007", Value("13")),
        text("white space", b" 5\r\n", Value("5")),
        text("NUL behind", b"5\0", INVALID),
        text("NUL before", b"\x005", INVALID),
        text("exponent", b"1e3", INVALID),
        text("fraction", b"5.0", INVALID),
        text("hexadecimal", b"0x10", INVALID),
        text("NaN", b"NaN", INVALID),
        text("infinite", b"inf", INVALID),
        text("other digits", "５".as_bytes(), INVALID),
        text("2^64", b"18446744073709551616", RANGE),
        text("2^128", b"340282366920938463463374607431768211456", RANGE),
        text("400 digits", &[b'7'; 400], RANGE),
        text("a million digits", &vec![b'9'; 1_000_000], RANGE),
        text("a million zeros", &vec![b'0'; 1_000_000], Value("0")),
        text("not UTF-8", b"\xff\xfe\x80canary-5e1f", INVALID),
        text("overlong UTF-8", b"\xc0\xb5", INVALID),
        text(
            "escapes and newlines",
            b"\x1b[31mcanary-5e1f\n<0>fibrpcd: fake\r\n",
            INVALID,
        ),
        text("a text", CANARY.as_bytes(), INVALID),
        case("JSON arrays 100,000 deep", json(), nested, INVALID),
        case("JSON objects 100,000 deep", json(), objects, INVALID),
        case(
            "JSON with duplicate keys",
            json(),
            r#"{"n":30,"n":30}"#,
            INVALID,
        ),
        case(
            "JSON with data behind it",
            json(),
            r#"{"n":30} canary-5e1f"#,
            INVALID,
        ),
        case("JSON text", json(), r#"{"n":"canary-5e1f"}"#, INVALID),
        case("JSON fraction", json(), "30.5", INVALID),
        case("JSON that is nothing", json(), "", INVALID),
        case("JSON of 400 digits", json(), [b'7'; 400], RANGE),
    ]
}

pub fn properties() -> Vec<Case> {
    let bad = b"\xff\xfecanary-5e1f".to_vec();
    let with = |change: &dyn Fn(&mut Properties)| {
        let mut properties = plain();
        change(&mut properties);
        properties
    };
    let mut cases = vec![
        around(
            "bad UTF-8 in content_type",
            with(&|p| p.content_type = Some(bad.clone())),
            Answer,
        ),
        around(
            "bad UTF-8 in content_encoding",
            with(&|p| p.content_encoding = Some(bad.clone())),
            Value("55"),
        ),
        around(
            "bad UTF-8 in correlation_id",
            with(&|p| p.correlation_id = Some(bad.clone())),
            Value("55"),
        ),
        around(
            "bad UTF-8 in message_id",
            with(&|p| p.message_id = Some(bad.clone())),
            Value("55"),
        ),
        around(
            "bad UTF-8 in type",
            with(&|p| p.kind = Some(bad.clone())),
            Value("55"),
        ),
        around(
            "bad UTF-8 in app_id",
            with(&|p| p.app_id = Some(bad.clone())),
            Value("55"),
        ),
        around(
            "bad UTF-8 in all of them",
            with(&|p| {
                p.content_encoding = Some(bad.clone());
                p.correlation_id = Some(bad.clone());
                p.message_id = Some(bad.clone());
                p.kind = Some(bad.clone());
                p.app_id = Some(bad.clone());
            })
            .header(&bad, value::nested_arrays(1_600)),
            Value("55"),
        ),
        around(
            "correlation_id of 255 bytes",
            plain().correlation_id([b'c'; 255]),
            Value("55"),
        ),
        around(
            "raw correlation_id of 255 bytes",
            plain().correlation_id([0xff; 255]),
            Value("55"),
        ),
        around(
            "priority 255",
            with(&|p| p.priority = Some(255)),
            Value("55"),
        ),
        around(
            "the last timestamp",
            with(&|p| p.timestamp = Some(u64::MAX)),
            Value("55"),
        ),
        around(
            "unknown type and application",
            with(&|p| {
                p.kind = Some(b"x".to_vec());
                p.app_id = Some(b"x".to_vec());
            }),
            Value("55"),
        ),
        case(
            "compressed",
            with(&|p| p.content_encoding = Some(b"gzip".to_vec())),
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
            Code("INVALID_ARGUMENT"),
        ),
        around(
            "content of no text type",
            plain().content_type("image/png"),
            Answer,
        ),
    ];
    cases.extend(refused_properties());
    cases
}

fn refused_properties() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, change) in [
        (
            "delivery mode 77",
            (|p| p.delivery_mode = Some(77)) as fn(&mut Properties),
        ),
        ("expiration abc", |p| p.expiration = Some(b"abc".to_vec())),
        ("expiration not UTF-8", |p| {
            p.expiration = Some(b"\xff".to_vec());
        }),
        ("expiration 0", |p| p.expiration = Some(b"0".to_vec())),
        ("another's user_id", |p| p.user_id = Some(b"other".to_vec())),
        ("user_id not UTF-8", |p| p.user_id = Some(b"\xff".to_vec())),
    ] {
        let mut properties = plain();
        change(&mut properties);
        cases.push(around(name, properties, Fate::Broker));
    }
    cases
}

pub fn addresses() -> Vec<Case> {
    let to = |name: &[u8]| plain().reply_to(name);
    let long = [b"amq.gen-".as_slice(), &[b'x'; 247]].concat();
    let cases: Vec<(&str, &[u8])> = vec![
        ("empty", b""),
        ("not UTF-8", b"\xff\xfe"),
        ("the request queue", b"rpc_queue"),
        ("another service's queue", b"orders"),
        ("a forged name of two parts", b"amq.rabbitmq.reply-to.a.b"),
        (
            "a forged name without process",
            b"amq.rabbitmq.reply-to..AAAA.b",
        ),
        (
            "a forged name of base64",
            b"amq.rabbitmq.reply-to.AAAA.BBBB",
        ),
        ("a forged name without key", b"amq.rabbitmq.reply-to.AAAA"),
        (
            "a forged name with an old atom",
            b"amq.rabbitmq.reply-to.g1hkAAlyZXBseUAxMjMAAAAAAAAAAQAAAAI=.AAAA",
        ),
        (
            "escapes and newlines",
            b"x\x1b[31m\n<0>fibrpcd: canary-5e1f",
        ),
        ("a queue that is gone", b"amq.gen-canary-5e1f"),
        ("a queue that is gone, 255 bytes", &long),
    ];
    let mut cases: Vec<Case> = cases
        .into_iter()
        .map(|(name, address)| around(format!("reply_to is {name}"), to(address), Silence))
        .collect();
    cases.push(around("no reply_to", plain(), Silence));
    // It stands for the sender itself, which has no consumer: the broker refuses the message.
    let bare = to(b"amq.rabbitmq.reply-to");
    cases.push(around("reply_to is the bare name", bare, Fate::Broker));
    cases
}
