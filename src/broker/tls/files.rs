//! The files that TLS needs: certificates, keys, and trusted authorities. An error of a file names what it contains
//! instead of what was expected.

use super::cause;
use crate::broker::error::{Error, Kind};
use crate::broker::warned::WARNED;
use crate::config::{FileFault, Problem, Shortage, Tls, read_file};
use rustls_native_certs::{CertificateResult, ErrorKind, load_native_certs};
use std::path::Path;
use std::{env, io};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The settings that name files.
pub(super) const CA_FILE: &str = "broker.tls.ca_file";
pub(super) const CERT_FILE: &str = "broker.tls.cert_file";
pub(super) const KEY_FILE: &str = "broker.tls.key_file";

/// The variables that name the system's authorities in place of its own files.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

const CHECK: &str = "check the path and what is in it";

/// Those that are trusted: the authorities in `ca_file` alone, or the system's.
pub(super) fn roots(settings: &Tls) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        for certificate in certificates(CA_FILE, path)? {
            roots.add(certificate).map_err(|error| {
                let (cause, _) = cause::of(&error, settings);
                let what = format!("an authority in it cannot be used: {cause}");
                unusable(CA_FILE, path, &what, "leave that one out, or replace it")
            })?;
        }
        return Ok(roots);
    }
    let (found, fault) = system();
    roots.add_parsable_certificates(found.certs);
    match fault {
        Some(error) if roots.is_empty() => Err(error),
        Some(error) => {
            WARNED.warn(&error.message);
            Ok(roots)
        }
        None if roots.is_empty() => Err(Kind::Local.error("no authorities to verify the broker with; install ca-certificates or set broker.tls.ca_file")),
        None => Ok(roots),
    }
}

/// The system's authorities, and what is wrong with them.
pub(super) fn system() -> (CertificateResult, Option<Error>) {
    let found = load_native_certs();
    let said = |name: &str| {
        let value = env::var(name).ok().filter(|value| !value.is_empty())?;
        Some((name.to_owned(), value))
    };
    let set: Vec<_> = VARIABLES.into_iter().filter_map(said).collect();
    let fault = system_fault(&found, &set);
    (found, fault)
}

/// What is wrong with the system's authorities, given the variables that locate them.
fn system_fault(found: &CertificateResult, set: &[(String, String)]) -> Option<Error> {
    let named = || {
        let named = set.iter().map(|(name, value)| format!("{name}={value}"));
        named.collect::<Vec<_>>().join(" ")
    };
    let from = match set {
        [] => "in the system's files".to_owned(),
        _ => format!("where {} says", named()),
    };
    let hint = match set {
        [] => "install ca-certificates, or set broker.tls.ca_file".to_owned(),
        [(name, _)] => format!("correct or unset {name}, or set broker.tls.ca_file"),
        _ => "correct or unset them, or set broker.tls.ca_file".to_owned(),
    };
    let what = "cannot read the authorities that are trusted";
    match found.errors.first().map(|error| (&error.kind, error)) {
        Some((ErrorKind::Io { inner, path }, _)) => {
            let path = path.display();
            Some(match Shortage::of(inner) {
                Some(shortage) => Error::short_of(&format!("{what} ({path})"), shortage),
                None => {
                    Kind::Local.error(format!("{what} {from}: {path}: {}; {hint}", reason(inner)))
                }
            })
        }
        Some((_, error)) => Some(Kind::Local.error(format!("{what} {from}: {error}; {hint}"))),
        None if found.certs.is_empty() && !set.is_empty() => Some(Kind::Local.error(format!(
            "{what} {from}: there is no certificate in PEM; {hint}"
        ))),
        None => None,
    }
}

/// The certificates in a file, at least one.
pub(super) fn certificates(
    key: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let text = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            let (what, help) = no_certificate(&text, key);
            Err(unusable(key, path, &what, &help))
        }
        Ok(certificates) => Ok(certificates),
        // The error's own words may quote the file.
        Err(_) => Err(unusable(key, path, "not valid PEM", CHECK)),
    }
}

/// The private key in the file of `broker.tls.key_file`.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileFault> {
    let text = read(KEY_FILE, path)?;
    let fault = |(what, help): (&str, &str)| unusable(KEY_FILE, path, what, help);
    if let Some(encrypted) = encrypted(&text) {
        return Err(fault(encrypted));
    }
    let key = match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => key,
        Err(_) if has_key(&text) => return Err(fault(("not valid PEM", CHECK))),
        Err(_) => return Err(fault(no_key(&text))),
    };
    match ring::default_provider()
        .key_provider
        .load_private_key(key.clone_key())
    {
        Ok(_) => Ok(key),
        Err(_) => Err(fault((
            "the key is damaged, or of a kind or size that is not supported",
            "use RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519",
        ))),
    }
}

/// What kinds of things a PEM file holds.
fn labels(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let label = |line: &str| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        Some(label.strip_suffix("-----")?.to_owned())
    };
    text.lines().filter_map(label).collect()
}

