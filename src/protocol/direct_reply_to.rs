//! Direct reply-to names: which of them a broker can have generated.
//!
//! The broker rewrites a client's `reply_to` of `amq.rabbitmq.reply-to` to that name, a dot, the
//! base64 of the client's channel process, another dot, and the base64 of a random key. If RabbitMQ
//! 3.10 cannot decode such a name, it crashes the publisher's channel and closes the whole
//! connection (541). So the structure is checked in full before a name is used, at least as strictly
//! as that decoder does:
//!
//! - both parts are base64 (standard alphabet, padded, not empty);
//! - the first is an Erlang external term holding one process id: version 131; tag 88 (three 32-bit
//!   numbers) or 103 (the last of them 8 bits); before the numbers the node's name, an atom of tag
//!   118 (16-bit length) or 119 (8-bit length). The older atoms 100 and 115 crash the decoder;
//! - the node's name is an ASCII name, `@`, and a decimal number, the hash of the real name. A real
//!   host name there, as much older brokers wrote it, crashes the decoder.
//!
//! The structure cannot show whether the hash is that of a running node of the cluster. If it is
//! not, 3.10.8 closes the connection as well (tested), so a reply may still cost a server on such a
//! broker its connection. No other cause is left: 3.10.8 decodes every process number and every
//! creation if the node is running (tested with the bounds of each). So a connection that ends
//! this way proves that the [`Node`] is not running.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The prefix of RabbitMQ's names.
const RABBITMQ: &str = "amq.rabbitmq.reply-to";
/// The prefix of `LavinMQ`'s names. A consumer tag follows, which may be any text.
const LAVINMQ: &str = "amq.direct.reply-to";

/// More bytes than the base64 in a name can encode, since a name has at most 255 (AMQP 0-9-1, section 4.2.5.3).
const MAX_DECODED: usize = 192;

/// The parts of an Erlang process id that are used.
struct Process<'a> {
    /// The node's name, ASCII.
    node: &'a [u8],
    /// The creation (see [`Node`]), big-endian.
    creation: &'a [u8],
}

/// Whether a broker can have generated this direct reply-to name; `None` for other names. The bare prefixes stand for
/// the client itself, so a server cannot reply to them: `Some(false)`.
pub(super) fn check(name: &str) -> Option<bool> {
    if name == RABBITMQ || name == LAVINMQ {
        return Some(false);
    }
    let parts = |prefix| name.strip_prefix(prefix)?.strip_prefix('.');
    parts(RABBITMQ)
        .map(|parts| process_of(parts, &mut [0; MAX_DECODED]).is_some())
        .or_else(|| parts(LAVINMQ).map(|tag| !tag.is_empty()))
}

/// One run of a RabbitMQ node, from start to stop: what all reply names generated in that run have in common. After a
/// restart the node generates different ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    hashed_name: String,
    /// Erlang's number of the run, which changes with each start.
    creation: u32,
}

impl Node {
    /// The node that generated this direct reply-to name; `None` if no RabbitMQ node can have.
    pub fn of(name: &str) -> Option<Self> {
        let parts = name.strip_prefix(RABBITMQ)?.strip_prefix('.')?;
        let mut buffer = [0; MAX_DECODED];
        let Process { node, creation } = process_of(parts, &mut buffer)?;
        Some(Self {
            hashed_name: std::str::from_utf8(node).ok()?.to_owned(),
            creation: creation
                .iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte)),
        })
    }
}

impl std::fmt::Display for Node {
    /// The hashed name (not the real one) and the creation.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.hashed_name, self.creation)
    }
}

/// The process id in the two parts of a name, decoded into `buffer`, if they are as described above.
fn process_of<'b>(parts: &str, buffer: &'b mut [u8; MAX_DECODED]) -> Option<Process<'b>> {
    let (process, key) = parts.split_once('.')?;
    // The key is decoded first, because its bytes are not needed.
    decode_base64(key, buffer)?;
    process_in(decode_base64(process, buffer)?)
}

/// The process id, if `term` is one as described above without trailing bytes.
fn process_in(term: &[u8]) -> Option<Process<'_>> {
    let (numbers_length, atom) = match term {
        [131, 88, atom @ ..] => (12, atom),
        [131, 103, atom @ ..] => (9, atom),
        _ => return None,
    };
    let (length, rest) = match atom {
        [118, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        [119, length, rest @ ..] => (usize::from(*length), rest),
        _ => return None,
    };
    let (node, numbers) = rest.split_at_checked(length)?;
    if !is_hashed_node(node) || numbers.len() != numbers_length {
        return None;
    }
    // The first two numbers, 32 bits each, identify the process; the rest is the creation.
    let creation = numbers.get(8..)?;
    Some(Process { node, creation })
}

