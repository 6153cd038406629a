//! The client side: how an upstream is verified.

mod roots;
mod verifier;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::ServerName;
use weft_model::backend::{TlsFiles, UpstreamProtocol, UpstreamTls};

use crate::certificate::{self, InvalidCertificate};
use crate::names;
use roots::Roots;
use verifier::{AnyServer, UpstreamVerifier};

/// Sessions remembered for resumption per upstream configuration. A backend of hundreds of
/// endpoints shares one server name, so few are needed; each costs a few hundred bytes.
const SESSIONS_MAX: usize = 64;

/// TLS towards one kind of upstream, ready for handshakes. Clones share everything.
#[derive(Debug, Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    verifies: bool,
}

/// Settings towards an upstream that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUpstreamTls {
    /// The server name is neither a DNS name nor an IP address.
    #[error("server name `{0}` is neither a DNS name nor an IP address")]
    ServerName(Box<str>),
    /// The authorities are invalid.
    #[error("upstream authorities: {0}")]
    Roots(InvalidCertificate),
    /// An authority cannot serve as such.
    #[error("an upstream authority cannot be used: {0}")]
    Root(Box<str>),
    /// The system offers no authorities.
    #[error("the system has no certificate authorities; install ca-certificates or name a root")]
    NoSystemRoots,
    /// The client certificate is invalid.
    #[error("client certificate of {origin}: {reason}")]
    Client {
        /// Where it came from.
        origin: Box<str>,
        /// What is wrong.
        reason: InvalidCertificate,
    },
    /// Files that it takes authorities or a certificate from were not read.
    #[error("{0} cannot be read on this machine")]
    Unread(Box<str>),
    /// The TLS library refuses the combination.
    #[error("the combination of settings is not possible: {0}")]
    Refused(Box<str>),
}

/// A host that no certificate could be checked against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("upstream host `{0}` is neither a DNS name nor an IP address; set a server name")]
pub struct InvalidHost(pub Box<str>);

// === impl ClientTls ===

impl ClientTls {
    /// Makes the configuration.
    ///
    /// `protocol` decides what ALPN offers: HTTP/2 and HTTP/1.1 for [`UpstreamProtocol::Auto`] and
    /// [`UpstreamProtocol::AsClient`], only the one for the others, nothing for `None` (bytes that
    /// are not HTTP). The system's authorities are read once per process, when the first
    /// configuration needs them; this may take some milliseconds.
    ///
    /// # Errors
    ///
    /// [`InvalidUpstreamTls`] with what to correct.
    pub fn build(
        tls: &UpstreamTls,
        protocol: Option<UpstreamProtocol>,
    ) -> Result<Self, InvalidUpstreamTls> {
        let UpstreamTls {
            server_name,
            roots_pem,
            client,
            insecure_skip_verify,
            subject_alt_names,
            min_version,
            max_version,
            files,
        } = tls;
        if let Some(files) = files {
            return Err(InvalidUpstreamTls::Unread(listed(files)));
        }
        let parse = |name: &str| {
            parse_host(name).ok_or_else(|| InvalidUpstreamTls::ServerName(name.into()))
        };
        let server_name = server_name.as_deref().map(parse).transpose()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&names::versions(*min_version, *max_version))
            .map_err(refused)?
            .dangerous();
        let builder = if *insecure_skip_verify {
            builder.with_custom_certificate_verifier(Arc::new(AnyServer::new(&provider)))
        } else {
            let roots = match roots_pem {
                Some(pem) => Arc::new(Roots::from_pem(pem)?),
                None => roots::system()?,
            };
            let verifier = UpstreamVerifier::new(roots, subject_alt_names, &provider);
            builder.with_custom_certificate_verifier(Arc::new(verifier))
        };
        let mut config = match client {
            Some(client) => {
                let key = certificate::load(client).map_err(|reason| {
                    InvalidUpstreamTls::Client { origin: client.origin.clone(), reason }
                })?;
                let resolver = rustls::sign::SingleCertAndKey::from(key);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = match protocol {
            Some(UpstreamProtocol::Auto | UpstreamProtocol::AsClient) => {
                vec![b"h2".to_vec(), b"http/1.1".to_vec()]
            }
            Some(UpstreamProtocol::Http1) => vec![b"http/1.1".to_vec()],
            Some(UpstreamProtocol::Http2) => vec![b"h2".to_vec()],
            None => Vec::new(),
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(Self { config: Arc::new(config), server_name, verifies: !insecure_skip_verify })
    }

    /// The same, offering HTTP/1.1 only: for a request to upgrade, which HTTP/2 has no way for.
    #[must_use]
    pub fn http1(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            config: Arc::new(config),
            server_name: self.server_name.clone(),
            verifies: self.verifies,
        }
    }

    /// The configuration for a handshake.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Whether the upstream's certificate is verified.
    pub fn verifies(&self) -> bool {
        self.verifies
    }

    /// The name sent and verified when the request is for `host` (without port; IPv6 with or
    /// without brackets).
    ///
    /// # Errors
    ///
    /// [`InvalidHost`] when `host` counts and cannot be in a certificate.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, InvalidHost> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => parse_host(host).ok_or_else(|| InvalidHost(host.into())),
        }
    }
}

// === functions ===

fn parse_host(host: &str) -> Option<ServerName<'static>> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(host.to_ascii_lowercase()).ok()
}

/// The files, for people.
fn listed(files: &TlsFiles) -> Box<str> {
    let all: Vec<String> = files.paths().map(|path| format!("`{path}`")).collect();
    all.join(" or ").into()
}

fn refused(error: rustls::Error) -> InvalidUpstreamTls {
    InvalidUpstreamTls::Refused(error.to_string().into())
}

#[cfg(test)]
mod tests;
