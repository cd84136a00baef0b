//! What no key can tell alone: values that do not go together, and what deserves a warning.

use super::environment::Environment;
use super::password::CREDENTIAL;
use super::problem::Problem;
use super::units::format_duration;
use super::{Config, Loaded, QueueKind, Scheme};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Problems and warnings. Rules over keys in `wrong` are left out: their values are not the user's.
pub(super) fn check(
    loaded: &Loaded,
    wrong: &[&str],
    environment: &Environment,
    url_file: Option<&Path>,
) -> (Vec<Problem>, Vec<String>) {
    let rule = |keys: &[&str], found: Option<String>| {
        let sound = !keys.iter().any(|key| wrong.contains(key));
        found.filter(|_| sound)
    };
    let problems = [
        rule(
            &["broker.reconnect.initial", "broker.reconnect.max"],
            reconnect(loaded),
        ),
        rule(
            &["broker.tls.cert_file", "broker.tls.key_file"],
            certificate(loaded),
        ),
        rule(&["queue.type", "queue.durable"], quorum(loaded)),
    ];
    let warnings = [
        rule(&["broker.url"], unused_tls(loaded)),
        rule(&["broker.url"], twice(loaded)),
        rule(&["broker.url"], readable_password(loaded, url_file)),
        rule(
            &["broker.url", "broker.password_file"],
            no_password(loaded, environment),
        ),
    ];
    let problem = |text: String| Problem::new(&text);
    (
        problems.into_iter().flatten().map(problem).collect(),
        warnings.into_iter().flatten().collect(),
    )
}

fn reconnect(loaded: &Loaded) -> Option<String> {
    let reconnect = loaded.config.broker.reconnect;
    (reconnect.initial > reconnect.max).then(|| {
        format!(
            "broker.reconnect.initial: must not be above broker.reconnect.max, \
             is \"{}\" ({}) with a max of \"{}\" ({}); lower it or raise max",
            format_duration(reconnect.initial),
            loaded.origin("broker.reconnect.initial"),
            format_duration(reconnect.max),
            loaded.origin("broker.reconnect.max"),
        )
    })
}

fn certificate(loaded: &Loaded) -> Option<String> {
    let tls = &loaded.config.broker.tls;
    let (given, missing) = match (&tls.cert_file, &tls.key_file) {
        (Some(_), None) => ("broker.tls.cert_file", "broker.tls.key_file"),
        (None, Some(_)) => ("broker.tls.key_file", "broker.tls.cert_file"),
        _ => return None,
    };
    let origin = loaded.origin(given);
    Some(format!(
        "{given}: needs {missing} as well ({origin}); set both or neither"
    ))
}

fn quorum(loaded: &Loaded) -> Option<String> {
    let queue = &loaded.config.queue;
    (queue.kind == QueueKind::Quorum && !queue.durable).then(|| {
        format!(
            "queue.durable: must be true for a quorum queue, is false ({}); \
             leave it out or set queue.type to \"classic\"",
            loaded.origin("queue.durable")
        )
    })
}

fn unused_tls(loaded: &Loaded) -> Option<String> {
    let Config { broker, .. } = &loaded.config;
    let tls = &broker.tls;
    let file = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    let set = file.iter().any(|file| file.is_some()) || tls.server_name.is_some();
    let used = broker.url.iter().any(|url| url.scheme == Scheme::Amqps);
    (set && !used).then(|| {
        format!(
            "broker.tls: is not used, no URL in broker.url starts with amqps:// ({})",
            loaded.origin("broker.url")
        )
    })
}

fn twice(loaded: &Loaded) -> Option<String> {
    let mut seen = BTreeSet::new();
    let urls = loaded
        .config
        .broker
        .url
        .iter()
        .map(super::BrokerUrl::redacted);
    let again = urls.into_iter().find(|url| !seen.insert(url.clone()))?;
    let origin = loaded.origin("broker.url");
    Some(format!("broker.url: names {again} twice ({origin})"))
}

fn readable_password(loaded: &Loaded, url_file: Option<&Path>) -> Option<String> {
    let secret = |url: &super::BrokerUrl| url.password.is_some() && url.user != "guest";
    let path = url_file.filter(|_| loaded.config.broker.url.iter().any(secret))?;
    let mode = path.metadata().ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        format!(
            "broker.url: holds a password and everyone can read it ({}); \
             put the password into a file of its own and name that in broker.password_file",
            loaded.origin("broker.url")
        )
    })
}

fn no_password(loaded: &Loaded, environment: &Environment) -> Option<String> {
    let Config { broker, .. } = &loaded.config;
    let credential = environment.path("CREDENTIALS_DIRECTORY");
    let elsewhere = broker.password_file.is_some()
        || broker.tls.cert_file.is_some()
        || credential.is_some_and(|folder| folder.join(CREDENTIAL).exists());
    let url = broker
        .url
        .iter()
        .find(|url| url.password.is_none() && !elsewhere)?;
    Some(format!(
        "broker.url: has no password for user {:?} at {url} ({}); set broker.password_file",
        url.user,
        loaded.origin("broker.url")
    ))
}
