//! TLS in front of a plain broker, like a load balancer or stunnel: it may demand a client certificate, of which the
//! broker behind it knows nothing.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion, version::TLS12, version::TLS13,
};
use tokio_util::sync::CancellationToken;

use super::certificates::{Authority, Identity};
use super::ports::Ports;

/// Ends with all its connections when dropped.
pub struct TlsFront {
    ports: Ports<1>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// Which versions of TLS it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// 1.2 alone: a client certificate is judged within the handshake.
    Tls12,
    /// 1.3 alone: a client certificate is judged after what the client takes for the handshake's end.
    Tls13,
}

impl TlsFront {
    /// In front of `port` of this machine. With `clients`, a client needs a certificate of that authority.
    pub fn new(port: u16, identity: &Identity, clients: Option<&Authority>) -> Self {
        Self::speaking(Versions::Tls13, port, identity, clients)
    }

    /// The same with one version alone.
    pub fn speaking(
        versions: Versions,
        port: u16,
        identity: &Identity,
        clients: Option<&Authority>,
    ) -> Self {
        let ports = Ports::reserve();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, ports.first()));
        let listener = listener.expect("the port is ours");
        listener.set_nonblocking(true).expect("it is a socket");
        let acceptor = TlsAcceptor::from(Arc::new(config(versions, identity, clients)));
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            super::runtime()
                .block_on(stopped.run_until_cancelled(accept(listener, acceptor, port)));
        });
        Self {
            ports,
            stop,
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.ports.first()
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn config(versions: Versions, identity: &Identity, clients: Option<&Authority>) -> ServerConfig {
    let versions: &[&SupportedProtocolVersion] = match versions {
        Versions::Tls12 => &[&TLS12],
        Versions::Tls13 => &[&TLS13],
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("ring knows them");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let certificate = CertificateDer::from_pem_slice(authority.certificate().as_bytes());
            roots.add(certificate.expect("PEM")).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("it has a root"))
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
    builder
        .with_single_cert(chain.map(|one| one.expect("PEM")).collect(), key)
        .expect("they match")
}

async fn accept(listener: std::net::TcpListener, acceptor: TlsAcceptor, port: u16) {
    let listener = TcpListener::from_std(listener).expect("we are in a runtime");
    while let Ok((client, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A handshake that fails ends the connection; the client gets an alert.
            let mut client = acceptor.accept(client).await.ok()?;
            let mut broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
            let copied = tokio::io::copy_bidirectional(&mut client, &mut broker).await;
            copied.ok()
        });
    }
}
