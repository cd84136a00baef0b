//! Certificates: for how long one is valid, and for which names. Pure.

use std::net::IpAddr;
use std::time::SystemTime;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// What is of interest in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Host names and addresses that it is for, as written in it.
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: SystemTime,
    /// When it expires.
    pub not_after: SystemTime,
}

impl Certificate {
    /// Reads a certificate in DER; `None` if it cannot be decoded.
    pub fn read(der: &[u8]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn names_and_times_of_a_certificate_are_read() {
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
}
