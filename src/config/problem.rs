//! What can be wrong with a configuration, and the words for unknown keys.

use super::file::ReadError;
use super::keys::{PREFIX, is_section, keys};
use super::load::CONFIG_VARIABLE;
use super::redact::redact_urls;
use std::path::Path;

/// One thing that is wrong, in one line: key, what is wrong, where the value came from, what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Problem(pub String);

impl Problem {
    /// Keeps the promise of one line, whatever paths and keys hold.
    pub fn new(text: &str) -> Self {
        Self(one_line(text))
    }
}

/// A file that the configuration names and that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFault {
    /// What is wrong with it.
    pub problem: Problem,
    /// Whether that is no more than that this user may not read it.
    pub denied: bool,
    /// Whether the machine was short of something, and nothing is known of the file.
    pub shortage: bool,
}

impl From<Problem> for FileFault {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            denied: false,
            shortage: false,
        }
    }
}

impl FileFault {
    /// Of a file that was not read, which a key or a credential names. `help`: what to do where the reason is
    /// no special one.
    pub fn unread(of: &str, path: &Path, error: &ReadError, help: &str) -> Self {
        let (path, help) = (path.display(), error.help().unwrap_or(help));
        Self {
            problem: Problem::new(&format!("{of}: cannot use {path}: {error}; {help}")),
            denied: *error == ReadError::Denied,
            shortage: matches!(error, ReadError::Shortage(_)),
        }
    }
}

/// The text on one line, made safe.
pub(super) fn one_line(text: &str) -> String {
    crate::text::safe(text).into_owned()
}

/// An unknown key or table in a file or among the flags.
pub(super) fn unknown_key(name: &str, origin: &str) -> Problem {
    let help = match near_key(name) {
        Some(near) => format!("did you mean {near}?"),
        None => moved(name)
            .unwrap_or("see fibrpc.toml(5) for all keys")
            .into(),
    };
    // A key is not a secret, but a URL may have ended up left of an equals sign.
    let name: String = redact_urls(name).chars().take(80).collect();
    Problem::new(&format!("{name}: unknown key ({origin}); {help}"))
}

/// An unknown variable of ours.
pub(super) fn unknown_variable(name: &str) -> Problem {
    let help = match near_variable(name) {
        Some(near) => format!("did you mean {near}?"),
        None => moved(&dotted(name)).unwrap_or("unset it").into(),
    };
    Problem::new(&format!("{name}: unknown setting (environment); {help}"))
}

/// The known key or table that someone may have meant.
fn near_key(name: &str) -> Option<&'static str> {
    let wanted = name.replace('-', "_").to_lowercase();
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let names: Vec<_> = keys().map(|key| key.name).collect();
    let sections: Vec<_> = keys().map(super::keys::Key::section).collect();
    let mut both = names.iter().chain(&sections).copied();
    if let Some(same) = both.clone().find(|known| *known == wanted) {
        return Some(same);
    }
    let mut elsewhere = names.iter().filter(|known| last(known) == last(&wanted));
    if let (Some(one), None) = (elsewhere.next(), elsewhere.next()) {
        return Some(one);
    }
    // About one slip in four letters, counted over the last part where the table is right.
    let allowed = last(&wanted).chars().count().div_ceil(4).min(4);
    let distance = |known: &str| strsim::damerau_levenshtein(known, &wanted);
    let nearest = both.by_ref().min_by_key(|known| distance(known))?;
    (distance(nearest) <= allowed).then_some(nearest)
}

/// What is said of a variable that is no setting, and may be meant as one or be somebody else's.
pub(super) fn not_a_setting(name: &str) -> Option<String> {
    // Files with a byte order mark and lower case letters make names that pass for ours at a glance.
    let plain = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let plain = plain.to_ascii_uppercase();
    let rest = plain.strip_prefix(PREFIX)?;
    let elsewhere = || match rest.rsplit('_').next()? {
        "PASSWORD" | "PASSWD" | "PASS" | "SECRET" => moved("password"),
        "USER" | "USERNAME" | "LOGIN" | "VHOST" => moved("user"),
        _ => None,
    };
    let near = if plain.starts_with(CONFIG_VARIABLE) {
        Some(CONFIG_VARIABLE.to_owned())
    } else {
        near_variable(&plain)
    };
    let help = near.map(|near| format!("did you mean {near}?"));
    let help = help.or_else(|| elsewhere().map(str::to_owned))?;
    let name = name.escape_debug();
    Some(format!("{name}: not a setting, ignored; {help}"))
}

/// The known variable that someone may have meant.
fn near_variable(name: &str) -> Option<String> {
    let known = keys().filter(|key| !is_section(key.name));
    if let Some(near) = near_key(&dotted(name)) {
        let mut near = known.filter(|key| key.name == near);
        return near.next().map(super::Key::variable);
    }
    // With one underscore for two, and perhaps without the first of the tables.
    let end = name.replace("__", "_").replacen(PREFIX, "_", 1);
    let same = |variable: &String| variable.replace("__", "_").ends_with(&end);
    let mut same = known.map(super::Key::variable).filter(same);
    same.next().filter(|_| same.next().is_none())
}

fn dotted(name: &str) -> String {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    name.to_lowercase().replace("__", ".")
}

/// What people look for under a name of its own, and where it is.
fn moved(name: &str) -> Option<&'static str> {
    match name.rsplit('.').next()? {
        "password" | "passwd" | "pass" | "secret" => {
            Some("put it into a file and name that in broker.password_file")
        }
        "user" | "username" | "login" | "vhost" | "virtual_host" | "host" | "hostname" | "port"
        | "uri" => Some("it is a part of broker.url"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{near_key, unknown_key, unknown_variable};

    #[test]
    fn slips_are_recognised() {
        for (wrong, right) in [
            ("broker.heartbeet", Some("broker.heartbeat")),
            ("broker.heartbeta", Some("broker.heartbeat")),
            ("server.max-n", Some("server.max_n")),
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
            assert_eq!(near_key(wrong), right, "{wrong}");
        }
    }

    #[test]
    fn words_for_them() {
        for (problem, text) in [
            (
                unknown_key("log.levle", "a.toml:3"),
                "log.levle: unknown key (a.toml:3); did you mean log.level?",
            ),
            (
                unknown_key("broker.user", "a.toml:3"),
                "broker.user: unknown key (a.toml:3); it is a part of broker.url",
            ),
            (
                unknown_key("amqp://u:k4nary@h", "a\n.toml:3"),
                "amqp://***@h: unknown key (a\\n.toml:3); see fibrpc.toml(5) for all keys",
            ),
            (
                unknown_variable("FIBRPC_BROKER__URLS"),
                "FIBRPC_BROKER__URLS: unknown setting (environment); did you mean FIBRPC_BROKER__URL?",
            ),
            (
                unknown_variable("FIBRPC_BROKER__PASSWORD"),
                "FIBRPC_BROKER__PASSWORD: unknown setting (environment); \
                 put it into a file and name that in broker.password_file",
            ),
        ] {
            assert_eq!(problem.0, text);
        }
    }
}
