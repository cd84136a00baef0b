//! How to log in at a broker: by a password, or by the certificate that TLS shows it.

use super::keys::Broker;
use super::password::{Password, Source, credentials, in_file, missing};
use super::problem::FileFault;
use super::url::{BrokerUrl, Scheme};
use std::path::Path;

/// What to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// User and password (PLAIN).
    Password(Password),
    /// The client certificate, which names the user (EXTERNAL).
    Certificate,
}

/// How to log in at this broker: by the password if one is given, in `broker.password_file`, as the systemd credential
/// `broker-password`, or in the URL; else by the client certificate, if one is shown. The default login of a URL that
/// names no user counts when there is neither. Call it at each connect, so that a changed file counts.
pub fn login(broker: &Broker, url: &BrokerUrl) -> Result<Login, FileFault> {
    login_from(broker, url, credentials().as_deref())
}

/// The same with a given folder of credentials.
pub fn login_from(
    broker: &Broker,
    url: &BrokerUrl,
    credentials: Option<&Path>,
) -> Result<Login, FileFault> {
    if let Some(found) = in_file(broker, credentials) {
        return found.map(Login::Password);
    }
    let by = |source| {
        let secret = url.password.clone();
        secret.map(|secret| Login::Password(Password::new(secret, source)))
    };
    match by(Source::Url) {
        Some(login) if !url.default_login => Ok(login),
        _ if shows_certificate(broker, url) => Ok(Login::Certificate),
        _ => by(Source::Default).ok_or_else(|| missing(url).into()),
    }
}

/// Whether the broker is shown a client certificate.
pub(super) fn shows_certificate(broker: &Broker, url: &BrokerUrl) -> bool {
    url.scheme == Scheme::Amqps && broker.tls.cert_file.is_some()
}
