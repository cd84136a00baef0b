//! TLS for `amqps://`: rustls, TLS 1.2 at least, the peer and its name always verified.
//!
//! Certificates and keys are read afresh for each connection, so that rotating them needs no restart.

use super::certificate::{self, Certificate};
use super::{Error, Kind};
use crate::config::{BrokerUrl, FileFault, Problem, Tls};
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, crypto::ring, version};

/// What a handshake has shown of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// For example `TLS 1.3`.
    pub version: &'static str,
    /// Its certificate, where it could be read.
    pub certificate: Option<Certificate>,
}

impl Peer {
    /// Of a stream whose handshake is done.
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        Self {
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                _ => "TLS",
            },
            certificate: leaf.and_then(|leaf| Certificate::read(leaf)),
        }
    }
}

/// Encrypts a connection. The caller bounds the time.
pub(super) async fn handshake(
    tcp: TcpStream,
    url: &BrokerUrl,
    settings: &Tls,
) -> Result<TlsStream<TcpStream>, Error> {
    let settings = settings.clone();
    let name = settings
        .server_name
        .clone()
        .unwrap_or_else(|| url.host.clone());
    // The platform's roots are a hundred files; they are not read on the thread that serves.
    let config = tokio::task::spawn_blocking(move || client_config(&settings))
        .await
        .map_err(|error| Error::new(Kind::Local, format!("cannot load certificates: {error}")))??;
    let server_name = ServerName::try_from(name.clone()).map_err(|_| {
        Error::new(
            Kind::Local,
            format!("broker.tls.server_name: {name:?} is not a host name or address"),
        )
    })?;
    TlsConnector::from(Arc::new(config))
        .connect(server_name, tcp)
        .await
        .map_err(|error| failed(url, &error))
}

/// The client's own certificate, where there is one.
pub(super) fn own_certificate(settings: &Tls) -> Result<Option<Certificate>, Error> {
    let Some(path) = &settings.cert_file else {
        return Ok(None);
    };
    let chain = certificates(CERT_FILE, path)?;
    Ok(chain.first().and_then(|leaf| Certificate::read(leaf)))
}

/// Why TLS failed, in one line.
pub(super) fn failed(url: &BrokerUrl, error: &io::Error) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let (cause, cure) = inner.map_or_else(
        || (error.to_string(), "is that a port for TLS?"),
        certificate::refusal,
    );
    Error::new(
        Kind::Tls,
        format!("TLS with broker {} failed: {cause}; {cure}", url.address()),
    )
}

/// What is wrong with the files, each by itself, or with what they are together.
pub(super) fn check(settings: &Tls) -> Vec<FileFault> {
    let Tls {
        ca_file,
        cert_file,
        key_file,
        ..
    } = settings;
    let files = [
        ca_file
            .as_ref()
            .map(|path| certificates(CA_FILE, path).err()),
        cert_file
            .as_ref()
            .map(|path| certificates(CERT_FILE, path).err()),
        key_file.as_ref().map(|path| private_key(path).err()),
    ];
    let mut faults: Vec<FileFault> = files.into_iter().flatten().flatten().collect();
    if faults.is_empty()
        && let Err(error) = client_config(settings)
    {
        faults.push(FileFault {
            problem: Problem::new(&error.message),
            denied: false,
        });
    }
    faults
}

const CA_FILE: &str = "broker.tls.ca_file";
const CERT_FILE: &str = "broker.tls.cert_file";
const KEY_FILE: &str = "broker.tls.key_file";

fn client_config(settings: &Tls) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| Error::new(Kind::Local, format!("cannot set up TLS: {error}")))?
        .with_root_certificates(roots(settings.ca_file.as_deref())?);
    match (&settings.cert_file, &settings.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let (chain, key) = (certificates(CERT_FILE, cert_file)?, private_key(key_file)?);
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| unusable(CERT_FILE, cert_file, &error.to_string()).into())
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// The platform's roots, or those in `ca_file` alone.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates(CA_FILE, path)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(CA_FILE, path, &error.to_string()))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(Error::new(
            Kind::Local,
            "no root certificates to verify the broker with; install ca-certificates or set broker.tls.ca_file",
        ));
    }
    Ok(roots)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, FileFault> {
    let text = read(key, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(unusable(key, path, "no certificate in it"))
        }
        Ok(certificates) => Ok(certificates),
        Err(_) => Err(unusable(key, path, "not valid PEM")),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileFault> {
    let text = read(KEY_FILE, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        // The error's own words may quote the file.
        let what = match error {
            pem::Error::NoItemsFound => "no private key in it",
            _ => "not valid PEM",
        };
        unusable(KEY_FILE, path, what)
    })
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, FileFault> {
    let read = || {
        // Opening a FIFO would wait for a writer.
        if path.metadata()?.is_file() {
            fs::read(path)
        } else {
            Err(io::Error::other("is not a regular file"))
        }
    };
    read().map_err(|error| {
        let what = match error.kind() {
            io::ErrorKind::NotFound => "no such file".into(),
            io::ErrorKind::PermissionDenied => "permission denied".into(),
            _ => error.to_string(),
        };
        FileFault {
            denied: error.kind() == io::ErrorKind::PermissionDenied,
            ..unusable(key, path, &what)
        }
    })
}

fn unusable(key: &str, path: &Path, what: &str) -> FileFault {
    let path = path.display();
    let help = "check the path and what is in it";
    FileFault {
        problem: Problem::new(&format!("{key}: cannot use {path}: {what}; {help}")),
        denied: false,
    }
}

impl From<FileFault> for Error {
    fn from(fault: FileFault) -> Self {
        Self::new(Kind::Local, fault.problem.0)
    }
}