fn has_key(text: &[u8]) -> bool {
    let kinds = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    labels(text)
        .iter()
        .any(|label| kinds.contains(&label.as_str()))
}

fn encrypted(text: &[u8]) -> Option<(&'static str, &'static str)> {
    let marked = text
        .windows(b"Proc-Type: 4,ENCRYPTED".len())
        .any(|part| part == b"Proc-Type: 4,ENCRYPTED");
    let labelled = labels(text)
        .iter()
        .any(|label| label == "ENCRYPTED PRIVATE KEY");
    (marked || labelled && !has_key(text)).then_some((
        "the key is encrypted with a passphrase",
        "decrypt it (openssl pkey -in FILE -out NEW), and guard the new file by its mode",
    ))
}

/// Why there is no key in a file.
fn no_key(text: &[u8]) -> (&'static str, &'static str) {
    let labels = labels(text);
    let has = |kind: &str| labels.iter().any(|label| label.contains(kind));
    if text.is_empty() {
        ("is empty", CHECK)
    } else if has("CERTIFICATE") && !has("KEY") {
        (
            "no private key in it but a certificate",
            "are broker.tls.cert_file and broker.tls.key_file swapped?",
        )
    } else if has("OPENSSH PRIVATE KEY") {
        (
            "the key is in OpenSSH's own format",
            "convert it to PEM (ssh-keygen -p -m PEM -f FILE)",
        )
    } else if has("PUBLIC KEY") {
        ("no private key in it but a public one", CHECK)
    } else if has("PRIVATE KEY") {
        (
            "the key is of a kind that is not supported",
            "use RSA of 2048 to 4096 bits, ECDSA P-256 or P-384, or Ed25519",
        )
    } else if is_pkcs12(text) {
        (
            "it is PKCS#12, not PEM",
            "convert it (openssl pkcs12 -in FILE -nocerts -nodes -out NEW)",
        )
    } else if is_der(text) {
        (
            "it is DER, not PEM",
            "convert it (openssl pkey -inform der -in FILE -out NEW)",
        )
    } else {
        ("no private key in it", CHECK)
    }
}

/// Why there is no certificate in a file.
fn no_certificate(text: &[u8], key: &str) -> (String, String) {
    let labels = labels(text);
    let has = |kind: &str| labels.iter().any(|label| label.contains(kind));
    let (what, help) = if text.is_empty() {
        ("is empty", CHECK)
    } else if has("CERTIFICATE REQUEST") {
        (
            "no certificate in it but a request for one",
            "have it signed by the authority",
        )
    } else if has("TRUSTED CERTIFICATE") {
        (
            "the certificate is in OpenSSL's own format",
            "convert it to PEM (openssl x509 -in FILE -out NEW)",
        )
    } else if has("PRIVATE KEY") && key == CERT_FILE {
        (
            "no certificate in it but a private key",
            "are broker.tls.cert_file and broker.tls.key_file swapped?",
        )
    } else if has("PRIVATE KEY") {
        (
            "no certificate in it but a private key",
            "name the authority's certificate",
        )
    } else if is_pkcs12(text) {
        (
            "it is PKCS#12, not PEM",
            "convert it (openssl pkcs12 -in FILE -nokeys -out NEW)",
        )
    } else if is_der(text) {
        (
            "it is DER, not PEM",
            "convert it (openssl x509 -inform der -in FILE -out NEW)",
        )
    } else {
        ("no certificate in it", CHECK)
    };
    (what.into(), help.into())
}

/// Whether bytes are one ASN.1 sequence, as certificates and keys are in DER.
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, length @ 0..=0x7f, rest @ ..] | [0x30, 0x81, length, rest @ ..] => {
            rest.len() >= usize::from(*length)
        }
        [0x30, 0x82, high, low, rest @ ..] => {
            rest.len() >= usize::from(u16::from_be_bytes([*high, *low]))
        }
        _ => false,
    }
}

/// Such a sequence that begins with the number 3, the version of PKCS#12.
fn is_pkcs12(bytes: &[u8]) -> bool {
    let [0x30, 0x82, _, _, version @ ..] = bytes else {
        return false;
    };
    version.starts_with(&[2, 1, 3]) && is_der(bytes)
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, FileFault> {
    /// Far above the bundle of all authorities that there are.
    const MAX_FILE: u64 = 4 << 20;
    read_file(path, MAX_FILE).map_err(|error| FileFault::unread(key, path, &error, CHECK))
}

/// An error of a file, in few words.
fn reason(error: &io::Error) -> String {
    match (error.kind(), Shortage::of(error)) {
        (_, Some(shortage)) => shortage.words().into(),
        (io::ErrorKind::NotFound, _) => "no such file".into(),
        (io::ErrorKind::PermissionDenied, _) => "permission denied".into(),
        _ => error.to_string(),
    }
}

/// A file that cannot be used, and why.
pub(super) fn unusable(key: &str, path: &Path, what: &str, help: &str) -> FileFault {
    let path = path.display();
    Problem::new(&format!("{key}: cannot use {path}: {what}; {help}")).into()
}

#[cfg(test)]
mod tests;
