//! Files of the proxy's own machine that complete how services are called.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_model::Snapshot;
use weft_model::backend::{Backend, TlsFiles, UpstreamTls};
use weft_model::calling::Calling;
use weft_model::listener::Certificate;

use crate::resolve::keep;

/// The files that a plan names.
pub fn named(snapshot: &Snapshot) -> BTreeSet<Box<str>> {
    let files = snapshot.backends.values().filter_map(|backend| missing(backend));
    files.flat_map(TlsFiles::paths).map(Into::into).collect()
}

/// The plan with what its files hold. A backend one of whose files is not there stays as it is, and
/// is called by nobody.
///
/// Pure. What is equal to the plan before, which this function has made, keeps its `Arc` from there.
pub fn filled(
    snapshot: &Snapshot,
    content: &dyn Fn(&str) -> Option<Arc<[u8]>>,
    before: Option<&Snapshot>,
) -> Snapshot {
    let mut filled = snapshot.clone();
    for (id, backend) in &mut filled.backends {
        let Some(files) = missing(backend) else { continue };
        let Some(tls) = read(backend, files, content) else { continue };
        let calling = Arc::new(Calling { tls: Some(tls), ..Calling::clone(&backend.calling) });
        let whole = Backend { calling, ..Backend::clone(backend) };
        *backend = keep(whole, before.and_then(|before| before.backends.get(id)));
    }
    filled
}

/// The files that a backend waits for.
fn missing(backend: &Backend) -> Option<&TlsFiles> {
    backend.calling.tls.as_ref()?.files.as_deref()
}

fn read(
    backend: &Backend,
    files: &TlsFiles,
    content: &dyn Fn(&str) -> Option<Arc<[u8]>>,
) -> Option<Arc<UpstreamTls>> {
    let mut tls = UpstreamTls::clone(backend.calling.tls.as_ref()?);
    if let Some(roots) = &files.roots {
        tls.roots_pem = Some(content(roots)?);
    }
    if let Some((chain, key)) = &files.client {
        tls.client = Some(Arc::new(Certificate {
            origin: format!("file `{chain}`").into(),
            chain_pem: (*content(chain)?).into(),
            key_pem: (*content(key)?).into(),
            names: Vec::new(),
        }));
    }
    tls.files = None;
    Some(Arc::new(tls))
}
