//! What no key can tell alone: values that do not go together, and what deserves a warning.

use super::environment::Environment;
use super::login::shows_certificate;
use super::password::{CREDENTIAL, is_denied};
use super::problem::Problem;
use super::units::format_duration;
use super::{Broker, BrokerUrl, Config, Loaded, QueueKind, Scheme};
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
        rule(
            &["broker.url", "broker.password_file"],
            unused_password(loaded, environment),
        ),
        rule(
            &["broker.url", "broker.password_file", "broker.tls.cert_file"],
            unused_user(loaded, environment),
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
    let urls = loaded.config.broker.url.iter().map(BrokerUrl::redacted);
    let again = urls.into_iter().find(|url| !seen.insert(url.clone()))?;
    let origin = loaded.origin("broker.url");
    Some(format!("broker.url: names {again} twice ({origin})"))
}

fn readable_password(loaded: &Loaded, url_file: Option<&Path>) -> Option<String> {
    let secret = |url: &BrokerUrl| url.password.is_some() && url.user != "guest";
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
    let lacking = |url: &&BrokerUrl| url.password.is_none() && !shows_certificate(broker, url);
    if password_elsewhere(broker, environment).is_some() {
        return None;
    }
    let url = broker.url.iter().find(lacking)?;
    Some(format!(
        "broker.url: has no password for user {:?} at {url} ({}), and the credential {CREDENTIAL} is \
         not here; set broker.password_file, unless the service has that credential",
        url.user,
        loaded.origin("broker.url")
    ))
}

/// Where the password is, if not in the URLs.
fn password_elsewhere(broker: &Broker, environment: &Environment) -> Option<&'static str> {
    let credential = environment.path("CREDENTIALS_DIRECTORY");
    if broker.password_file.is_some() {
        Some("broker.password_file")
    } else if credential.is_some_and(|folder| {
        let path = folder.join(CREDENTIAL);
        path.exists() || is_denied(&path)
    }) {
        Some("the systemd credential broker-password")
    } else {
        None
    }
}

/// A password in a URL that another one goes before.
fn unused_password(loaded: &Loaded, environment: &Environment) -> Option<String> {
    let Config { broker, .. } = &loaded.config;
    let used = password_elsewhere(broker, environment)?;
    let given = |url: &&BrokerUrl| url.password.is_some() && !url.default_login;
    let url = broker.url.iter().find(given)?;
    Some(format!(
        "broker.url: the password in it for {url} is not used, {used} goes before it ({}); leave one of them out",
        loaded.origin("broker.url")
    ))
}

/// A user in a URL that the certificate decides upon.
fn unused_user(loaded: &Loaded, environment: &Environment) -> Option<String> {
    let Config { broker, .. } = &loaded.config;
    if password_elsewhere(broker, environment).is_some() {
        return None;
    }
    let named = |url: &&BrokerUrl| {
        url.password.is_none() && !url.default_login && shows_certificate(broker, url)
    };
    let url = broker.url.iter().find(named)?;
    Some(format!(
        "broker.url: user {:?} at {url} is not used, without a password the certificate in broker.tls.cert_file says who \
         logs in ({}); leave the user out, or set broker.password_file",
        url.user,
        loaded.origin("broker.url")
    ))
}
