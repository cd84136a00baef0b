//! Errors of the TLS library, and their messages.

use super::*;
use std::io;
use std::sync::Arc;
use tokio_rustls::rustls::OtherError;
use tokio_rustls::rustls::pki_types::ServerName;

const DAY: u64 = 86_400;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn with_ca() -> Tls {
    Tls {
        ca_file: Some("/ca.pem".into()),
        ..Tls::default()
    }
}

fn with_certificate() -> Tls {
    Tls {
        cert_file: Some("/own.pem".into()),
        ..Tls::default()
    }
}

#[test]
fn refusals_name_the_cause() {
    let wrong_name = |presented: &[&str]| CertificateError::NotValidForNameContext {
        expected: ServerName::try_from("mq.example").unwrap(),
        presented: presented.iter().map(|&name| name.into()).collect(),
    };
    let within =
        |name: &'static str| CertificateError::Other(OtherError(Arc::new(io::Error::other(name))));
    let expired = CertificateError::ExpiredContext {
        time: at(10 * DAY + 5),
        not_after: at(7 * DAY),
    };
    let early = CertificateError::NotValidYetContext {
        time: at(DAY),
        not_before: at(DAY + 3_600),
    };
    let weak = CertificateError::UnsupportedSignatureAlgorithmContext {
        signature_algorithm_id: vec![],
        supported_algorithms: vec![],
    };
    let unfit = CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
        signature_algorithm_id: vec![],
        public_key_algorithm_id: vec![],
    };
    let names = wrong_name(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]);
    for (reason, words) in [
        (expired, "expired 3d ago; renew"),
        (CertificateError::Expired, "has expired"),
        (early, "will be valid in 1h; set this machine's clock"),
        (
            CertificateError::UnknownIssuer,
            "not trusted here, or the broker does not send the intermediate",
        ),
        (
            names,
            "is for a.example, 127.0.0.1 and not for mq.example; check the host",
        ),
        (
            wrong_name(&[]),
            "is for no name at all and not for mq.example",
        ),
        (CertificateError::BadSignature, "RSA of less than 2048 bits"),
        (CertificateError::Revoked, "is revoked"),
        (CertificateError::InvalidPurpose, "lacks serverAuth"),
        (
            weak,
            "too weak or not supported, such as SHA-1; sign it with SHA-256",
        ),
        (unfit, "does not match the signer's key"),
        (
            within("CaUsedAsEndEntity"),
            "that of an authority (CA:TRUE)",
        ),
        (within("EndEntityUsedAsCa"), "not an authority's (CA:FALSE)"),
        (within("UnsupportedCertVersion"), "X.509 of version 1"),
        (
            within("MaximumPathDepthExceeded"),
            "too long or too complex",
        ),
        (
            within("UnsupportedCriticalExtension"),
            "a critical extension",
        ),
        (within("MalformedExtensions"), "is malformed"),
        (within("SomethingNew"), "its certificate is refused: "),
    ] {
        let (cause, hint) = of(&rustls::Error::InvalidCertificate(reason), &Tls::default());
        let text = format!("{cause}; {hint}");
        assert!(text.contains(words), "{text}");
        assert!(!hint.is_empty() && !text.contains('\n'), "{text}");
    }
    // The file is named if there is one.
    for reason in [
        CertificateError::UnknownIssuer,
        CertificateError::BadSignature,
    ] {
        let (_, hint) = of(&rustls::Error::InvalidCertificate(reason), &with_ca());
        assert!(hint.contains("/ca.pem (broker.tls.ca_file)"), "{hint}");
    }
}

#[test]
fn alerts_are_explained() {
    for (alert, settings, words) in [
        (
            Alert::CertificateRequired,
            Tls::default(),
            "demands a client certificate (alert: certificate required); set broker.tls.cert_file",
        ),
        (
            Alert::CertificateRequired,
            with_certificate(),
            "ours is not one that it asked for",
        ),
        (
            Alert::UnknownCA,
            with_certificate(),
            "does not know the authority that signed our certificate (alert: unknown ca)",
        ),
        (
            Alert::CertificateExpired,
            with_certificate(),
            "finds our certificate expired",
        ),
        (
            Alert::BadCertificate,
            with_certificate(),
            "refuses our client certificate",
        ),
        (
            Alert::HandshakeFailure,
            Tls::default(),
            "may require a client certificate, or",
        ),
        (
            Alert::HandshakeFailure,
            with_certificate(),
            "broke TLS off (alert: handshake failure); see the broker's log",
        ),
        (
            Alert::ProtocolVersion,
            Tls::default(),
            "neither TLS 1.2 nor 1.3",
        ),
        (
            Alert::InternalError,
            Tls::default(),
            "broke TLS off (alert: internal error); see the broker's log",
        ),
    ] {
        let (cause, hint) = of(&rustls::Error::AlertReceived(alert), &settings);
        let text = format!("{cause}; {hint}");
        assert!(text.contains(words), "{text}");
    }
    let ended = end(&rustls::Error::AlertReceived(Alert::InternalError));
    assert_eq!(ended, "the broker ended TLS (alert: internal error)");
}

#[test]
fn not_tls_and_incompatible_tls() {
    for (error, words) in [
        (
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
            "does not speak TLS",
        ),
        (
            rustls::Error::InvalidMessage(InvalidMessage::MissingKeyExchange),
            "not valid (MissingKeyExchange); see",
        ),
        (
            rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            "neither TLS 1.2 nor 1.3",
        ),
        (
            rustls::Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            "no cipher suite in common",
        ),
        (
            rustls::Error::PeerIncompatible(PeerIncompatible::NullCompressionRequired),
            "(NullCompressionRequired); see",
        ),
        (
            rustls::Error::HandshakeNotComplete,
            "handshake not complete; see",
        ),
    ] {
        let (cause, hint) = of(&error, &Tls::default());
        let text = format!("{cause}; {hint}");
        assert!(text.contains(words), "{text}");
    }
}
