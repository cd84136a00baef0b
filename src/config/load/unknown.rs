//! Messages about unknown keys and variables: what was probably meant, or where that is configured.

use super::environment::CONFIG_VARIABLE;
use crate::config::keys::{Key, Keys, PREFIX};
use crate::config::redact::redact_urls;
use std::fmt::Display;

/// An unknown key or table in a file or among the flags.
pub(super) fn unknown_key(keys: Keys, name: &str, origin: &str) -> String {
    let help = did_you_mean(near_key(keys, name));
    let help = help.unwrap_or_else(|| {
        moved(name)
            .unwrap_or("see fibrpc.toml(5) for all keys")
            .into()
    });
    // A key is not a secret, but somebody may have put a URL in its place.
    let name: String = redact_urls(name).chars().take(80).collect();
    format!("{name}: unknown key ({origin}); {help}")
}

/// A variable with our prefix that sets no key.
pub(super) fn unknown_variable(keys: Keys, name: &str) -> String {
    let help = did_you_mean(near_variable(keys, name));
    let help = help.unwrap_or_else(|| moved(&dotted(name)).unwrap_or("unset it").into());
    format!("{name}: unknown setting (environment); {help}")
}

fn did_you_mean(near: Option<impl Display>) -> Option<String> {
    near.map(|near| format!("did you mean {near}?"))
}

/// The key or table that was probably meant.
fn near_key(keys: Keys, name: &str) -> Option<&'static str> {
    let wanted = name.replace('-', "_").to_lowercase();
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let names = keys.iter().map(|key| key.name);
    let mut both = names.clone().chain(keys.iter().map(|key| key.parts().0));
    if let Some(same) = both.clone().find(|known| *known == wanted) {
        return Some(same);
    }
    let mut elsewhere = names.filter(|known| last(known) == last(&wanted));
    if let (Some(one), None) = (elsewhere.next(), elsewhere.next()) {
        return Some(one);
    }
    // About one wrong letter in four, counted over the last part if the table is right.
    let allowed = last(&wanted).chars().count().div_ceil(4).min(4);
    let distance = |known: &str| strsim::damerau_levenshtein(known, &wanted);
    let nearest = both.by_ref().min_by_key(|known| distance(known))?;
    (distance(nearest) <= allowed).then_some(nearest)
}

/// A warning about a variable that sets no key, if it looks like a misspelt one. Others belong to other programs.
pub(super) fn not_a_setting(keys: Keys, name: &str) -> Option<String> {
    // A byte order mark before it or lower case letters are easily overlooked.
    let plain = name
        .trim_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_ascii_uppercase();
    let rest = plain.strip_prefix(PREFIX)?;
    let elsewhere = || match rest.rsplit('_').next()? {
        "PASSWORD" | "PASSWD" | "PASS" | "SECRET" => moved("password"),
        "USER" | "USERNAME" | "LOGIN" | "VHOST" => moved("user"),
        _ => None,
    };
    let file = plain
        .starts_with(CONFIG_VARIABLE)
        .then(|| CONFIG_VARIABLE.to_owned());
    let near = file.or_else(|| near_variable(keys, &plain));
    let help = did_you_mean(near).or_else(|| elsewhere().map(str::to_owned))?;
    Some(format!(
        "{}: not a setting, ignored; {help}",
        name.escape_debug()
    ))
}

/// The variable that was probably meant.
fn near_variable(keys: Keys, name: &str) -> Option<String> {
    if let Some(near) = near_key(keys, &dotted(name)) {
        return keys.find(near).map(Key::variable);
    }
    // With one underscore instead of two, or without the first table.
    let end = name.replace("__", "_").replacen(PREFIX, "_", 1);
    let same = |variable: &String| variable.replace("__", "_").ends_with(&end);
    let mut same = keys.iter().map(Key::variable).filter(same);
    same.next().filter(|_| same.next().is_none())
}

fn dotted(name: &str) -> String {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    name.to_lowercase().replace("__", ".")
}

/// Where something is configured that people expect to have a key of its own.
fn moved(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next()? {
        "password" | "passwd" | "pass" | "secret" => {
            Some("put it into a file and set broker.password_file")
        }
        "user" | "username" | "login" | "vhost" | "virtual_host" | "host" | "hostname" | "port"
        | "uri" => Some("set it in broker.url"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Keys, near_key, unknown_key, unknown_variable};

    #[test]
    fn misspelt_keys_are_recognised() {
        for (wrong, right) in [
            ("broker.heartbeet", Some("broker.heartbeat")),
            ("broker.heartbeta", Some("broker.heartbeat")),
            ("server.drain-timeout", Some("server.drain_timeout")),
            ("Server.Prefetch", Some("server.prefetch")),
            ("heartbeat", Some("broker.heartbeat")),
            ("server.ca_file", Some("broker.tls.ca_file")),
            ("brokr", Some("broker")),
            ("broker.tsl", Some("broker.tls")),
            ("broker.urls", Some("broker.url")),
            ("log.leve", Some("log.level")),
            ("colour", None),
            ("broker.password", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(near_key(Keys::default(), wrong), right, "{wrong}");
        }
    }

    #[test]
    fn messages_suggest_what_was_meant() {
        for (problem, text) in [
            (
                unknown_key(Keys::default(), "log.levle", "a.toml:3"),
                "log.levle: unknown key (a.toml:3); did you mean log.level?",
            ),
            (
                unknown_key(Keys::default(), "broker.user", "a.toml:3"),
                "broker.user: unknown key (a.toml:3); set it in broker.url",
            ),
            (
                unknown_key(Keys::default(), "amqp://u:k4nary@h", "a.toml:3"),
                "amqp://***@h: unknown key (a.toml:3); see fibrpc.toml(5) for all keys",
            ),
            (
                unknown_variable(Keys::default(), "FIBRPC_BROKER__URLS"),
                "FIBRPC_BROKER__URLS: unknown setting (environment); did you mean FIBRPC_BROKER__URL?",
            ),
            (
                unknown_variable(Keys::default(), "FIBRPC_BROKER__PASSWORD"),
                "FIBRPC_BROKER__PASSWORD: unknown setting (environment); \
                 put it into a file and set broker.password_file",
            ),
        ] {
            assert_eq!(problem, text);
        }
    }
}
