//! Which of an entry's certificates a client gets.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use weft_model::listener::Certificate;

/// The certificates of one entry.
#[derive(Debug)]
pub(super) struct Resolver(Vec<(Arc<Certificate>, Arc<CertifiedKey>)>);

impl Resolver {
    pub(super) fn new(keys: Vec<(Arc<Certificate>, Arc<CertifiedKey>)>) -> Self {
        Self(keys)
    }
}

impl ResolvesServerCert for Resolver {
    /// The first that the client can verify and that covers its server name; else the first that
    /// it can verify; else the first, so that the client reports what it dislikes.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [(_, only)] = &self.0[..] {
            return Some(only.clone());
        }
        let schemes = hello.signature_schemes();
        let usable = || self.0.iter().filter(|(_, key)| key.key.choose_scheme(schemes).is_some());
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let covering = name.and_then(|name| {
            let name = name.strip_suffix('.').unwrap_or(&name);
            usable().find(|(certificate, _)| covers(certificate, name))
        });
        let chosen = covering.or_else(|| usable().next()).or(self.0.first());
        chosen.map(|(_, key)| key.clone())
    }
}

/// Whether a certificate's names cover a host: itself, or a wildcard for its first label (RFC 6125
/// section 6.4.3).
pub(super) fn covers(certificate: &Certificate, host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    certificate.names.iter().any(|name| match name.strip_prefix("*.") {
        Some(suffix) => parent.is_some_and(|parent| suffix.eq_ignore_ascii_case(parent)),
        None => name.eq_ignore_ascii_case(host),
    })
}
