//! Why TLS failed, in plain words: the cause, and what to do about it. Pure.
//!
//! Names every error that the TLS library can report about the broker's certificate, and the meaning of the broker's
//! alerts; the few that are left are quoted, without a guess.

use crate::config::Tls;
use crate::text::duration;
use std::time::Duration;
use tokio_rustls::rustls::pki_types::UnixTime;
use tokio_rustls::rustls::{
    self, AlertDescription as Alert, CertificateError, InvalidMessage, PeerIncompatible,
};

/// What to do about an error that the broker's side alone can explain.
const LOG: &str = "see the broker's log";
const RENEW: &str = "renew it, or set this machine's clock";
const REISSUE: &str = "give the broker another certificate";
const NAME: &str = "check the host in broker.url, or set broker.tls.server_name";
const OWN: &str = "check broker.tls.cert_file and broker.tls.key_file";

/// Cause and hint of an error of the TLS library.
pub(in crate::broker) fn of(error: &rustls::Error, settings: &Tls) -> (String, String) {
    match error {
        rustls::Error::InvalidCertificate(reason) => certificate(reason, settings),
        rustls::Error::AlertReceived(alert) => self::alert(*alert, settings),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge,
        ) => (
            "what listens there does not speak TLS".into(),
            "check scheme and port in broker.url; TLS usually is at 5671".into(),
        ),
        rustls::Error::PeerIncompatible(reason) => incompatible(reason),
        rustls::Error::NoCertificatesPresented => {
            ("the broker sends no certificate".into(), LOG.into())
        }
        rustls::Error::InvalidMessage(what) => (
            format!("the broker sent a TLS message that is not valid ({what:?})"),
            LOG.into(),
        ),
        rustls::Error::PeerMisbehaved(what) => (
            format!("the broker does not keep to the TLS protocol ({what:?})"),
            LOG.into(),
        ),
        rustls::Error::DecryptError => (
            "a message of the broker cannot be decrypted; something between may change the data"
                .into(),
            LOG.into(),
        ),
        other => (other.to_string(), LOG.into()),
    }
}

/// The meaning of an alert that ends an established connection.
pub(in crate::broker) fn end(error: &rustls::Error) -> String {
    match error {
        rustls::Error::AlertReceived(alert) => {
            format!("the broker ended TLS (alert: {})", spaced(*alert))
        }
        other => format!("TLS failed: {other}"),
    }
}

fn certificate(reason: &CertificateError, settings: &Tls) -> (String, String) {
    let (cause, hint) = match reason {
        CertificateError::ExpiredContext { time, not_after } => (
            format!("its certificate expired {} ago", between(*not_after, *time)),
            RENEW,
        ),
        CertificateError::Expired => (
            "its certificate has expired, or its validity ends before it begins".into(),
            RENEW,
        ),
        CertificateError::NotValidYetContext { time, not_before } => (
            format!(
                "its certificate will be valid in {}",
                between(*time, *not_before)
            ),
            "set this machine's clock, or wait",
        ),
        CertificateError::NotValidYet => (
            "its certificate is not valid yet".into(),
            "set this machine's clock, or wait",
        ),
        CertificateError::UnknownIssuer => return unknown_issuer(settings),
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
        CertificateError::NotValidForName => ("its certificate is for another name".into(), NAME),
        // Authorities are looked up by name, and of an RSA key that is too short no signature is valid.
        CertificateError::BadSignature => return bad_signature(settings),
        CertificateError::BadEncoding => ("its certificate cannot be decoded".into(), REISSUE),
        CertificateError::Revoked => ("its certificate is revoked".into(), REISSUE),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => (
            "its certificate is not for servers (extendedKeyUsage lacks serverAuth)".into(),
            REISSUE,
        ),
        CertificateError::UnhandledCriticalExtension => (
            "its certificate has a critical extension that is not known here".into(),
            REISSUE,
        ),
        other => return other_reason(&format!("{other:?}")),
    };
    (cause, hint.into())
}

