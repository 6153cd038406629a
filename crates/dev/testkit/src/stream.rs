//! Plain and TLS connections behind one type, blocking.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConnection, RootCertStore, ServerConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::certificates::{Leaf, provider};
use crate::wait::DEADLINE;

/// How a TLS connection is opened.
#[derive(Debug, Clone)]
pub struct TlsDial {
    /// Server name sent and verified; without one, none is sent and nothing is verified by name.
    pub server_name: Option<String>,
    /// Authorities; `None` accepts every certificate.
    pub roots: Option<Arc<RootCertStore>>,
    /// Protocols offered.
    pub alpn: Vec<String>,
    /// Client certificate.
    pub client: Option<Leaf>,
    /// Offers TLS 1.2 only.
    pub is_tls12_only: bool,
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Client(Box<StreamOwned<ClientConnection, TcpStream>>),
    Server(Box<StreamOwned<ServerConnection, TcpStream>>),
}

/// Connects and finishes the handshake.
///
/// # Errors
///
/// When the connection or the handshake fails, with the alert that came.
pub fn dial_tls(
    addr: SocketAddr,
    dial: &TlsDial,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let tcp = TcpStream::connect(addr)?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(DEADLINE))?;
    tcp.set_write_timeout(Some(DEADLINE))?;
    let name = dial.server_name.as_deref().unwrap_or("127.0.0.1").to_owned();
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let session = ClientConnection::new(dial.config(), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    // In TLS 1.3 the server's opinion of a client certificate comes after the handshake.
    Ok(stream)
}

// === impl TlsDial ===

impl TlsDial {
    /// Offers `http/1.1`, trusts `roots`.
    pub fn http1(server_name: &str, roots: Arc<RootCertStore>) -> Self {
        Self {
            server_name: Some(server_name.into()),
            roots: Some(roots),
            alpn: vec!["http/1.1".into()],
            client: None,
            is_tls12_only: false,
        }
    }

    /// Offers nothing by ALPN and accepts every certificate.
    pub fn insecure(server_name: &str) -> Self {
        let server_name = Some(server_name.into());
        Self { server_name, roots: None, alpn: Vec::new(), client: None, is_tls12_only: false }
    }

    /// With other protocols.
    #[must_use]
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(ToString::to_string).collect();
        self
    }

    /// With a client certificate.
    #[must_use]
    pub fn client(mut self, leaf: &Leaf) -> Self {
        self.client = Some(leaf.clone());
        self
    }

    /// Offering TLS 1.2 only.
    #[must_use]
    pub fn tls12_only(mut self) -> Self {
        self.is_tls12_only = true;
        self
    }

    pub(crate) fn config(&self) -> Arc<rustls::ClientConfig> {
        let versions = if self.is_tls12_only {
            &[&rustls::version::TLS12][..]
        } else {
            rustls::DEFAULT_VERSIONS
        };
        let builder = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match &self.roots {
            Some(roots) => builder.with_root_certificates(roots.clone()),
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(accept_all::AcceptAll)),
        };
        let mut config = match &self.client {
            Some(leaf) => builder.with_client_auth_cert(leaf.chain_der(), leaf.key_der()).unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.enable_sni = self.server_name.is_some();
        Arc::new(config)
    }
}

// === impl Stream ===

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Client(tls) => &tls.sock,
            Self::Server(tls) => &tls.sock,
        }
    }

    pub(crate) fn set_read_timeout(&self, timeout: Duration) {
        self.tcp().set_read_timeout(Some(timeout)).unwrap();
    }

    /// Ends our direction in order.
    pub(crate) fn shutdown_write(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => return tcp.shutdown(Shutdown::Write),
            Self::Client(tls) => {
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
            Self::Server(tls) => {
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
        self.tcp().shutdown(Shutdown::Write)
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(&self) {
        let _ = socket2::SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }
}

impl Read for Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = match self {
            Self::Plain(tcp) => tcp.read(buf),
            Self::Client(tls) => tls.read(buf),
            Self::Server(tls) => tls.read(buf),
        };
        match result {
            // Many peers close TLS without saying so; the tests that care look at the bytes.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(buf),
            Self::Client(tls) => tls.write(buf),
            Self::Server(tls) => tls.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Client(tls) => tls.flush(),
            Self::Server(tls) => tls.flush(),
        }
    }
}

mod accept_all {
    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::{DigitallySignedStruct, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    /// Believes everybody; tests look at the certificate themselves.
    #[derive(Debug)]
    pub(super) struct AcceptAll;

    impl ServerCertVerifier for AcceptAll {
        fn verify_server_cert(
            &self,
            _end_entity: &CertificateDer<'_>,
            _intermediates: &[CertificateDer<'_>],
            _server_name: &ServerName<'_>,
            _ocsp_response: &[u8],
            _now: UnixTime,
        ) -> Result<ServerCertVerified, rustls::Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _message: &[u8],
            _cert: &CertificateDer<'_>,
            _dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            crate::certificates::provider().signature_verification_algorithms.supported_schemes()
        }
    }
}
