//! How to log in to a broker: with a password, or with the client certificate of TLS.

use super::keys::Broker;
use super::password::{Password, Source, credentials, in_file, missing};
use super::problem::FileFault;
use super::url::{BrokerUrl, Scheme};
use std::path::Path;

/// The credentials to log in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Login {
    /// User and password (PLAIN).
    Password(Password),
    /// The client certificate, which names the user (EXTERNAL).
    Certificate,
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

/// Whether this broker receives a client certificate.
pub(super) fn shows_certificate(broker: &Broker, url: &BrokerUrl) -> bool {
    url.scheme == Scheme::Amqps && broker.tls.cert_file.is_some()
}