/// Errors that have no name of their own in the TLS library's interface, by those that they have within.
fn other_reason(debug: &str) -> (String, String) {
    const HINTS: [(&str, &str, &str); 14] = [
        (
            "UnsupportedSignatureAlgorithmForPublicKey",
            "its certificate, or one of its authorities', is signed in a way that does not match the signer's key, or \
             that key is of a kind that is not supported",
            "sign it with RSA of at least 2048 bits, ECDSA P-256 or P-384, or Ed25519",
        ),
        (
            "UnsupportedSignatureAlgorithm",
            "its certificate, or one of its authorities', is signed by an algorithm that is too weak or not supported, \
             such as SHA-1",
            "sign it with SHA-256 or better",
        ),
        (
            "CaUsedAsEndEntity",
            "its certificate is that of an authority (CA:TRUE) and not of a server",
            "give the broker a certificate of its own, signed by that one",
        ),
        (
            "EndEntityUsedAsCa",
            "its certificate is signed by a certificate that is not an authority's (CA:FALSE)",
            "have it signed by an authority (basicConstraints CA:TRUE)",
        ),
        (
            "UnsupportedCertVersion",
            "its certificate, or one of its authorities', is X.509 of version 1, which has no extensions",
            "reissue it in version 3, with the host in subjectAltName",
        ),
        (
            "NameConstraintViolation",
            "one of its authorities may not sign for that name (nameConstraints)",
            REISSUE,
        ),
        (
            "PathLenConstraintViolated",
            "there are more authorities between it and the trusted one than that allows (pathlen)",
            REISSUE,
        ),
        (
            "Maximum",
            "its chain of certificates is too long or too complex",
            "have the broker send its own certificate and the intermediate ones only",
        ),
        (
            "EmptyEkuExtension",
            "its certificate is for no purpose at all (extendedKeyUsage is empty)",
            REISSUE,
        ),
        (
            "SignatureAlgorithmMismatch",
            "its certificate names two different signature algorithms",
            REISSUE,
        ),
        (
            "InvalidSerialNumber",
            "its certificate, or one of its authorities', has an invalid serial number",
            REISSUE,
        ),
        (
            "CriticalExtension",
            "its certificate has a critical extension that is not known here",
            REISSUE,
        ),
        (
            "MalformedDnsIdentifier",
            "its certificate holds a host name that is malformed",
            REISSUE,
        ),
        (
            "xtension",
            "its certificate has an extension that is malformed",
            REISSUE,
        ),
    ];
    HINTS
        .iter()
        .find(|(name, ..)| debug.contains(name))
        .map_or_else(
            || {
                (
                    format!("its certificate is refused: {debug}"),
                    "check the broker's certificate".into(),
                )
            },
            |(_, cause, hint)| ((*cause).into(), (*hint).into()),
        )
}

fn unknown_issuer(settings: &Tls) -> (String, String) {
    let cause = "its certificate is signed by an authority that is not trusted here, or the broker does not send the \
                 intermediate certificate between the two";
    let authority = trusted(settings).map_or_else(
        || "name the file with the authority's certificate in broker.tls.ca_file".to_owned(),
        |file| format!("check that {file} holds the authority's certificate"),
    );
    (
        cause.into(),
        format!("{authority}, and that the broker's certificate file holds the whole chain"),
    )
}

fn bad_signature(settings: &Tls) -> (String, String) {
    let cause = "a signature does not verify: its certificate is not signed by the authority of that name that is \
                 trusted here, or a key is RSA of less than 2048 bits";
    let file = trusted(settings).unwrap_or_else(|| "broker.tls.ca_file".into());
    let hint = format!(
        "the authority may have been recreated: put its present certificate into {file}; replace keys that are too short"
    );
    (cause.into(), hint)
}

/// The file that alone decides which authorities are trusted, if there is one.
fn trusted(settings: &Tls) -> Option<String> {
    let file = settings.ca_file.as_ref()?.display();
    Some(format!("{file} (broker.tls.ca_file)"))
}

