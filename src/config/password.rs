//! The broker's password and where it comes from. Files are read again for each connection.

use super::exposure::exposed;
use super::file::{ReadError, read_text};
use super::keys::Broker;
use super::problem::{FileFault, Problem};
use super::secret::Secret;
use super::url::BrokerUrl;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The name of the systemd credential, a file in `$CREDENTIALS_DIRECTORY`.
pub(super) const CREDENTIAL: &str = "broker-password";

/// The largest password file that is read, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Where a password comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This file, which `broker.password_file` names.
    File(PathBuf),
    /// The systemd credential with this name: `broker-password`, or one that `broker.password_file` names. Its content is
    /// that at the start of the service.
    Credential(String),
    /// The URL.
    Url,
    /// None: it is the default password.
    Default,
}

/// A password with its source.
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

/// The problem of a URL without a password if there is none elsewhere.
pub(super) fn missing(url: &BrokerUrl) -> Problem {
    Problem::new(&format!(
        "broker.url: has no password for user {:?} at {url}; set broker.password_file",
        url.user
    ))
}

/// The password, if it is in a file.
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
        let found = read(path).map(|secret| Password {
            warning: exposed("broker.password_file", path),
            ..Password::new(secret, source_of(path, credentials))
        });
        let help = "check the path and its permissions";
        let unread = |error| FileFault::unread("broker.password_file", path, &error, help);
        return Some(found.map_err(unread));
    }
    let path = credentials?.join(CREDENTIAL);
    let found = match read(&path) {
        Err(ReadError::Missing(_)) => return None,
        // systemd protects that directory itself.
        found => found.map(|secret| Password::new(secret, Source::Credential(CREDENTIAL.into()))),
    };
    let of = format!("credential {CREDENTIAL}");
    let help = "check LoadCredential= in the unit";
    Some(found.map_err(|error| FileFault::unread(&of, &path, &error, help)))
}

/// The service's credentials that are configured but invisible to this process, each with the key that names it.
/// systemd shows them to the service only, and not to the commands of `ExecReload=`.
pub fn unseen_credentials(broker: &Broker) -> Vec<(String, PathBuf)> {
    let folder = credentials();
    let tls = &broker.tls;
    let named = [
        ("broker.password_file", &broker.password_file),
        ("broker.tls.ca_file", &tls.ca_file),
        ("broker.tls.cert_file", &tls.cert_file),
        ("broker.tls.key_file", &tls.key_file),
    ];
    let unseen = |(key, path): (&str, &Option<PathBuf>)| {
        let path = path
            .clone()
            .filter(|path| is_unseen(path, folder.as_deref()))?;
        Some((key.to_owned(), path))
    };
    let mut found: Vec<_> = named.into_iter().filter_map(unseen).collect();
    let own = folder.as_deref().filter(|_| broker.password_file.is_none());
    let own = own.map(|folder| folder.join(CREDENTIAL));
    // Without a credentials directory there need not be a credential.
    if let Some(path) = own.filter(|path| is_denied(path)) {
        found.push((format!("credential {CREDENTIAL}"), path));
    }
    found
}

/// Whether a path is that of a credential, and hidden from us.
fn is_unseen(path: &Path, folder: Option<&Path>) -> bool {
    is_credential(path, folder) && (is_denied(path) || !path.parent().is_some_and(Path::is_dir))
}

/// Whether a path is that of a credential, of this service or of any.
fn is_credential(path: &Path, folder: Option<&Path>) -> bool {
    path.starts_with("/run/credentials") || folder.is_some_and(|folder| path.starts_with(folder))
}

/// The kind of file that `broker.password_file` names.
fn source_of(path: &Path, credentials: Option<&Path>) -> Source {
    match path.file_name() {
        Some(name) if is_credential(path, credentials) => {
            Source::Credential(name.to_string_lossy().into_owned())
        }
        _ => Source::File(path.to_owned()),
    }
}

/// Whether this process may not read a file, whether or not it exists.
pub(super) fn is_denied(path: &Path) -> bool {
    let access = rustix::fs::access(path, rustix::fs::Access::READ_OK);
    matches!(access, Err(Errno::ACCESS | Errno::PERM))
}

fn read(path: &Path) -> Result<Secret, ReadError> {
    let text = read_text(path, MAX_FILE)?;
    // Editors and echo end a file with a newline, which is not part of the password.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(ReadError::Failed("is empty".into(), None));
    }
    Ok(Secret::new(text))
}
