//! Which reply addresses a server may publish to. The broker cannot restrict this.
//!
//! Every caller chooses the queue that the server publishes the reply to with its own permissions,
//! possibly the queue of another service or the server's own. Moreover, a malformed direct reply-to
//! name closes the server's connection. A [`Policy`] holds its rules and no state.

use super::direct_reply_to;
use crate::text::quoted_to;

/// AMQP's maximum length of a queue name, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// How much of a refused address is shown, in characters: enough for a direct reply-to name.
const MAX_ADDRESS_CHARS: usize = 100;

/// The reply queues of the tutorial's clients.
const DEFAULT_ALLOW: [&str; 4] = [
    "amq.gen-*",    // named by the broker: nearly all clients
    "rpc.reply.*",  // the C++ client
    "thesis.rpc.*", // the client on php-thesis
    "client.gen-*", // AMQP 1.0 clients that name the queue themselves
];

/// Why a reply address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The reply would be delivered as a request, endlessly.
    #[error("is the request queue itself")]
    OwnQueue,
    /// A direct reply-to name that no broker generated.
    #[error("is a malformed direct reply-to name")]
    Forged,
    /// Not allowed by the defaults or `server.reply_to_allow`, or not a possible queue name.
    #[error("is not allowed by server.reply_to_allow")]
    NotAllowed,
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// The broker refused the reply at every attempt.
    #[error("takes no reply: the reply queue is full")]
    Full,
}

/// A refused reply address and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} {reason}")]
pub struct Refused {
    /// The address as shown to people: between backquotes, escaped and shortened.
    pub address: String,
    /// The reason.
    pub reason: Refusal,
}

impl Refused {
    /// The refusal of this address (any bytes).
    pub fn new(address: &[u8], reason: Refusal) -> Self {
        Self {
            address: quoted_to(address, MAX_ADDRESS_CHARS),
            reason,
        }
    }
}

/// A reply address that may be published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// A direct reply-to name; published without `mandatory`.
    Direct,
    /// A real queue; published as `mandatory`.
    Queue,
}

/// The rules, built from the configuration.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    own_queue: String,
    allow: Vec<String>,
}

impl Policy {
    /// The rules of a server on `own_queue` that allows the patterns `allow` in addition to the defaults.
    ///
    /// In a pattern, `*` matches any characters or none; every other character matches itself. No
    /// pattern allows the server's own queue or a forged direct reply-to name.
    pub fn new(own_queue: &str, allow: &[String]) -> Self {
        Self {
            own_queue: own_queue.into(),
            allow: allow.to_vec(),
        }
    }

    /// Checks whether replies may be published to `reply_to`, and gives the kind of address.
    pub fn check(&self, reply_to: &str) -> Result<Address, Refusal> {
        if reply_to.is_empty() || reply_to.len() > MAX_NAME_BYTES {
            return Err(Refusal::NotAllowed);
        }
        if reply_to == self.own_queue {
            return Err(Refusal::OwnQueue);
        }
        match direct_reply_to::check(reply_to) {
            Some(true) => return Ok(Address::Direct),
            Some(false) => return Err(Refusal::Forged),
            None => {}
        }
        let allow = self.allow.iter().map(String::as_str);
        let mut patterns = DEFAULT_ALLOW.into_iter().chain(allow);
        let allowed = patterns.any(|pattern| matches(pattern, reply_to));
        allowed.then_some(Address::Queue).ok_or(Refusal::NotAllowed)
    }
}

/// Whether `name` matches `pattern`. The pieces between the stars are searched from left to right,
/// each at its first occurrence, so no backtracking is needed.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((beginning, others)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (middle, end) = others.rsplit_once('*').unwrap_or(("", others));
    let rest = name
        .strip_prefix(beginning)
        .and_then(|rest| rest.strip_suffix(end));
    rest.and_then(|rest| {
        middle.split('*').try_fold(rest, |rest, piece| {
            rest.split_once(piece).map(|(_, after)| after)
        })
    })
    .is_some()
}

#[cfg(test)]
mod tests {
    use super::super::direct_reply_to::tests::name as direct;
    use super::*;
    use proptest::prelude::*;

    fn policy(allow: &[&str]) -> Policy {
        let allow: Vec<String> = allow.iter().map(|pattern| (*pattern).to_owned()).collect();
        Policy::new("rpc_queue", &allow)
    }