fn incompatible(reason: &PeerIncompatible) -> (String, String) {
    match reason {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => (
            "the broker speaks neither TLS 1.2 nor 1.3".into(),
            "allow one of them there (ssl_options.versions)".into(),
        ),
        PeerIncompatible::NoCipherSuitesInCommon => (
            "the broker has no cipher suite in common with us".into(),
            "allow ECDHE with AES-GCM or ChaCha20-Poly1305 there (ssl_options.ciphers)".into(),
        ),
        PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::NamedGroupsExtensionRequired => (
            "the broker has no key exchange in common with us".into(),
            "allow X25519, P-256 or P-384 there".into(),
        ),
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => (
            "the broker accepts no signature that the key in broker.tls.key_file can make".into(),
            "use a key of another kind, such as RSA of 2048 bits or ECDSA P-256".into(),
        ),
        PeerIncompatible::ExtendedMasterSecretExtensionRequired => (
            "the broker's TLS 1.2 lacks the extended master secret".into(),
            "allow TLS 1.3 there".into(),
        ),
        other => (
            format!("the broker's TLS is incompatible with ours ({other:?})"),
            LOG.into(),
        ),
    }
}

/// What the broker objects to.
fn alert(alert: Alert, settings: &Tls) -> (String, String) {
    let shown = settings.cert_file.is_some();
    let (meaning, hint) = match alert {
        Alert::CertificateRequired | Alert::NoCertificate if !shown => (
            "the broker demands a client certificate",
            "set broker.tls.cert_file and broker.tls.key_file",
        ),
        Alert::CertificateRequired | Alert::NoCertificate => (
            "the broker demands a client certificate, and ours is not one that it asked for",
            "have it signed by an authority that the broker trusts: check broker.tls.cert_file",
        ),
        Alert::UnknownCA => (
            "the broker does not know the authority that signed our certificate",
            "give the broker that authority (its cacertfile), or check broker.tls.cert_file and what it holds of the chain",
        ),
        Alert::CertificateExpired => (
            "the broker finds our certificate expired",
            "renew the one in broker.tls.cert_file, or set the broker's clock",
        ),
        Alert::CertificateRevoked => (
            "the broker finds our certificate revoked",
            "replace the one in broker.tls.cert_file",
        ),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateUnobtainable
        | Alert::AccessDenied => (
            "the broker refuses our client certificate, or the lack of one",
            OWN,
        ),
        // With TLS 1.2 this also means that a client certificate is missing.
        Alert::HandshakeFailure if !shown => (
            "the broker broke the handshake off: it may require a client certificate, or have no cipher suite, key \
             exchange or signature in common with us",
            "see the broker's log, and if it demands one set broker.tls.cert_file and broker.tls.key_file",
        ),
        Alert::ProtocolVersion => (
            "the broker speaks neither TLS 1.2 nor 1.3",
            "allow one of them there (ssl_options.versions)",
        ),
        Alert::InsufficientSecurity => (
            "the broker finds what we offer too weak",
            "see its ssl_options",
        ),
        Alert::UnrecognisedName => ("the broker does not serve that name", NAME),
        _ => ("the broker broke TLS off", LOG),
    };
    (format!("{meaning} (alert: {})", spaced(alert)), hint.into())
}

/// `certificate required` of `CertificateRequired`.
fn spaced(alert: Alert) -> String {
    let mut words = String::new();
    let name = format!("{alert:?}");
    let mut before = '_';
    for char in name.chars() {
        if char.is_ascii_uppercase() && before.is_ascii_lowercase() {
            words.push(' ');
        }
        words.push(char.to_ascii_lowercase());
        before = char;
    }
    words
}

fn between(earlier: UnixTime, later: UnixTime) -> String {
    duration(Duration::from_secs(
        later.as_secs().saturating_sub(earlier.as_secs()),
    ))
}

/// `localhost` of `DnsName("localhost")`, as the TLS library writes the names in a certificate.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').map_or(name, |(_, inner)| inner);
    inner.trim_end_matches(')').trim_matches('"')
}

#[cfg(test)]
mod tests;
