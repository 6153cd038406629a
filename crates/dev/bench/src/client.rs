//! A blocking HTTP/1.1 client for probes and for holding connections open.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::process::Process;

/// Longest wait for a program to answer.
const READY: Duration = Duration::from_secs(120);

/// A kept-alive connection.
pub(crate) struct Client {
    stream: BufReader<Box<dyn Stream>>,
}

/// Bytes both ways, in TLS or not.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

// === impl Client ===

impl Client {
    pub(crate) fn plain(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self::new(Box::new(connect(addr)?)))
    }

    pub(crate) fn tls(addr: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        Ok(Self::new(Box::new(StreamOwned::new(session, connect(addr)?))))
    }

    /// Sends a GET and reads the whole answer; gives its status.
    pub(crate) fn get(&mut self, host: &str, path: &str) -> io::Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.stream.get_mut().flush()?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("no status line"))?;
        let mut length = None;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line == "\r\n" {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok();
            }
        }
        // The probes only ask for answers with a known length.
        let length = length.ok_or_else(|| io::Error::other("no content-length"))?;
        io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())?;
        Ok(status)
    }

    /// Has a forward proxy connect it to `authority`.
    pub(crate) fn connect(&mut self, authority: &str) -> io::Result<()> {
        let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.stream.get_mut().flush()?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        if line.split(' ').nth(1) != Some("200") {
            return Err(io::Error::other(format!("CONNECT was answered with {line}")));
        }
        while line != "\r\n" {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The bytes after what was read so far; nothing may have been sent ahead.
    pub(crate) fn into_stream(self) -> Box<dyn Stream> {
        self.stream.into_inner()
    }

    fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream: BufReader::with_capacity(2048, stream) }
    }
}

/// TLS that believes the authority of this run only.
pub(crate) fn tls_config(authority_pem: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    config(authority_pem, rustls::crypto::aws_lc_rs::default_provider())
}

/// The same with one cipher only.
pub(crate) fn tls_config_aes128(authority_pem: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
    use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
    let cipher_suites = vec![cipher_suite::TLS13_AES_128_GCM_SHA256];
    config(authority_pem, CryptoProvider { cipher_suites, ..default_provider() })
}

fn config(authority_pem: &[u8], provider: CryptoProvider) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority_pem) {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The certificate that the server shows now.
pub(crate) fn served_certificate(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
) -> io::Result<CertificateDer<'static>> {
    let name = ServerName::try_from("moving.bench.test").map_err(io::Error::other)?;
    let mut session = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
    let mut stream = connect(addr)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    let shown = session.peer_certificates().and_then(<[_]>::first).cloned();
    shown.ok_or_else(|| io::Error::other("the server showed no certificate"))
}

/// Asks until the program answers 200.
pub(crate) fn wait_ready(
    addr: SocketAddr,
    host: &str,
    path: &str,
    process: &mut Process,
) -> anyhow::Result<()> {
    wait(process, || Client::plain(addr)?.get(host, path)).with_context(|| addr.to_string())
}

/// The same over TLS.
pub(crate) fn wait_ready_tls(
    addr: SocketAddr,
    config: &Arc<ClientConfig>,
    host: &str,
    path: &str,
    process: &mut Process,
) -> anyhow::Result<()> {
    wait(process, || Client::tls(addr, config)?.get(host, path)).with_context(|| addr.to_string())
}

fn wait(process: &mut Process, ask: impl Fn() -> io::Result<u16>) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY;
    let mut last = String::from("nothing yet");
    while Instant::now() < deadline {
        match ask() {
            Ok(200) => return Ok(()),
            Ok(status) => last = format!("status {status}"),
            Err(error) => last = error.to_string(),
        }
        if process.has_ended() {
            bail!("the program ended before it answered");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("no good answer within {READY:?}: {last}")
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
