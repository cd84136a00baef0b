//! When the certificates of a connection expire, for telemetry. Rustls checks that, but does not return it.

use crate::config::Tls;
use std::time::{Duration, SystemTime};

/// A certificate with less than this left should be renewed.
pub const RENEW: Duration = Duration::from_secs(14 * 24 * 60 * 60);

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

    /// Those to be renewed, each with its name and the time that is left.
    pub fn due(&self, now: SystemTime) -> impl Iterator<Item = (&'static str, Duration)> {
        let all = [
            ("broker", self.broker),
            ("client", self.client),
            ("authorities", self.authorities),
        ];
        all.into_iter().filter_map(move |(which, expires)| {
            let left = expires?.duration_since(now).unwrap_or_default();
            (left < RENEW).then_some((which, left))
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_expire_within_14_days_are_due() {
        let now = SystemTime::UNIX_EPOCH + RENEW * 100;
        let day = Duration::from_secs(24 * 60 * 60);
        let expiry = Expiry {
            broker: Some(now + day * 13),
            client: Some(now - day),
            authorities: Some(now + RENEW),
        };
        let due: Vec<_> = expiry.due(now).collect();
        assert_eq!(due, [("broker", day * 13), ("client", Duration::ZERO)]);
        assert_eq!(Expiry::default().due(now).count(), 0);
    }
}
