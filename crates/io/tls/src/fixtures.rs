//! Certificates, tables and connected streams for the tests of this crate.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tokio::io::DuplexStream;
use weft_model::backend::UpstreamTls;
use weft_model::listener::{Certificate, TlsEntry, TlsOptions, TlsTable};
use weft_net::buffer::Inbox;
use weft_net::{BufferPool, Stream};

use crate::handshake::{self, HandshakeError};
use crate::{ClientTls, ServerTls, TlsStream};

/// A certificate authority.
pub(crate) struct Authority {
    pub(crate) pem: Arc<[u8]>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem: pem.into_bytes().into(), issuer: Issuer::new(params, key) }
    }

    /// A leaf for names; one that starts with `spiffe:` becomes a URI.
    pub(crate) fn issue(&self, names: &[&str]) -> Arc<Certificate> {
        self.issue_with(names, |_| {}, &KeyPair::generate().unwrap())
    }

    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
        key: &KeyPair,
    ) -> Arc<Certificate> {
        let (uris, dns): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| name.starts_with("spiffe:"));
        let dns: Vec<String> = dns.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(dns).unwrap();
        let uris = uris.iter().map(|uri| SanType::URI(uri.to_string().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        change(&mut params);
        let chain = params.signed_by(key, &self.issuer).unwrap().pem();
        certificate(names, chain, key.serialize_pem())
    }
}

pub(crate) fn certificate(names: &[&str], chain: String, key: String) -> Arc<Certificate> {
    Arc::new(Certificate {
        origin: "Secret shop/tls".into(),
        chain_pem: chain.into_bytes().into(),
        key_pem: key.into_bytes().into(),
        names: names.iter().map(|name| (*name).into()).collect(),
    })
}

pub(crate) fn entry(host: &str, certificate: &Arc<Certificate>, options: &TlsOptions) -> TlsEntry {
    TlsEntry {
        host: host.into(),
        site: "".into(),
        deep: false,
        certificates: vec![certificate.clone()],
        options: Arc::new(options.clone()),
    }
}

/// A table whose default entry serves one certificate.
pub(crate) fn table(certificate: &Arc<Certificate>, options: &TlsOptions) -> TlsTable {
    TlsTable { entries: Vec::new(), default: Some(entry("", certificate, options)) }
}

pub(crate) fn server(certificate: &Arc<Certificate>, options: &TlsOptions) -> ServerTls {
    ServerTls::build(&table(certificate, options), None).unwrap()
}

pub(crate) fn upstream(authority: &Authority) -> UpstreamTls {
    UpstreamTls { roots_pem: Some(authority.pem.clone()), ..UpstreamTls::default() }
}

/// Reads the hello, selects, and does the server's side.
pub(crate) async fn serve<S: Stream>(
    mut io: S,
    tls: &ServerTls,
    pool: &BufferPool,
) -> Result<TlsStream<S>, HandshakeError> {
    let mut inbox = Inbox::new(pool);
    let hello = handshake::read_hello(&mut io, &mut inbox).await?;
    let selected = match tls.select(hello.server_name.as_deref()) {
        Ok(selected) => selected,
        Err(error) => {
            handshake::refuse(&mut io, handshake::NoHandshake::UnknownName).await;
            return Err(error.into());
        }
    };
    handshake::accept(io, inbox, hello, &selected).await
}

pub(crate) type Accepted = Result<TlsStream<DuplexStream>, HandshakeError>;

/// Both sides of a handshake over a pipe that holds `buffered` bytes.
pub(crate) async fn pair(
    server: &ServerTls,
    client: &ClientTls,
    host: &str,
    buffered: usize,
) -> (Accepted, Accepted) {
    let pool = BufferPool::default();
    let (near, far) = tokio::io::duplex(buffered);
    tokio::join!(serve(near, server, &pool), handshake::connect(far, client, host, &pool))
}
