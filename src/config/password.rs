//! The broker's password: where it comes from, read afresh for each connection.

use super::file::{self, ReadError};
use super::problem::{FileFault, Problem, one_line};
use super::{Broker, BrokerUrl, Secret};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The name of the systemd credential, a file in `$CREDENTIALS_DIRECTORY`.
pub(super) const CREDENTIAL: &str = "broker-password";

/// The largest password file that is read, in bytes.
const LARGEST_FILE: u64 = 64 << 10;

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This file, which `broker.password_file` names.
    File(PathBuf),
    /// The systemd credential `broker-password`.
    Credential,
    /// The URL.
    Url,
    /// It is the default one, which nobody had to give.
    Default,
}

/// A password, and what is to be said about where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// The password.
    pub secret: Secret,
    /// Where it comes from.
    pub source: Source,
    /// One line, if others can read the file.
    pub warning: Option<String>,
}

impl Password {
    pub(super) fn new(secret: Secret, source: Source) -> Self {
        Self {
            secret,
            source,
            warning: None,
        }
    }
}

/// A URL lacks a password, and none is elsewhere.
pub(super) fn missing(url: &BrokerUrl) -> Problem {
    Problem::new(&format!(
        "broker.url: has no password for user {:?} at {url}; set broker.password_file",
        url.user
    ))
}

/// The password, where it is in a file: `None` where it is not.
pub fn password_file(broker: &Broker) -> Option<Result<Password, FileFault>> {
    in_file(broker, credentials().as_deref())
}

pub(super) fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

pub(super) fn in_file(
    broker: &Broker,
    credentials: Option<&Path>,
) -> Option<Result<Password, FileFault>> {
    if let Some(path) = &broker.password_file {
        let help = "check the path and its permissions";
        let fault = |error: Unusable<'_>| error.fault("broker.password_file", help);
        let found = read(path).map_err(fault).map(|secret| Password {
            warning: exposed(path),
            ..Password::new(secret, Source::File(path.clone()))
        });
        return Some(found);
    }
    let path = credentials?.join(CREDENTIAL);
    match read(&path) {
        // systemd guards that folder itself.
        Ok(secret) => Some(Ok(Password::new(secret, Source::Credential))),
        Err(Unusable {
            error: ReadError::Missing,
            ..
        }) => None,
        Err(error) => {
            let help = "check LoadCredential= in the unit";
            Some(Err(error.fault(&format!("credential {CREDENTIAL}"), help)))
        }
    }
}

struct Unusable<'a> {
    path: &'a Path,
    error: ReadError,
}

impl Unusable<'_> {
    fn fault(&self, of: &str, help: &str) -> FileFault {
        let Self { path, error } = self;
        let path = path.display();
        let help = match error {
            ReadError::Shortage(shortage) => shortage.cure(),
            _ => help,
        };
        FileFault {
            problem: Problem::new(&format!("{of}: cannot use {path}: {error}; {help}")),
            denied: matches!(error, ReadError::Denied),
            shortage: matches!(error, ReadError::Shortage(_)),
        }
    }
}

fn read(path: &Path) -> Result<Secret, Unusable<'_>> {
    let unusable = |error| Unusable { path, error };
    let text = file::read(path, LARGEST_FILE).map_err(unusable)?;
    // Editors and echo end a file with a newline that is no part of the password.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let failed = |reason: &str| Err(unusable(ReadError::Failed(reason.into())));
    match text {
        "" => failed("is empty"),
        text if text.contains('\0') => failed("holds a NUL byte"),
        text => Ok(Secret::new(text)),
    }
}

fn exposed(path: &Path) -> Option<String> {
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let path = path.display();
        one_line(&format!(
            "broker.password_file: others can read {path} (mode {mode:04o}); chmod it to 0600"
        ))
    })
}
