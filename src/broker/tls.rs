//! TLS for `amqps://`: rustls, TLS 1.2 at least, the peer and its name always verified.
//!
//! Certificates and keys are read afresh for each connection, so that rotating them needs no restart.

pub(super) mod cause;
#[cfg(feature = "process")]
pub mod certificate;
pub mod expiry;
mod files;

use super::error::{Error, Kind};
use crate::config::{BrokerUrl, FileFault, Problem, Shortage, Tls};
use expiry::Expiry;
use files::{CA_FILE, CERT_FILE, KEY_FILE, certificates, private_key, roots, unusable};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, ProtocolVersion, crypto::ring, version};

/// What a TLS handshake has shown of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// For example `TLS 1.3`.
    pub version: &'static str,
    /// Its certificate, in DER.
    pub certificate: Option<Vec<u8>>,
    /// When its certificate and those in our files expire.
    pub expiry: Expiry,
}

impl Peer {
    /// Of a stream whose handshake is done, with the files that expire like this.
    fn of(stream: &TlsStream<TcpStream>, files: Expiry) -> Self {
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let expiry = files.with_broker(leaf.map(|leaf| &**leaf));
        Self {
            expiry,
            version: match session.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                _ => "TLS",
            },
            certificate: leaf.map(|leaf| leaf.to_vec()),
        }
    }
}

/// Encrypts a connection. The caller bounds the time.
pub(super) async fn handshake(
    tcp: TcpStream,
    url: &BrokerUrl,
    settings: &Tls,
) -> Result<(TlsStream<TcpStream>, Peer), Error> {
    let owned = settings.clone();
    let name = settings
        .server_name
        .clone()
        .unwrap_or_else(|| url.tls_name().to_owned());
    // The platform's roots are a hundred files; they are not read on the thread that serves.
    let load = move || {
        let config = client_config(&owned)?;
        Ok::<_, Error>((config, Expiry::of_files(&owned)))
    };
    let (config, files) = tokio::task::spawn_blocking(load)
        .await
        .map_err(|error| Kind::Local.error(format!("cannot load certificates: {error}")))??;
    let server_name = ServerName::try_from(name.clone()).map_err(|_| {
        Kind::Local.error(format!(
            "broker.tls.server_name: {name:?} is not a host name or address"
        ))
    })?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(server_name, tcp)
        .await
        .map_err(|error| failed(url, settings, &error))?;
    let peer = Peer::of(&stream, files);
    Ok((stream, peer))
}

/// Our own certificate in DER, if one is configured.
pub fn own_certificate(settings: &Tls) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = &settings.cert_file else {
        return Ok(None);
    };
    let chain = certificates(CERT_FILE, path)?;
    Ok(chain.first().map(|leaf| leaf.to_vec()))
}

/// The TLS library's error in an error of the stream, if it has one.
pub(super) fn within(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// Why the handshake failed, in one line.
pub(super) fn failed(url: &BrokerUrl, settings: &Tls, error: &io::Error) -> Error {
    if let Some(error) = within(error) {
        return refused(url, settings, error);
    }
    let what = format!("TLS with broker {} failed", url.address());
    if let Some(shortage) = Shortage::of(error) {
        return Error::short_of(&what, shortage);
    }
    let (cause, hint) = match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => (
            "the connection was closed within the handshake".to_owned(),
            "is that a port for TLS, and does the broker run behind its proxy?",
        ),
        _ => (error.to_string(), "see the broker's log"),
    };
    Kind::Tls.error(format!("{what}: {cause}; {hint}"))
}

/// Why the broker's TLS or ours does not accept the other, in one line.
pub(super) fn refused(url: &BrokerUrl, settings: &Tls, error: &rustls::Error) -> Error {
    let (cause, hint) = cause::of(error, settings);
    let address = url.address();
    Kind::Tls.error(format!("TLS with broker {address} failed: {cause}; {hint}"))
}

/// What is wrong with the files, each by itself, or with what they are together.
pub(super) fn check(settings: &Tls) -> Vec<FileFault> {
    let fault = |key, path: &Option<PathBuf>| certificates(key, path.as_ref()?).err();
    let key = settings.key_file.as_ref();
    let files = [
        fault(CA_FILE, &settings.ca_file),
        fault(CERT_FILE, &settings.cert_file),
        key.and_then(|path| private_key(path).err()),
    ];
    let mut faults: Vec<FileFault> = files.into_iter().flatten().collect();
    if faults.is_empty()
        && let Err(error) = client_config(settings)
    {
        faults.push(Problem::new(&error.message).into());
    }
    faults
}

/// What is wrong with the system's authorities, if they are used.
pub(super) fn doubt(settings: &Tls) -> Option<String> {
    let (_, fault) = settings.ca_file.is_none().then(files::system)?;
    Some(fault?.message)
}

fn client_config(settings: &Tls) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| Kind::Local.error(format!("cannot set up TLS: {error}")))?
        .with_root_certificates(roots(settings)?);
    match (&settings.cert_file, &settings.key_file) {
        (Some(cert_file), Some(key_file)) => {
            let (chain, key) = (certificates(CERT_FILE, cert_file)?, private_key(key_file)?);
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| unfit(&error, cert_file, key_file, settings).into())
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// Why our certificate and our key cannot be used together.
fn unfit(error: &rustls::Error, cert_file: &Path, key_file: &Path, settings: &Tls) -> FileFault {
    if matches!(error, rustls::Error::InconsistentKeys(_)) {
        let what = format!(
            "its first certificate does not belong to the key in {}",
            key_file.display()
        );
        let help = format!(
            "name in {KEY_FILE} the key that it was made for; its own certificate comes first, then its authorities'"
        );
        return unusable(CERT_FILE, cert_file, &what, &help);
    }
    let (cause, _) = cause::of(error, settings);
    let what = cause.replacen("its certificate", "the certificate", 1);
    unusable(CERT_FILE, cert_file, &what, "replace it")
}
