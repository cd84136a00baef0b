//! When the certificates of a connection expire, for telemetry. Rustls checks that, but does not return it.

use crate::config::Tls;
use std::time::SystemTime;

/// When certificates expire, of those that there are and that can be decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expiry {
    /// The one that the broker presented.
    pub broker: Option<SystemTime>,
    /// Our own, in `broker.tls.cert_file`.
    pub client: Option<SystemTime>,
    /// Of the authorities in `broker.tls.ca_file`, the one that expires last: after that no broker is trusted.
    pub authorities: Option<SystemTime>,
}

impl Expiry {
    /// Of the certificates in the files that are configured. Reads them.
    #[cfg(feature = "process")]
    pub(super) fn of_files(settings: &Tls) -> Self {
        use super::files::{CA_FILE, CERT_FILE, certificates};
        use std::path::PathBuf;
        let read = |key, path: &Option<PathBuf>| certificates(key, path.as_ref()?).ok();
        let own = read(CERT_FILE, &settings.cert_file).unwrap_or_default();
        let authorities = read(CA_FILE, &settings.ca_file).unwrap_or_default();
        Self {
            broker: None,
            client: own.first().and_then(|leaf| not_after(leaf)),
            authorities: authorities.iter().filter_map(|der| not_after(der)).max(),
        }
    }

    /// Only the programs need it.
    #[cfg(not(feature = "process"))]
    pub(super) fn of_files(_: &Tls) -> Self {
        Self::default()
    }

    /// The same, with the certificate that the broker presented.
    pub(super) fn with_broker(self, certificate: Option<&[u8]>) -> Self {
        Self {
            broker: certificate.and_then(not_after),
            ..self
        }
    }
}

#[cfg(feature = "process")]
fn not_after(der: &[u8]) -> Option<SystemTime> {
    super::certificate::Certificate::read(der).map(|certificate| certificate.not_after)
}

#[cfg(not(feature = "process"))]
fn not_after(_: &[u8]) -> Option<SystemTime> {
    None
}
