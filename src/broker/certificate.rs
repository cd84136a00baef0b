//! Certificates: until when one is valid and for which names, and in plain words why one was refused. Pure.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{self, AlertDescription, CertificateError};
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is of interest in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Host names and addresses that it is for, as written in it.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Reads a certificate in DER; `None` where that cannot be done.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let inner = certificate.tbs_certificate();
        let names = inner.get_extension::<SubjectAltName>().ok().flatten();
        let names = names.map_or_else(Vec::new, |(_, names)| names.0);
        let validity = inner.validity();
        Some(Self {
            names: names.iter().filter_map(name).collect(),
            not_before: validity.not_before.to_system_time(),
            not_after: validity.not_after.to_system_time(),
        })
    }
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let four = || <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let sixteen = || <[u8; 16]>::try_from(bytes).map(IpAddr::from);
            Some(four().or_else(|_| sixteen()).ok()?.to_string())
        }
        _ => None,
    }
}

/// Why TLS failed: the cause, and what to do about it.
pub(super) fn refusal(error: &rustls::Error) -> (String, &'static str) {
    const RENEW: &str = "renew it, or set this machine's clock";
    const NAME: &str = "check the host in broker.url, or set broker.tls.server_name";
    match error {
        rustls::Error::InvalidCertificate(reason) => match reason {
            CertificateError::ExpiredContext { time, not_after } => (
                format!("its certificate expired {} ago", between(*not_after, *time)),
                RENEW,
            ),
            CertificateError::Expired => ("its certificate has expired".into(), RENEW),
            CertificateError::NotValidYetContext { time, not_before } => (
                format!(
                    "its certificate will be valid in {}",
                    between(*time, *not_before)
                ),
                "set this machine's clock, or wait",
            ),
            CertificateError::UnknownIssuer => (
                "its certificate is signed by an authority that is not trusted here".into(),
                "name the file with the authority's certificate in broker.tls.ca_file",
            ),
            CertificateError::NotValidForNameContext {
                expected,
                presented,
            } => {
                let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
                let names = match names[..] {
                    [] => "no name at all".to_owned(),
                    _ => names.join(", "),
                };
                let expected = expected.to_str();
                (
                    format!("its certificate is for {names} and not for {expected}"),
                    NAME,
                )
            }
            CertificateError::NotValidForName => {
                ("its certificate is for another name".into(), NAME)
            }
            CertificateError::BadSignature => (
                "its certificate is not signed by the authority of that name that is trusted here"
                    .into(),
                "the authority may have been made anew: name its present certificate in broker.tls.ca_file",
            ),
            // The name of an error that the library does not describe, but everybody meets.
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
                "its certificate is that of an authority (CA:TRUE) and not of a server".into(),
                "give the broker a certificate of its own, signed by that one",
            ),
            other => (
                format!("its certificate is refused: {other}"),
                "check the broker's certificate",
            ),
        },
        rustls::Error::InvalidMessage(_) => (
            "what listens there does not speak TLS".into(),
            "check scheme and port in broker.url; TLS usually is at 5671",
        ),
        rustls::Error::AlertReceived(alert) if is_about_us(*alert) => (
            format!("the broker refuses our certificate or the lack of one ({alert:?})"),
            "check broker.tls.cert_file and broker.tls.key_file",
        ),
        other => (
            other.to_string(),
            "check the broker's certificate and broker.tls",
        ),
    }
}

/// Whether the alert says something of the client's certificate.
fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::NoCertificate
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn between(earlier: UnixTime, later: UnixTime) -> String {
    span(Duration::from_secs(
        later.as_secs().saturating_sub(earlier.as_secs()),
    ))
}

/// A time of days in words: `3 days`, or in hours or minutes where it is less.
pub fn span(time: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        DAY.. => (seconds / DAY, "day"),
        HOUR.. => (seconds / HOUR, "hour"),
        _ => (seconds / MINUTE, "minute"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// `localhost` of `DnsName("localhost")`, as the TLS library writes the names in a certificate.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;
    use tokio_rustls::rustls::pki_types::ServerName;
    use tokio_rustls::rustls::{InvalidMessage, OtherError};

    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn refusals_name_the_cause() {
        let wrong_name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("mq.example").unwrap(),
            presented: presented.iter().map(|&name| name.into()).collect(),
        };
        let certificate = rustls::Error::InvalidCertificate;
        for (error, cause) in [
            (
                certificate(CertificateError::ExpiredContext {
                    time: at(10 * DAY + 5),
                    not_after: at(7 * DAY),
                }),
                "its certificate expired 3 days ago",
            ),
            (
                certificate(CertificateError::Expired),
                "its certificate has expired",
            ),
            (
                certificate(CertificateError::NotValidYetContext {
                    time: at(DAY),
                    not_before: at(DAY + 3_600),
                }),
                "its certificate will be valid in 1 hour",
            ),
            (
                certificate(CertificateError::UnknownIssuer),
                "its certificate is signed by an authority that is not trusted here",
            ),
            (
                certificate(wrong_name(&[
                    "DnsName(\"a.example\")",
                    "IpAddress(127.0.0.1)",
                ])),
                "its certificate is for a.example, 127.0.0.1 and not for mq.example",
            ),
            (
                certificate(CertificateError::BadSignature),
                "its certificate is not signed by the authority of that name that is trusted here",
            ),
            (
                certificate(wrong_name(&[])),
                "its certificate is for no name at all and not for mq.example",
            ),
            (
                certificate(CertificateError::Revoked),
                "its certificate is refused: Revoked",
            ),
            (
                certificate(CertificateError::Other(OtherError(Arc::new(
                    io::Error::other("CaUsedAsEndEntity"),
                )))),
                "its certificate is that of an authority (CA:TRUE) and not of a server",
            ),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "what listens there does not speak TLS",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "the broker refuses our certificate or the lack of one (CertificateRequired)",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::InternalError),
                "received fatal alert: InternalError",
            ),
            (
                rustls::Error::HandshakeNotComplete,
                "handshake not complete",
            ),
        ] {
            let (found, cure) = refusal(&error);
            assert!(found.starts_with(cause), "{found}");
            assert!(!cure.is_empty());
        }
    }

    #[test]
    fn a_certificate_tells_its_names_and_times() {
        let mut wanted = rcgen::CertificateParams::new(vec![
            "mq.example".into(),
            "*.mq.example".into(),
            "127.0.0.1".into(),
            "::1".into(),
        ])
        .unwrap();
        wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(2060, 1, 1); // another encoding from 2050 on
        let made = wanted
            .self_signed(&rcgen::KeyPair::generate().unwrap())
            .unwrap();
        let read = Certificate::read(made.der()).unwrap();
        assert_eq!(
            read.names,
            ["mq.example", "*.mq.example", "127.0.0.1", "::1"]
        );
        let days = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs()
                / DAY
        };
        assert_eq!(
            (days(read.not_before), days(read.not_after)),
            (18_262, 32_872)
        );
        assert_eq!(Certificate::read(b"no certificate"), None);
    }

    #[test]
    fn spans_read_well() {
        for (seconds, text) in [
            (0, "0 minutes"),
            (90, "1 minute"),
            (7_200, "2 hours"),
            (DAY, "1 day"),
            (100 * DAY + 1, "100 days"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }
}
