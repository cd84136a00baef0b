//! Rules over more than one key: values that contradict each other, and what deserves a warning.

use super::environment::Environment;
use super::loaded::Loaded;
use crate::config::keys::{Broker, Config, Tls};
use crate::config::login::{CREDENTIAL, is_denied, shows_certificate};
use crate::config::units::format_duration;
use crate::config::url::{BrokerUrl, Scheme};
use crate::config::words::QueueKind;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

/// Values that contradict each other. Keys in `wrong` are left out: their values are not the user's.
pub(super) fn contradictions(loaded: &Loaded, wrong: &[&str]) -> Vec<String> {
    let Config { broker, queue, .. } = &loaded.config;
    let origin = |key| loaded.origin(key);
    let are_right = |keys: &[&str]| !keys.iter().any(|key| wrong.contains(key));
    let mut found = Vec::new();

    let (initial, max) = ("broker.reconnect.initial", "broker.reconnect.max");
    let reconnect = &broker.reconnect;
    if reconnect.initial > reconnect.max && are_right(&[initial, max]) {
        let shown = |value, key| format!("\"{}\" ({})", format_duration(value), origin(key));
        found.push(format!(
            "{initial}: must not be above {max}, is {} with a max of {}; lower it or raise max",
            shown(reconnect.initial, initial),
            shown(reconnect.max, max),
        ));
    }

    let (cert, key) = ("broker.tls.cert_file", "broker.tls.key_file");
    let incomplete = match (&broker.tls.cert_file, &broker.tls.key_file) {
        (Some(_), None) => Some((cert, key)),
        (None, Some(_)) => Some((key, cert)),
        _ => None,
    };
    if let Some((given, missing)) = incomplete.filter(|_| are_right(&[cert, key])) {
        let origin = origin(given);
        found.push(format!(
            "{given}: requires {missing} ({origin}); set both or neither"
        ));
    }

    let durable = "queue.durable";
    if queue.kind == QueueKind::Quorum && !queue.durable && are_right(&["queue.type", durable]) {
        found.push(format!(
            "{durable}: must be true for a quorum queue, is false ({}); \
             remove it or set queue.type to \"classic\"",
            origin(durable)
        ));
    }
    found
}

/// What deserves a warning in a configuration without problems.
pub(super) fn doubts(loaded: &Loaded, environment: &Environment) -> Vec<String> {
    let broker = &loaded.config.broker;
    let (urls, origin) = (&broker.url, loaded.origin("broker.url"));
    let elsewhere = password_elsewhere(broker, environment);
    let mut found = Vec::new();

    if broker.tls != Tls::default() && !urls.iter().any(|url| url.scheme == Scheme::Amqps) {
        found.push(format!(
            "broker.tls: is not used, no URL in broker.url starts with amqps:// ({origin})"
        ));
    }

    let mut seen = BTreeSet::new();
    let mut shown = urls.iter().map(BrokerUrl::redacted);
    if let Some(url) = shown.find(|url| !seen.insert(url.clone())) {
        found.push(format!("broker.url: names {url} twice ({origin})"));
    }

    let is_secret = |url: &BrokerUrl| url.password.is_some() && url.user != "guest";
    let file = loaded
        .file("broker.url")
        .and_then(|path| path.metadata().ok());
    if file.is_some_and(|file| file.mode() & 0o004 != 0) && urls.iter().any(is_secret) {
        found.push(format!(
            "broker.url: contains a password, and everyone can read the file ({origin}); \
             put the password into its own file and set broker.password_file"
        ));
    }

    let is_bare = |url: &&BrokerUrl| url.password.is_none() && elsewhere.is_none();
    let (by_certificate, others): (Vec<_>, Vec<_>) = urls
        .iter()
        .filter(is_bare)
        .partition(|url| shows_certificate(broker, url));
    if let Some(url) = others.first() {
        let user = &url.user;
        found.push(format!(
            "broker.url: has no password for user {user:?} at {url} ({origin}), and the credential {CREDENTIAL} does \
             not exist here; set broker.password_file, unless the service has that credential"
        ));
    }
    let is_given = |url: &&BrokerUrl| url.password.is_some() && !url.default_login;
    if let (Some(url), Some(used)) = (urls.iter().find(is_given), elsewhere) {
        found.push(format!(
            "broker.url: its password for {url} is not used, {used} takes precedence ({origin}); remove one of them"
        ));
    }
    if let Some(url) = by_certificate.first() {
        let user = &url.user;
        found.push(format!(
            "broker.url: user {user:?} at {url} is not used: without a password the certificate in \
             broker.tls.cert_file determines the user ({origin}); remove the user, or set broker.password_file"
        ));
    }
    found
}

/// Where the password is, unless it is in the URLs.
fn password_elsewhere(broker: &Broker, environment: &Environment) -> Option<&'static str> {
    if broker.password_file.is_some() {
        return Some("broker.password_file");
    }
    let path = environment.path("CREDENTIALS_DIRECTORY")?.join(CREDENTIAL);
    (path.exists() || is_denied(&path)).then_some("the systemd credential broker-password")
}
