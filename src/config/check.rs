//! Rules over more than one key: values that contradict each other, and what deserves a warning.

use super::environment::Environment;
use super::keys::{Broker, Reconnect, Tls};
use super::loaded::Loaded;
use super::login::shows_certificate;
use super::password::{CREDENTIAL, is_denied};
use super::problem::Problem;
use super::units::format_duration;
use super::url::{BrokerUrl, Scheme};
use super::words::QueueKind;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

/// What the rules are about.
struct Facts<'a> {
    loaded: &'a Loaded,
    broker: &'a Broker,
    urls: &'a [BrokerUrl],
    /// Where `broker.url` came from.
    origin: &'a str,
    /// Where the password is, unless it is in the URLs.
    password: Option<&'static str>,
}

/// The keys that a rule is about, and the rule.
type Rule = (&'static [&'static str], fn(&Facts<'_>) -> Option<String>);

#[rustfmt::skip]
const PROBLEMS: [Rule; 3] = [
    (&["broker.reconnect.initial", "broker.reconnect.max"], reconnect),
    (&["broker.tls.cert_file", "broker.tls.key_file"], certificate),
    (&["queue.type", "queue.durable"], quorum),
];

#[rustfmt::skip]
const WARNINGS: [Rule; 6] = [
    (&["broker.url"], unused_tls),
    (&["broker.url"], twice),
    (&["broker.url"], readable_password),
    (&["broker.url", "broker.password_file"], no_password),
    (&["broker.url", "broker.password_file"], unused_password),
    (&["broker.url", "broker.password_file", "broker.tls.cert_file"], unused_user),
];

/// Problems and warnings. Rules about keys in `wrong` are skipped: their values are not the user's.
pub(super) fn check(
    loaded: &Loaded,
    wrong: &[&str],
    environment: &Environment,
) -> (Vec<Problem>, Vec<String>) {
    let broker = &loaded.config.broker;
    let facts = Facts {
        loaded,
        broker,
        urls: &broker.url,
        origin: loaded.origin("broker.url"),
        password: password_elsewhere(broker, environment),
    };
    let apply = |(keys, rule): &Rule| {
        let is_right = !keys.iter().any(|key| wrong.contains(key));
        is_right.then(|| rule(&facts)).flatten()
    };
    let problems = PROBLEMS.iter().filter_map(apply);
    let problems = problems.map(|text| Problem::new(&text)).collect();
    (problems, WARNINGS.iter().filter_map(apply).collect())
}

/// Where the password is, unless it is in the URLs.
fn password_elsewhere(broker: &Broker, environment: &Environment) -> Option<&'static str> {
    if broker.password_file.is_some() {
        return Some("broker.password_file");
    }
    let path = environment.path("CREDENTIALS_DIRECTORY")?.join(CREDENTIAL);
    (path.exists() || is_denied(&path)).then_some("the systemd credential broker-password")
}

fn reconnect(facts: &Facts<'_>) -> Option<String> {
    let Reconnect { initial, max } = facts.broker.reconnect;
    let shown = |value, key| {
        let origin = facts.loaded.origin(key);
        format!("\"{}\" ({origin})", format_duration(value))
    };
    (initial > max).then(|| {
        format!(
            "broker.reconnect.initial: must not be above broker.reconnect.max, is {} with a max of {}; \
             lower it or raise max",
            shown(initial, "broker.reconnect.initial"),
            shown(max, "broker.reconnect.max"),
        )
    })
}

fn certificate(facts: &Facts<'_>) -> Option<String> {
    let tls = &facts.broker.tls;
    let (given, missing) = match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => ("broker.tls.cert_file", "broker.tls.key_file"),
        (None, Some(_)) => ("broker.tls.key_file", "broker.tls.cert_file"),
        _ => return None,
    };
    let origin = facts.loaded.origin(given);
    Some(format!(
        "{given}: requires {missing} ({origin}); set both or neither"
    ))
}

fn quorum(facts: &Facts<'_>) -> Option<String> {
    let queue = &facts.loaded.config.queue;
    let origin = facts.loaded.origin("queue.durable");
    (queue.kind == QueueKind::Quorum && !queue.durable).then(|| {
        format!(
            "queue.durable: must be true for a quorum queue, is false ({origin}); \
             remove it or set queue.type to \"classic\""
        )
    })
}

fn unused_tls(facts: &Facts<'_>) -> Option<String> {
    let is_set = facts.broker.tls != Tls::default();
    let is_used = facts.urls.iter().any(|url| url.scheme == Scheme::Amqps);
    let origin = facts.origin;
    (is_set && !is_used).then(|| {
        format!("broker.tls: is not used, no URL in broker.url starts with amqps:// ({origin})")
    })
}

fn twice(facts: &Facts<'_>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut urls = facts.urls.iter().map(BrokerUrl::redacted);
    let again = urls.find(|url| !seen.insert(url.clone()))?;
    let origin = facts.origin;
    Some(format!("broker.url: names {again} twice ({origin})"))
}

fn readable_password(facts: &Facts<'_>) -> Option<String> {
    let is_secret = |url: &BrokerUrl| url.password.is_some() && url.user != "guest";
    let mode = facts.loaded.file("broker.url")?.metadata().ok()?.mode();
    let origin = facts.origin;
    (mode & 0o004 != 0 && facts.urls.iter().any(is_secret)).then(|| {
        format!(
            "broker.url: contains a password, and everyone can read the file ({origin}); \
             put the password into its own file and set broker.password_file"
        )
    })
}

/// The first URL that names a user without a password, if there is no password elsewhere either.
fn without_password<'a>(facts: &Facts<'a>, certificate: bool) -> Option<&'a BrokerUrl> {
    let is_lacking = |url: &&BrokerUrl| {
        url.password.is_none() && shows_certificate(facts.broker, url) == certificate
    };
    let url = facts.urls.iter().find(is_lacking);
    url.filter(|_| facts.password.is_none())
}

fn no_password(facts: &Facts<'_>) -> Option<String> {
    let url = without_password(facts, false)?;
    let (user, origin) = (&url.user, facts.origin);
    Some(format!(
        "broker.url: has no password for user {user:?} at {url} ({origin}), and the credential {CREDENTIAL} does \
         not exist here; set broker.password_file, unless the service has that credential"
    ))
}

fn unused_password(facts: &Facts<'_>) -> Option<String> {
    let is_given = |url: &&BrokerUrl| url.password.is_some() && !url.default_login;
    let url = facts.urls.iter().find(is_given)?;
    let (used, origin) = (facts.password?, facts.origin);
    Some(format!(
        "broker.url: its password for {url} is not used, {used} takes precedence ({origin}); remove one of them"
    ))
}

fn unused_user(facts: &Facts<'_>) -> Option<String> {
    let url = without_password(facts, true)?;
    let (user, origin) = (&url.user, facts.origin);
    Some(format!(
        "broker.url: user {user:?} at {url} is not used: without a password the certificate in \
         broker.tls.cert_file determines the user ({origin}); remove the user, or set broker.password_file"
    ))
}
