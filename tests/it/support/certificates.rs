//! Certificates for brokers with TLS: an authority, and the certificates that it signs, invalid ones included.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// One that signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, in PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// A new one, not trusted yet.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("keys are generated");
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name.push(DnType::CommonName, name);
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = wanted.self_signed(&key).expect("it is well-formed");
        Self {
            certificate: certificate.pem(),
            issuer: Issuer::new(wanted, key),
        }
    }

    /// Its own certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Signs a certificate for host names and addresses, after `change` has seen it.
    pub fn sign(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut wanted = CertificateParams::new(names).expect("names are names");
        change(&mut wanted);
        let key = KeyPair::generate().expect("keys are generated");
        let signed = wanted.signed_by(&key, &self.issuer);
        Identity {
            certificate: signed.expect("it is well-formed").pem(),
            key: key.serialize_pem(),
        }
    }
}
