//! Which reply addresses a server may publish to. The broker cannot restrict that, so we do.
//!
//! Whoever can send a request names a queue, and the reply goes there with the server's rights: to
//! the queue of another service, say, or to the server's own. Besides, a malformed name of direct
//! reply-to closes the server's connection. The [`Policy`] holds nothing but its rules.

use super::direct_reply_to;
use super::excerpt::excerpt_of;

/// The longest name of a queue in AMQP, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// How much of a refused address is shown, in characters: a name of direct reply-to, and then some.
const MAX_ADDRESS_CHARS: usize = 100;

/// What the tutorial's clients reply to besides direct reply-to.
const DEFAULT_ALLOW: [&str; 4] = [
    "amq.gen-*",    // queues that the broker has named: nearly all of them
    "rpc.reply.*",  // the C++ client
    "thesis.rpc.*", // the client on php-thesis
    "client.gen-*", // the AMQP 1.0 clients' own names
];

/// Why a reply address was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A request that answers itself would go round for ever.
    #[error("is the request queue itself")]
    OwnQueue,
    /// A direct reply-to name that no broker made.
    #[error("is a malformed direct reply-to name")]
    Forged,
    /// Neither the defaults nor `server.reply_to_allow` accept it, or no queue can have that name.
    #[error("is not allowed by server.reply_to_allow")]
    NotAllowed,
    /// It was not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// The broker did not take the reply, however often it was offered.
    #[error("takes no reply: the reply queue is full")]
    Full,
}

/// A refused reply address: which one, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} {reason}")]
pub struct Refused {
    /// The address as it may be shown: between backquotes, escaped, and cut.
    pub address: String,
    /// Why.
    pub reason: Refusal,
}

impl Refused {
    /// The refusal of this address, which may be any bytes.
    pub fn new(address: &[u8], reason: Refusal) -> Self {
        Self {
            address: excerpt_of(address, MAX_ADDRESS_CHARS),
            reason,
        }
    }
}

/// A reply address that may be published to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// A name of direct reply-to: never `mandatory`.
    Direct,
    /// The name of a real queue: `mandatory`.
    Queue,
}

/// The rules, made from the configuration.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    own_queue: String,
    allow: Vec<String>,
}

impl Policy {
    /// Rules for a server on `own_queue` that allows `allow` besides the defaults.
    ///
    /// In a pattern, `*` stands for any characters or none; all others, for themselves. A pattern
    /// can allow neither the server's own queue nor a forged name of direct reply-to.
    pub fn new(own_queue: &str, allow: &[String]) -> Self {
        Self {
            own_queue: own_queue.into(),
            allow: allow.to_vec(),
        }
    }

    /// Whether a reply may go to `reply_to`, and what kind of address it is.
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
        let patterns = self.allow.iter().map(String::as_str);
        if DEFAULT_ALLOW
            .into_iter()
            .chain(patterns)
            .any(|pattern| matches(pattern, reply_to))
        {
            Ok(Address::Queue)
        } else {
            Err(Refusal::NotAllowed)
        }
    }
}

/// Whether `name` fits `pattern`. The pieces between the stars are looked for from left to right,
/// each as early as can be, so there is nothing to go back to.
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
    fn the_defaults_suit_the_tutorials_clients() {
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
    fn patterns_add_to_the_defaults_but_not_everything() {
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
    fn a_refusal_names_its_address() {
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
    fn patterns() {
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

    /// Exponential for a matcher that goes back; here the stars are many and the answer is no.
    #[test]
    fn hostile_names_do_not_blow_up() {
        let pattern = "*a".repeat(100) + "*b";
        assert!(!matches(&pattern, &"a".repeat(255)));
    }

    /// What a pattern means, said once more by plain recursion.
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
        fn patterns_mean_what_they_say(pattern in "[ab*]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), fits(pattern.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn no_name_panics_or_is_allowed_by_chance(name in ".*", allow in ".{0,20}") {
            let _ = policy(&[&allow]).check(&name);
            prop_assert!(policy(&[]).check(&name).is_err());
        }

        #[test]
        fn forged_names_are_refused_whatever_is_allowed(
            parts in "([A-Za-z0-9+/]{4}){1,12}\\.([A-Za-z0-9+/]{4}){1,6}",
        ) {
            let name = format!("amq.rabbitmq.reply-to.{parts}");
            prop_assert_eq!(policy(&["*"]).check(&name), Err(Refusal::Forged));
        }
    }
}
