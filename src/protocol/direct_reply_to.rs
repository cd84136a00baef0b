//! Names of direct reply-to: which of them a broker can have made.
//!
//! The broker rewrites a client's `reply_to` of `amq.rabbitmq.reply-to` to that name, a dot, the
//! base64 of the client's channel process, another dot, and the base64 of a random key. Publishing
//! to a name of that kind which it cannot decode crashes the channel of the publisher in RabbitMQ
//! 3.10, and closes its whole connection (541). So the structure is checked in full before such a
//! name is used, as strictly as that decoder does it or more so:
//!
//! - both parts are base64 of the standard alphabet, padded, not empty;
//! - the first is an Erlang external term of one process id: version 131; tag 88 (three numbers of
//!   32 bits) or 103 (the last of them 8 bits); before them the node's name, an atom of tag 118
//!   (length of 16 bits) or 119 (8 bits). The older atoms 100 and 115 crash it;
//! - the node's name is an ASCII name, `@`, and a decimal number, the hash of the real name. A real
//!   host's name there, as much older brokers wrote it, crashes it.
//!
//! What no structure can show is whether the hash is that of a running node of the cluster. Where it
//! is not, 3.10.8 closes the connection just the same (tried out), so a server on such a broker must
//! still expect a reply to cost it its connection. That is the only cause left: with the hash of a node
//! that runs, no number, of whatever process and whatever start of the node, is one that 3.10.8 cannot
//! decode (tried out with the bounds of each). So such an end proves that the [`Node`] does not run.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What the names of RabbitMQ begin with.
const RABBITMQ: &str = "amq.rabbitmq.reply-to";
/// What the names of `LavinMQ` begin with. A consumer tag follows, which may be any text.
const LAVINMQ: &str = "amq.direct.reply-to";

/// More bytes than the base64 in a name can hold, which has at most 255 (AMQP 0-9-1, section 4.2.5.3).
const LONGEST: usize = 192;

/// An Erlang process id, as far as it matters here.
struct Process<'a> {
    /// The node's name, ASCII.
    node: &'a [u8],
    /// The number of the node's start, big-endian.
    creation: &'a [u8],
}

/// Whether `name` is one of direct reply-to, and if so, whether a broker can have made it.
/// The bare names, which stand for the client itself, are none that a server could answer to.
pub(super) fn check(name: &str) -> Option<bool> {
    if name == RABBITMQ || name == LAVINMQ {
        return Some(false);
    }
    let parts = |prefix| name.strip_prefix(prefix)?.strip_prefix('.');
    parts(RABBITMQ)
        .map(|parts| process_of(parts, &mut [0; LONGEST]).is_some())
        .or_else(|| parts(LAVINMQ).map(|tag| !tag.is_empty()))
}

/// A node of a RabbitMQ cluster from one of its starts to the end that follows: what the reply names have in
/// common that it makes then. Started again, it makes others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Node {
    hashed_name: String,
    /// Erlang's number of the start.
    creation: u32,
}

impl Node {
    /// The node that made this name of direct reply-to; `None` if it is not one that a RabbitMQ node can have made.
    pub fn of(name: &str) -> Option<Self> {
        let parts = name.strip_prefix(RABBITMQ)?.strip_prefix('.')?;
        let mut buffer = [0; LONGEST];
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
    /// The name with the hash, which is not the real one, and the start.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.hashed_name, self.creation)
    }
}

/// The process id in it, decoded into `buffer`, if all of it is as described above.
fn process_of<'b>(parts: &str, buffer: &'b mut [u8; LONGEST]) -> Option<Process<'b>> {
    let (process, key) = parts.split_once('.')?;
    // The key is decoded first, since its bytes are not needed.
    decode_base64(key, buffer)?;
    process_in(decode_base64(process, buffer)?)
}

/// The process, if `term` is an Erlang process id as described above, and nothing follows it.
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
    // Two numbers of 32 bits are the process's own, what is left is the node's.
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

/// The bytes of canonical base64 (RFC 4648, section 4: padded, unused bits zero), if it is that and
/// not empty.
fn decode_base64<'b>(text: &str, buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
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

    /// A name as RabbitMQ makes it, with a choice of tags and node name.
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
    fn other_names_are_none_of_direct_reply_to() {
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
    fn what_brokers_make_is_accepted() {
        let table = [
            // Seen on the wire.
            "amq.rabbitmq.reply-to.g1h2AA9yZXBseUAxMjE4OTkyMDEAAAliAAAQxGUp3Wg=.V/BE0fSg1i3Cp0bpYeJqWw==".to_owned(),
            "amq.rabbitmq.reply-to.g1h2AA5yZXBseUA2ODc4MTMzNAAAcEoAAAAAaS8eQg==.c2l4dGVlbiBieXRlcy4uLg==".to_owned(),
            "amq.direct.reply-to.amq.ctag-Xs7HUlLqhMeFJAW2rH7cOEZ8OMmTH1GH".to_owned(),
            "amq.direct.reply-to.my consumer".to_owned(),
            // Every combination of tags that the decoders take.
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
            // Atoms and names on which the decoder of 3.10 crashes.
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
            // Lengths.
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
    fn names_of_a_node_share_it() {
        let of = |term: &[u8]| Node::of(&format!("{RABBITMQ}.{}.QUFB", encode_base64(term)));
        let long = |id: u8, creation: u8| {
            let numbers = [0, 0, 0, id, 0, 0, 0, 9, 1, 2, 3, creation];
            [&[131, 88, 119, 7], &b"reply@1"[..], &numbers].concat()
        };
        assert_eq!(of(&long(1, 4)), of(&long(2, 4)));
        assert_ne!(of(&long(1, 4)), of(&long(1, 5)), "it was started again");
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
        let mut buffer = [0; LONGEST];
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
            if let Some(bytes) = decode_base64(&text, &mut [0; LONGEST]) {
                prop_assert_eq!(encode_base64(bytes), text);
            }
        }

        #[test]
        fn no_name_panics(name in ".*") {
            check(&name);
            check(&format!("{RABBITMQ}.{name}"));
        }

        #[test]
        fn random_names_are_forged(
            parts in "([A-Za-z0-9+/]{4}){1,12}\\.([A-Za-z0-9+/]{4}){1,6}|[A-Za-z0-9+/=.]{0,120}",
        ) {
            prop_assert_eq!(check(&format!("{RABBITMQ}.{parts}")), Some(false));
        }

        /// One byte of the term changed: either only a number or a letter of the node's name is
        /// another one, or the name is refused.
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
