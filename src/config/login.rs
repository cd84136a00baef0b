//! How to log in to a broker: with a password from a file, a systemd credential or the URL, or with the client
//! certificate of TLS. Files are read again for each connection.

use super::exposure::exposed;
use super::fault::Problem;
use super::file::{FileFault, ReadError, read_text};
use super::keys::Broker;
use super::secret::Secret;
use super::url::{BrokerUrl, Scheme};
use rustix::fs::{Access, access};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// The name of the systemd credential, a file in `$CREDENTIALS_DIRECTORY`.
pub(super) const CREDENTIAL: &str = "broker-password";

/// The credentials to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// User and password (PLAIN).
    Password(Password),
    /// The client certificate, which names the user (EXTERNAL).
    Certificate,
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

/// How to log in to this broker: with the password if one is configured, in `broker.password_file`, as the systemd
/// credential `broker-password`, or in the URL; else with the client certificate, if there is one; else with the default
/// login of a URL that names no user. Call it at each connect, since files may have changed.
pub fn login(broker: &Broker, url: &BrokerUrl) -> Result<Login, FileFault> {
    login_from(broker, url, credentials().as_deref())
}

/// The same with a given credentials directory.
pub fn login_from(
    broker: &Broker,
    url: &BrokerUrl,
    credentials: Option<&Path>,
) -> Result<Login, FileFault> {
    if let Some(found) = in_file(broker, credentials) {
        return found.map(Login::Password);
    }
    let source = match &url.password {
        Some(_) if !url.default_login => Source::Url,
        _ if shows_certificate(broker, url) => return Ok(Login::Certificate),
        _ => Source::Default,
    };
    let secret = url.password.clone().ok_or_else(|| {
        let user = &url.user;
        Problem::new(&format!(
            "broker.url: has no password for user {user:?} at {url}; set broker.password_file"
        ))
    })?;
    Ok(Login::Password(Password {
        secret,
        source,
        warning: None,
    }))
}

/// Whether this broker receives a client certificate.
pub(super) fn shows_certificate(broker: &Broker, url: &BrokerUrl) -> bool {
    url.scheme == Scheme::Amqps && broker.tls.cert_file.is_some()
}

/// The password, if it is in a file.
pub fn password_file(broker: &Broker) -> Option<Result<Password, FileFault>> {
    in_file(broker, credentials().as_deref())
}

fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

fn in_file(broker: &Broker, credentials: Option<&Path>) -> Option<Result<Password, FileFault>> {
    if let Some(path) = &broker.password_file {
        let key = "broker.password_file";
        let found = read(path).map(|secret| Password {
            secret,
            source: match path.file_name() {
                Some(name) if is_credential(path, credentials) => {
                    Source::Credential(name.to_string_lossy().into_owned())
                }
                _ => Source::File(path.clone()),
            },
            warning: exposed(key, path),
        });
        let help = "check the path and its permissions";
        return Some(found.map_err(|error| FileFault::unread(key, path, &error, help)));
    }
    let path = credentials?.join(CREDENTIAL);
    let found = match read(&path) {
        Err(ReadError::Missing(_)) => return None,
        found => found.map(|secret| Password {
            secret,
            source: Source::Credential(CREDENTIAL.into()),
            // systemd protects that directory itself.
            warning: None,
        }),
    };
    let of = format!("credential {CREDENTIAL}");
    let help = "check LoadCredential= in the unit";
    Some(found.map_err(|error| FileFault::unread(&of, &path, &error, help)))
}

fn read(path: &Path) -> Result<Secret, ReadError> {
    const MAX_FILE: u64 = 64 << 10;
    let text = read_text(path, MAX_FILE)?;
    // Editors and echo end a file with a newline, which is not part of the password.
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(ReadError::Failed("is empty".into(), None));
    }
    Ok(Secret::new(text))
}

/// The service's credentials that are configured but invisible to this process, each with the key that names it.
/// systemd shows them to the service only, and not to the commands of `ExecReload=`.
pub fn unseen_credentials(broker: &Broker) -> Vec<(String, PathBuf)> {
    let folder = credentials();
    let is_unseen = |path: &PathBuf| {
        let is_hidden = is_denied(path) || !path.parent().is_some_and(Path::is_dir);
        is_credential(path, folder.as_deref()) && is_hidden
    };
    let tls = &broker.tls;
    let named = [
        ("broker.password_file", &broker.password_file),
        ("broker.tls.ca_file", &tls.ca_file),
        ("broker.tls.cert_file", &tls.cert_file),
        ("broker.tls.key_file", &tls.key_file),
    ];
    let unseen = named.into_iter().filter_map(|(key, path)| {
        let path = path.clone().filter(is_unseen)?;
        Some((key.to_owned(), path))
    });
    // Without a credentials directory there need not be a credential.
    let own = folder.as_deref().filter(|_| broker.password_file.is_none());
    let own = own.map(|folder| folder.join(CREDENTIAL));
    let own = own.filter(|path| is_denied(path));
    let own = own.map(|path| (format!("credential {CREDENTIAL}"), path));
    unseen.chain(own).collect()
}

/// Whether a path is that of a credential, of this service or of any.
fn is_credential(path: &Path, folder: Option<&Path>) -> bool {
    path.starts_with("/run/credentials") || folder.is_some_and(|folder| path.starts_with(folder))
}

/// Whether this process may not read a file, whether or not it exists.
pub(super) fn is_denied(path: &Path) -> bool {
    matches!(
        access(path, Access::READ_OK),
        Err(Errno::ACCESS | Errno::PERM)
    )
}
