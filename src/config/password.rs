//! The broker's password: where it comes from, read afresh for each connection.

use super::file::{self, ReadError};
use super::problem::{Problem, one_line};
use super::{Broker, BrokerUrl, Secret};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The name of the systemd credential, a file in `$CREDENTIALS_DIRECTORY`.
pub(super) const CREDENTIAL: &str = "broker-password";

/// The largest password file that is read, in bytes.
const LARGEST_FILE: u64 = 64 << 10;

/// A password, and what is to be said about where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    /// The password.
    pub secret: Secret,
    /// One line, if others can read the file.
    pub warning: Option<String>,
}

/// The password for a broker: from `broker.password_file`, else from the systemd credential
/// `broker-password`, else from the URL. Call it at each connect, so that a changed file counts.
pub fn password(broker: &Broker, url: &BrokerUrl) -> Result<Password, Problem> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    password_from(broker, url, folder.as_deref())
}

/// The same with a given folder of credentials.
pub fn password_from(
    broker: &Broker,
    url: &BrokerUrl,
    credentials: Option<&Path>,
) -> Result<Password, Problem> {
    if let Some(path) = &broker.password_file {
        let secret = read(path).map_err(|error| {
            let help = "check the path and its permissions";
            problem(&format!("broker.password_file: {error}; {help}"))
        })?;
        return Ok(Password {
            secret,
            warning: exposed(path),
        });
    }
    if let Some(path) = credentials.map(|folder| folder.join(CREDENTIAL)) {
        match read(&path) {
            // systemd guards that folder itself.
            Ok(secret) => {
                return Ok(Password {
                    secret,
                    warning: None,
                });
            }
            Err(Unusable {
                error: ReadError::Missing,
                ..
            }) => {}
            Err(error) => {
                let help = "check LoadCredential= in the unit";
                return Err(problem(&format!(
                    "credential {CREDENTIAL}: {error}; {help}"
                )));
            }
        }
    }
    match &url.password {
        Some(secret) => Ok(Password {
            secret: secret.clone(),
            warning: None,
        }),
        None => Err(problem(&format!(
            "broker.url: has no password for user {:?} at {url}; set broker.password_file",
            url.user
        ))),
    }
}

struct Unusable<'a> {
    path: &'a Path,
    error: ReadError,
}

impl std::fmt::Display for Unusable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot use {}: {}", self.path.display(), self.error)
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

fn problem(text: &str) -> Problem {
    Problem::new(text)
}
