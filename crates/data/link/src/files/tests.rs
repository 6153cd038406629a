use std::collections::HashMap;

use weft_model::backend::{Endpoints, HostHeader, UpstreamProtocol};
use weft_model::id::BackendId;

use super::*;

/// A plan with a backend that takes what these files hold, and one that takes none.
fn plan(files: TlsFiles) -> Snapshot {
    let tls = UpstreamTls { files: Some(Arc::new(files)), ..UpstreamTls::default() };
    let mut snapshot = Snapshot::default();
    for (id, tls) in [("bank", Some(Arc::new(tls))), ("other", None)] {
        let backend = Backend {
            id: BackendId::new(id),
            endpoints: Endpoints::Static([].into()),
            protocol: UpstreamProtocol::Http1,
            health_check: None,
            host: HostHeader::Pass,
            termination_delay: None,
            calling: Arc::new(Calling { tls, ..Calling::default() }),
        };
        snapshot.backends.insert(backend.id.clone(), Arc::new(backend));
    }
    snapshot
}

fn both() -> TlsFiles {
    TlsFiles { roots: Some("/ca".into()), client: Some(("/chain".into(), "/key".into())) }
}

fn fill(snapshot: &Snapshot, files: &[(&str, &str)], before: Option<&Snapshot>) -> Snapshot {
    let files: HashMap<&str, &str> = files.iter().copied().collect();
    filled(snapshot, &|path| Some(files.get(path)?.as_bytes().into()), before)
}

const ALL: [(&str, &str); 3] = [("/ca", "roots"), ("/chain", "leaf"), ("/key", "secret")];

#[test]
fn what_files_hold_is_put_in() {
    let snapshot = plan(both());
    assert_eq!(named(&snapshot), ["/ca", "/chain", "/key"].map(Into::into).into());
    let found = fill(&snapshot, &ALL, None);
    let tls = found.backends["bank"].calling.tls.as_ref().expect("TLS");
    let client = tls.client.as_ref().expect("a certificate");
    assert_eq!((tls.roots_pem.as_deref(), &tls.files), (Some(&b"roots"[..]), &None));
    assert_eq!((&*client.chain_pem, &*client.key_pem), (&b"leaf"[..], &b"secret"[..]));
    assert!(named(&found).is_empty());
    // What takes nothing from files is the same.
    assert!(Arc::ptr_eq(&found.backends["other"], &snapshot.backends["other"]));
}

#[test]
fn without_one_of_its_files_a_backend_stays_closed() {
    let snapshot = plan(both());
    for missing in 0..ALL.len() {
        let files: Vec<_> = (0..ALL.len()).filter(|index| *index != missing).collect();
        let files: Vec<_> = files.into_iter().map(|index| ALL[index]).collect();
        let found = fill(&snapshot, &files, None);
        let tls = found.backends["bank"].calling.tls.as_ref().expect("TLS");
        assert_eq!((tls.files.as_deref(), &tls.client), (Some(&both()), &None), "{files:?}");
    }
}

#[test]
fn what_is_the_same_as_before_keeps_its_place() {
    let snapshot = plan(TlsFiles { roots: Some("/ca".into()), client: None });
    let first = fill(&snapshot, &ALL, None);
    let second = fill(&snapshot, &ALL, Some(&first));
    assert!(Arc::ptr_eq(&first.backends["bank"], &second.backends["bank"]));
    let renewed = fill(&snapshot, &[("/ca", "other roots")], Some(&second));
    assert!(!Arc::ptr_eq(&second.backends["bank"], &renewed.backends["bank"]));
}