    #[test]
    fn the_defaults_allow_the_tutorials_clients() {
        let longest = format!("amq.gen-{}", "x".repeat(247));
        let too_long = format!("{longest}x");
        let table = [
            ("amq.gen-JzTY20BRgKO-HjmUJj0wLg", Ok(Address::Queue)),
            ("rpc.reply.client-1", Ok(Address::Queue)),
            ("thesis.rpc.5f3c", Ok(Address::Queue)),
            ("client.gen-8uBFBwzwFWyyl1eW5D3lQA", Ok(Address::Queue)),
            (&longest, Ok(Address::Queue)),
            (&direct(88, 118, "reply@121899201", 12), Ok(Address::Direct)),
            ("amq.direct.reply-to.amq.ctag-x", Ok(Address::Direct)),
            ("amq.rabbitmq.reply-to", Err(Refusal::Forged)),
            ("amq.rabbitmq.reply-to.AAAA.BBBB", Err(Refusal::Forged)),
            ("amq.direct.reply-to", Err(Refusal::Forged)),
            ("rpc_queue", Err(Refusal::OwnQueue)),
            ("", Err(Refusal::NotAllowed)),
            (&too_long, Err(Refusal::NotAllowed)),
            ("orders", Err(Refusal::NotAllowed)),
            ("amq.gen", Err(Refusal::NotAllowed)),
            ("xamq.gen-x", Err(Refusal::NotAllowed)),
            ("AMQ.GEN-x", Err(Refusal::NotAllowed)),
            ("rpc_queue2", Err(Refusal::NotAllowed)),
        ];
        for (name, expected) in table {
            assert_eq!(policy(&[]).check(name), expected, "{name}");
        }
    }

    #[test]
    fn patterns_extend_the_defaults_except_for_forged_names_and_the_own_queue() {
        let own = policy(&["replies.*", "exactly-this", "*"]);
        let table = [
            ("replies.a", Ok(Address::Queue)),
            ("exactly-this", Ok(Address::Queue)),
            ("anything", Ok(Address::Queue)),
            ("amq.gen-x", Ok(Address::Queue)),
            ("rpc_queue", Err(Refusal::OwnQueue)),
            ("amq.rabbitmq.reply-to", Err(Refusal::Forged)),
            ("amq.rabbitmq.reply-to.x.y", Err(Refusal::Forged)),
            ("", Err(Refusal::NotAllowed)),
        ];
        for (name, expected) in table {
            assert_eq!(own.check(name), expected, "{name}");
        }
        let own_by_name = Policy::new("amq.gen-mine", &["amq.gen-mine".to_owned()]);
        assert_eq!(own_by_name.check("amq.gen-mine"), Err(Refusal::OwnQueue));
        assert_eq!(
            policy(&["replies.*"]).check("other"),
            Err(Refusal::NotAllowed)
        );
    }

    #[test]
    fn a_refusal_quotes_the_address() {
        let long = "x".repeat(255);
        let table: [(&[u8], Refusal, String); 4] = [
            (
                b"rpc.reply-svc-1",
                Refusal::NotAllowed,
                "`rpc.reply-svc-1` is not allowed by server.reply_to_allow".into(),
            ),
            (
                b"\xff\n",
                Refusal::NotText,
                "`\u{fffd}\\n` is not UTF-8".into(),
            ),
            (
                long.as_bytes(),
                Refusal::Full,
                format!(
                    "`{}...` takes no reply: the reply queue is full",
                    "x".repeat(100)
                ),
            ),
            (b"", Refusal::NotText, "`` is not UTF-8".into()),
        ];
        for (address, reason, expected) in table {
            assert_eq!(Refused::new(address, reason).to_string(), expected);
        }
    }

    #[test]
    fn stars_match_any_characters() {
        let table = [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "abc", true),
            ("**", "abc", true),
            ("a*", "a", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a", "ab", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*b*c", "abbcbc", true),
            ("*b*", "abc", true),
            ("*ab*ab*", "abxab", true),
            ("*ab*ab*", "abab", true),
            ("*aba*aba*", "ababa", false),
            ("ü*ß", "üß", true),
            ("[a-c]?.", "b", false),
        ];
        for (pattern, name, expected) in table {
            assert_eq!(matches(pattern, name), expected, "{pattern} on {name}");
        }
    }

    /// Takes exponential time in a matcher that backtracks.
    #[test]
    fn matching_does_not_backtrack() {
        let pattern = "*a".repeat(100) + "*b";
        assert!(!matches(&pattern, &"a".repeat(255)));
    }

    /// The meaning of a pattern, by plain recursion.
    fn fits(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) if fits(rest, name) => true,
            (Some((b'*', _)), Some((_, name))) => fits(pattern, name),
            (Some((a, pattern)), Some((b, name))) => a == b && fits(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_plain_recursion(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), fits(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn arbitrary_names_never_panic_and_are_refused(name in ".*", allow in ".{0,20}") {
            let _ = policy(&[&allow]).check(&name);
            prop_assert!(policy(&[]).check(&name).is_err());
        }

        #[test]
        fn forged_names_are_refused_whatever_the_patterns(
            parts in "([A-Za-z0-9+/]{4}){1,12}\\.([A-Za-z0-9+/]{4}){1,6}",
        ) {
            let name = format!("amq.rabbitmq.reply-to.{parts}");
            prop_assert_eq!(policy(&["*"]).check(&name), Err(Refusal::Forged));
        }
    }
}
