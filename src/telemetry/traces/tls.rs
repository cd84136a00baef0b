//! TLS to a collector: rustls, TLS 1.2 at least, the collector and its name always verified.

use super::settings::Settings;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, Error as TlsError, RootCertStore, crypto::ring, version,
};

/// Whom to trust. The system's authorities are a hundred files: they are read once.
pub(super) fn trust(settings: &Settings) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.ca_file {
        let shown = path.display();
        let unusable = |error: &dyn std::fmt::Display| {
            format!("cannot use the authorities in {shown}: {error}")
        };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            roots.add(certificate).map_err(|error| unusable(&error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err("no authorities to verify it with; install ca-certificates or set OTEL_EXPORTER_OTLP_CERTIFICATE".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| format!("cannot set up TLS: {error}"))?;
    Ok(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ))
}

/// Encrypts a connection. The caller bounds the time.
pub(super) async fn handshake(
    tcp: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("TLS: {error}"))?;
    let stream = TlsConnector::from(config).connect(name, tcp).await;
    stream.map_err(|error| match error.get_ref().and_then(|error| error.downcast_ref()) {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer)) => format!(
            "its certificate is not signed by a trusted authority; {}",
            "install that of its authority, or set OTEL_EXPORTER_OTLP_CERTIFICATE to a file with it"
        ),
        _ => format!("TLS: {error}"),
    })
}
