//! Why a broker did not accept a connection: cause and hint, by its text and by how far the handshake got. Pure.
//!
//! If neither shows the cause, the broker is quoted and nothing is guessed.

use super::ending::Ending;
use super::error::{Error, Kind};
use super::progress::{MIN_FRAME_MAX, Progress, Step};
use super::reader::ANOTHER_VERSION;
use super::tls;
use crate::config::{self, BrokerUrl, Login, Scheme, Source};
use crate::text::{duration, excerpt, safe};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Attempt<'a> {
    pub(super) url: &'a BrokerUrl,
    pub(super) settings: &'a config::Broker,
    pub(super) login: &'a Login,
    pub(super) progress: &'a Progress,
}

/// The mechanism of a login.
pub(super) const fn mechanism(login: &Login) -> &'static str {
    match login {
        Login::Password(_) => "PLAIN",
        Login::Certificate => "EXTERNAL",
    }
}

impl Attempt<'_> {
    /// Why the broker did not accept the connection, which ended like this.
    pub(super) fn refused(&self, ending: &Ending) -> Error {
        let address = self.url.address();
        let what = format!("broker {address} refused the connection");
        match ending {
            Ending::FutileLogin if self.progress.lacks(mechanism(self.login)) => self.lacking(),
            Ending::FutileLogin => self.too_large(),
            Ending::Tls(error) => tls::refused(self.url, &self.settings.tls, error),
            Ending::Broken(broken) => {
                let hint = if *broken == ANOTHER_VERSION {
                    "fibrpc needs a broker with AMQP 0-9-1, such as RabbitMQ; check host and port in broker.url"
                } else {
                    "check scheme and port in broker.url"
                };
                ending.error(&address).with_hint(hint)
            }
            Ending::Closed(reason) => self.closed(Error::closed(&what, reason), &reason.text),
            Ending::Lost { cause, closed } => self.lost(cause, *closed),
            Ending::GivenUp { .. } | Ending::Left => ending.error_of_operation(&what, &address),
        }
    }

    /// The broker closed the connection and gave a reason.
    fn closed(&self, failure: Error, text: &str) -> Error {
        match failure.kind {
            Kind::Denied if self.progress.step == Step::Login && !text.contains("vhost") => {
                self.credentials(text)
            }
            Kind::Denied => failure.with_hint(&format!(
                "check that vhost {:?} exists and that {} has permissions on it",
                self.url.vhost,
                self.user()
            )),
            Kind::Limit => failure.with_hint("close connections, or raise the limit"),
            Kind::VhostDown => failure
                .with_hint("see the broker's log, and restart it (rabbitmqctl restart_vhost)"),
            _ => failure,
        }
    }

    fn credentials(&self, text: &str) -> Error {
        let address = self.url.address();
        let user = self.user();
        // Brokers hide the reason of a refused login, except for this one.
        if text.contains("via localhost") {
            let text = safe(text);
            let message = format!(
                "broker {address} refused the connection: {text}; make another user for other machines"
            );
            return Kind::Credentials.error(message);
        }
        let message = match self.login {
            Login::Certificate => format!(
                "broker {address} refused the login by certificate; check broker.tls.cert_file, and that the broker knows a user of its name"
            ),
            Login::Password(password) => {
                let check = match &password.source {
                    Source::File(path) => {
                        format!(
                            "check the password in {} (broker.password_file)",
                            path.display()
                        )
                    }
                    Source::Credential(name) => format!(
                        "check the systemd credential {name}, which systemd reads when the service starts \
                         (restart it after a change)"
                    ),
                    Source::Url => "check broker.url".to_owned(),
                    Source::Default => "that is the default login: check broker.url".to_owned(),
                };
                format!(
                    "broker {address} refused {user} or its password; {check}, and that the user may log in from here"
                )
            }
        };
        Kind::Credentials.error(message)
    }

    /// The broker does not offer our login mechanism.
    fn lacking(&self) -> Error {
        let offered: Vec<String> = (self.progress.greeting)
            .mechanisms
            .split_whitespace()
            .take(8)
            .map(|name| excerpt(name, 32).into_owned())
            .collect();
        let offers = if offered.is_empty() {
            "nothing at all".to_owned()
        } else {
            offered.join(", ")
        };
        let external = offered.iter().any(|name| name == "EXTERNAL");
        let shown = self.url.scheme == Scheme::Amqps && self.settings.tls.cert_file.is_some();
        let (what, hint) = match self.login {
            Login::Certificate => (
                "EXTERNAL, the login by certificate",
                "set broker.password_file, or enable the plugin rabbitmq_auth_mechanism_ssl and EXTERNAL in auth_mechanisms there",
            ),
            Login::Password(_) if external && shown => (
                "PLAIN, the login by password",
                "give no password, so that the certificate logs in, or allow PLAIN in the broker's auth_mechanisms",
            ),
            Login::Password(_) => (
                "PLAIN, the login by password",
                "allow PLAIN in the broker's auth_mechanisms",
            ),
        };
        let address = self.url.address();
        Kind::Credentials.error(format!(
            "broker {address} does not offer {what} (it offers {offers}); {hint}"
        ))
    }

    /// The login is larger than any frame that the broker accepts at this point.
    fn too_large(&self) -> Error {
        Kind::Credentials.error(format!(
                "broker {} cannot accept this login: the login has {} bytes, and RabbitMQ before 4.1 accepts \
                 {MIN_FRAME_MAX}; use a shorter password",
                self.url.address(),
                self.progress.login_size,
            ))
    }

    /// The connection ended without a reason from the broker.
    fn lost(&self, cause: &str, closed: bool) -> Error {
        const SILENT: &str = "without giving a reason";
        let end = if closed { CLOSED } else { cause };
        let why = match self.progress.step {
            Step::Opening => {
                format!("{end} after the login was accepted, {SILENT}; see the broker's log")
            }
            Step::Login if self.progress.login_size > MIN_FRAME_MAX => format!(
                "{end} after the login was sent, {SILENT}; the login has {} bytes, perhaps more than the broker accepts \
                 (initial_frame_max): see the broker's log",
                self.progress.login_size
            ),
            Step::Login => {
                format!("{end} after the login was sent, {SILENT}; see the broker's log")
            }
            _ => return before_any_data(self.url, self.settings, end),
        };
        let address = self.url.address();
        Kind::Lost.error(format!("broker {address} refused the connection: {why}"))
    }

    /// The user that logs in, in words.
    fn user(&self) -> String {
        match self.login {
            Login::Password(_) => format!("user {:?}", self.url.user),
            Login::Certificate => "the user of the certificate".to_owned(),
        }
    }
}

