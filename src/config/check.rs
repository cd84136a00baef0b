//! Rules over more than one key: values that contradict each other, and what deserves a warning.

use super::environment::Environment;
use super::keys::Broker;
use super::loaded::Loaded;
use super::login::shows_certificate;
use super::password::{CREDENTIAL, is_denied};
use super::problem::Problem;
use super::units::format_duration;
use super::url::{BrokerUrl, Scheme};
use super::words::QueueKind;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

/// What the rules are about.
struct Facts<'a> {
    loaded: &'a Loaded,
    broker: &'a Broker,
    /// Where `broker.url` came from.
    url_origin: &'a str,
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
    let facts = Facts {
        loaded,
        broker: &loaded.config.broker,
        url_origin: loaded.origin("broker.url"),
        password: password_elsewhere(&loaded.config.broker, environment),
    };
    let found = |rules: &[Rule]| {
        let sound = |(keys, _): &&Rule| !keys.iter().any(|key| wrong.contains(key));
        let found = rules
            .iter()
            .filter(sound)
            .filter_map(|(_, rule)| rule(&facts));
        found.collect::<Vec<_>>()
    };
    let problems = found(&PROBLEMS)
        .iter()
        .map(|text| Problem::new(text))
        .collect();
    (problems, found(&WARNINGS))
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
    let reconnect = facts.broker.reconnect;
    (reconnect.initial > reconnect.max).then(|| {
        format!(
            "broker.reconnect.initial: must not be above broker.reconnect.max, \
             is \"{}\" ({}) with a max of \"{}\" ({}); lower it or raise max",
            format_duration(reconnect.initial),
            facts.loaded.origin("broker.reconnect.initial"),
            format_duration(reconnect.max),
            facts.loaded.origin("broker.reconnect.max"),
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
    (queue.kind == QueueKind::Quorum && !queue.durable).then(|| {
        format!(
            "queue.durable: must be true for a quorum queue, is false ({}); \
             remove it or set queue.type to \"classic\"",
            facts.loaded.origin("queue.durable")
        )
    })
}

fn unused_tls(facts: &Facts<'_>) -> Option<String> {
    let tls = &facts.broker.tls;
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    let is_set = files.iter().any(|file| file.is_some()) || tls.server_name.is_some();
    let is_used = facts
        .broker
        .url
        .iter()
        .any(|url| url.scheme == Scheme::Amqps);
    let origin = facts.url_origin;
    (is_set && !is_used).then(|| {
        format!("broker.tls: is not used, no URL in broker.url starts with amqps:// ({origin})")
    })
}

fn twice(facts: &Facts<'_>) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut urls = facts.broker.url.iter().map(BrokerUrl::redacted);
    let again = urls.find(|url| !seen.insert(url.clone()))?;
    Some(format!(
        "broker.url: names {again} twice ({})",
        facts.url_origin
    ))
}

fn readable_password(facts: &Facts<'_>) -> Option<String> {
    let is_secret = |url: &BrokerUrl| url.password.is_some() && url.user != "guest";
    let file = facts.loaded.file("broker.url")?;
    let mode = file.metadata().ok()?.permissions().mode();
    (mode & 0o004 != 0 && facts.broker.url.iter().any(is_secret)).then(|| {
        format!(
            "broker.url: contains a password, and everyone can read the file ({}); \
             put the password into its own file and set broker.password_file",
            facts.url_origin
        )
    })
}

fn no_password(facts: &Facts<'_>) -> Option<String> {
    let is_lacking =
        |url: &&BrokerUrl| url.password.is_none() && !shows_certificate(facts.broker, url);
    let url = facts.broker.url.iter().find(is_lacking)?;
    facts.password.is_none().then(|| {
        format!(
            "broker.url: has no password for user {:?} at {url} ({}), and the credential {CREDENTIAL} does \
             not exist here; set broker.password_file, unless the service has that credential",
            url.user, facts.url_origin
        )
    })
}

fn unused_password(facts: &Facts<'_>) -> Option<String> {
    let is_given = |url: &&BrokerUrl| url.password.is_some() && !url.default_login;
    let url = facts.broker.url.iter().find(is_given)?;
    Some(format!(
        "broker.url: its password for {url} is not used, {} takes precedence ({}); remove one of them",
        facts.password?, facts.url_origin
    ))
}

fn unused_user(facts: &Facts<'_>) -> Option<String> {
    let is_named = |url: &&BrokerUrl| {
        url.password.is_none() && !url.default_login && shows_certificate(facts.broker, url)
    };
    let url = facts.broker.url.iter().find(is_named)?;
    facts.password.is_none().then(|| {
        format!(
            "broker.url: user {:?} at {url} is not used: without a password the certificate in \
             broker.tls.cert_file determines the user ({}); remove the user, or set broker.password_file",
            url.user, facts.url_origin
        )
    })
}
