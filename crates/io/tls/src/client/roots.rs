//! Authorities that upstreams are verified against.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::InvalidUpstreamTls;
use crate::certificate;

/// Authorities, and the same certificates as they were given, for pinned leaves.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    pub(super) given: Vec<CertificateDer<'static>>,
}

/// The system's authorities, read once: the bundle rarely changes and costs milliseconds.
pub(super) fn system() -> Result<Arc<Roots>, InvalidUpstreamTls> {
    static SYSTEM: OnceLock<Arc<Roots>> = OnceLock::new();
    let roots = SYSTEM.get_or_init(|| {
        let mut store = RootCertStore::empty();
        // Bundles hold a few certificates that webpki does not understand; the others count.
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(Roots { store, given: Vec::new() })
    });
    if roots.store.is_empty() { Err(InvalidUpstreamTls::NoSystemRoots) } else { Ok(roots.clone()) }
}

impl Roots {
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, InvalidUpstreamTls> {
        let given = certificate::chain(pem).map_err(InvalidUpstreamTls::Roots)?;
        let mut store = RootCertStore::empty();
        for der in &given {
            let added = store.add(der.clone());
            added.map_err(|error| InvalidUpstreamTls::Root(error.to_string().into()))?;
        }
        Ok(Self { store, given })
    }
}