/// The deadline passed before the handshake was complete. `key`: what sets the limit, in parentheses.
pub(super) fn late(url: &BrokerUrl, limit: Duration, key: &str, progress: &Progress) -> Error {
    let address = url.address();
    let (place, hint) = match progress.step {
        Step::Lookup => (
            "no answer from the name service",
            "check /etc/resolv.conf and the network",
        ),
        Step::Connecting => (
            "no answer to TCP",
            "a firewall may drop it, or the host is down",
        ),
        Step::Securing => ("no answer to the TLS handshake", "is that a port for TLS?"),
        Step::Greeting => (
            "it accepts connections but sends nothing",
            "is that an AMQP port? a broker that hangs looks the same",
        ),
        Step::Login => ("it did not answer the login", "see the broker's log"),
        Step::Opening => ("it did not open the vhost", "see the broker's log"),
    };
    Kind::Timeout.error(format!(
        "broker {address} did not complete the handshake within {}{key}: {place}; {hint}",
        duration(limit)
    ))
}

/// How an end is described of which no more is known than that the other side caused it.
pub(super) const CLOSED: &str = "it was closed";

/// The connection ended, in this way, before anything was received.
pub(super) fn before_any_data(url: &BrokerUrl, settings: &config::Broker, end: &str) -> Error {
    let address = url.address();
    let demand = if url.scheme == Scheme::Amqps && settings.tls.cert_file.is_none() {
        ", a broker that demands a client certificate (broker.tls.cert_file)"
    } else {
        ""
    };
    Kind::Lost.error(format!(
            "broker {address} refused the connection: {end} before it sent anything; a proxy without a running broker \
             behind it{demand}, or not an AMQP port: check the broker, and the port in broker.url"
        ))
}

#[cfg(test)]
mod tests;