/// Whether `node` is a name, `@`, and a number of at most ten digits.
fn is_hashed_node(node: &[u8]) -> bool {
    let mut parts = node.splitn(2, |byte| *byte == b'@');
    let (name, hash) = (parts.next().unwrap_or(b""), parts.next().unwrap_or(b""));
    !name.is_empty()
        && name.iter().all(u8::is_ascii_alphanumeric)
        && (1..=10).contains(&hash.len())
        && hash.iter().all(u8::is_ascii_digit)
}

/// Decodes non-empty, canonical base64 (RFC 4648, section 4: padded, unused bits zero).
fn decode_base64<'b>(text: &str, buffer: &'b mut [u8; MAX_DECODED]) -> Option<&'b [u8]> {
    let length = STANDARD.decode_slice(text, buffer).ok()?;
    buffer.get(..length).filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(in super::super) fn encode_base64(bytes: &[u8]) -> String {
        STANDARD.encode(bytes)
    }

    /// A name as RabbitMQ generates it, with these tags and this node name.
    pub(in super::super) fn name(pid: u8, atom: u8, node: &str, numbers: usize) -> String {
        let mut term = vec![131, pid, atom];
        let length = u16::try_from(node.len()).unwrap().to_be_bytes();
        term.extend(if matches!(atom, 100 | 118) {
            &length[..]
        } else {
            &length[1..]
        });
        term.extend(node.as_bytes());
        term.extend((0..numbers).map(|i| u8::try_from(i * 37 % 256).unwrap()));
        let key = encode_base64(b"sixteen bytes...");
        format!("{RABBITMQ}.{}.{key}", encode_base64(&term))
    }

    #[test]
    fn other_names_are_not_direct_reply_to() {
        for name in [
            "",
            "a",
            "amq.gen-x",
            "amq.rabbitmq.reply",
            "amq.rabbitmq.reply-tox",
            "Amq.rabbitmq.reply-to.a.b",
        ] {
            assert_eq!(check(name), None, "{name}");
        }
    }

    #[test]
    fn names_generated_by_brokers_are_accepted() {
        let table = [
            // Seen on the wire.
            "amq.rabbitmq.reply-to.g1h2AA9yZXBseUAxMjE4OTkyMDEAAAliAAAQxGUp3Wg=.V/BE0fSg1i3Cp0bpYeJqWw==".to_owned(),
            "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA2ODc4MTMzNAAAcEoAAAAAaS8eQg==.c2l4dGVlbiBieXRlcy4uLg==".to_owned(),
            "amq.direct.reply-to.amq.ctag-Xs7HUlLqhMeFJAW2rH7cOEZ8OMmTH1GH".to_owned(),
            "amq.direct.reply-to.my consumer".to_owned(),
            // Every combination of tags that the decoders accept.
            name(88, 118, "reply@134217727", 12),
            name(88, 119, "reply@1", 12),
            name(103, 118, "reply@1", 9),
            name(103, 119, "generated@1", 9),
        ];
        for name in table {
            assert_eq!(check(&name), Some(true), "{name}");
        }
    }

    #[test]
    fn forged_names_are_refused() {
        let good = name(88, 118, "reply@123", 12);
        let (process, key) = good.rsplit_once('.').unwrap();
        let table = [
            RABBITMQ.to_owned(),
            LAVINMQ.to_owned(),
            format!("{RABBITMQ}."),
            format!("{LAVINMQ}."),
            format!("{RABBITMQ}.garbage"),
            format!("{RABBITMQ}.a.b"),
            format!("{RABBITMQ}.AAAA.b"),
            format!("{RABBITMQ}.AAAA.BBBB"),
            format!("{RABBITMQ}..{key}"),
            process.to_owned(),
            format!("{process}."),
            format!("{process}..{key}"),
            format!("{process}.{key}.{key}"),
            format!("{process}=.{key}"),
            format!("{process}.{key}="),
            format!("{process}.{}", key.trim_end_matches('=')),
            format!("{process}.AA=A"),
            format!("{process}.A==="),
            format!("{process}.===="),
            format!("{process}.AAA\u{e9}"),
            format!("{process}.AA-_"),
            format!("{process}.AAB="), // unused bits
            good.replace(RABBITMQ, "amq.rabbitmq.reply-to. "),
            // Atoms and names that crash the decoder of 3.10.
            name(88, 100, "reply@123", 12),
            name(88, 115, "reply@123", 12),
            name(88, 118, "rabbit@host", 12),
            name(88, 118, "nohost", 12),
            name(88, 118, "reply@", 12),
            name(88, 118, "@5", 12),
            name(88, 118, "reply@5@6", 12),
            name(88, 118, "reply@-5", 12),
            name(88, 118, "reply@+5", 12),
            name(88, 118, "reply@12345678901", 12),
            name(88, 118, "repl\u{fc}@5", 12),
            name(88, 118, "", 12),
            // Wrong lengths.
            name(88, 118, "reply@123", 11),
            name(88, 118, "reply@123", 13),
            name(88, 118, "reply@123", 9),
            name(103, 118, "reply@123", 12),
            name(103, 118, "reply@123", 8),
            name(90, 118, "reply@123", 12),
            format!(
                "{RABBITMQ}.{}.{key}",
                encode_base64(&[131, 88, 118, 255, 255, 1])
            ),
            format!("{RABBITMQ}.{}.{key}", encode_base64(&[131, 88, 118, 0])),
            format!("{RABBITMQ}.{}.{key}", encode_base64(&[131])),
        ];
        assert_eq!(check(&good), Some(true));
        for name in table {
            assert_eq!(check(&name), Some(false), "{name}");
        }
    }

    #[test]
    fn names_from_one_run_of_a_node_give_the_same_node() {
        let of = |term: &[u8]| Node::of(&format!("{RABBITMQ}.{}.QUFB", encode_base64(term)));
        let long = |id: u8, creation: u8| {
            let numbers = [0, 0, 0, id, 0, 0, 0, 9, 1, 2, 3, creation];
            [&[131, 88, 119, 7], &b"reply@1"[..], &numbers].concat()
        };
        assert_eq!(of(&long(1, 4)), of(&long(2, 4)));
        assert_ne!(of(&long(1, 4)), of(&long(1, 5)), "restarted");
        assert_eq!(
            of(&long(1, 4)).unwrap().to_string(),
            format!("reply@1/{}", 0x0102_0304)
        );
        let short = [&[131, 103, 119, 7], &b"reply@1"[..], &[0; 8], &[3]].concat();
        assert_eq!(of(&short).unwrap().to_string(), "reply@1/3");
        let seen = "amq.rabbitmq.reply-to.g1h2AA9yZXBseUAxMjE4OTkyMDEAAAliAAAQxGUp3Wg=.V/BE0fSg1i3Cp0bpYeJqWw==";
        let node = Node::of(seen).unwrap().to_string();
        assert_eq!(node, "reply@121899201/1697242472");
        for none in [
            RABBITMQ,
            "amq.gen-x",
            "amq.rabbitmq.reply-to.AAAA.BBBB",
            "amq.direct.reply-to.amq.ctag-x",
        ] {
            assert_eq!(Node::of(none), None, "{none}");
        }
    }

    #[test]
    fn base64_is_canonical_and_not_empty() {
        let mut buffer = [0; MAX_DECODED];
        for (text, bytes) in [
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("", None),
            ("Zg", None),
            ("Zg=", None),
            ("Zh==", None),
            ("Zm9=", None),
            ("Zm9v====", None),
            ("Zm9v\n", None),
            (" Zm9v", None),
            ("Zm-_", None),
        ] {
            let decoded = decode_base64(text, &mut buffer);
            assert_eq!(decoded, bytes.map(str::as_bytes), "{text:?}");
        }
        // As long as a name may be, and longer than that.
        assert!(decode_base64(&"A".repeat(256), &mut buffer).is_some());
        assert!(decode_base64(&"A".repeat(260), &mut buffer).is_none());
    }

    proptest! {
        #[test]
        fn only_canonical_base64_is_decoded(text in "[A-Za-z0-9+/=._-]{1,16}") {
            if let Some(bytes) = decode_base64(&text, &mut [0; MAX_DECODED]) {
                prop_assert_eq!(encode_base64(bytes), text);
            }
        }

        #[test]
        fn arbitrary_names_never_panic(name in ".*") {
            check(&name);
            check(&format!("{RABBITMQ}.{name}"));
        }

        #[test]
        fn random_names_are_forged(
            parts in "([A-Za-z0-9+/]{4}){1,12}\\.([A-Za-z0-9+/]{4}){1,6}|[A-Za-z0-9+/=.]{0,120}",
        ) {
            prop_assert_eq!(check(&format!("{RABBITMQ}.{parts}")), Some(false));
        }

        /// With one byte of the term changed, either only a number or a letter of the node's name
        /// differs, or the name is refused.
        #[test]
        fn a_damaged_term_is_forged(at in 0..26_usize, byte: u8) {
            let mut term = vec![131, 88, 118, 0, 9];
            term.extend(b"reply@123");
            term.extend([0; 12]);
            term[at] = byte;
            let harmless = match at {
                0..=4 => byte == [131, 88, 118, 0, 9][at],
                5..=9 => byte.is_ascii_alphanumeric(),
                10 => byte == b'@',
                11..=13 => byte.is_ascii_digit(),
                _ => true,
            };
            let name = format!("{RABBITMQ}.{}.QUFB", encode_base64(&term));
            prop_assert_eq!(check(&name), Some(harmless), "{:?}", term);
        }
    }
}
