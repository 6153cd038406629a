//! The SPIFFE Workload API: identities for applications, and for other proxies, that bring their own
//! TLS. Their keys are made here, one for each stream; those of our proxies never come here.

use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use weft_authority::{LeafReport, TrustBundle, renew_at};
use weft_model::id::WorkloadName;
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::time;
use weft_wire::workload_api::{
    SECURITY_KEY, X509BundlesRequest, X509BundlesResponse, X509Svid, X509SvidRequest,
    X509SvidResponse,
};

use crate::attest::{Attested, Claim, Peer};
use crate::discovery::send;
use crate::grpc::Replies;
use crate::plane::{ControlPlane, credentials};

/// The longest sleep: the clock of the system may jump meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);

/// Streams SVIDs: one now, and one whenever it is time or the roots have changed.
pub(crate) async fn fetch_svids(
    plane: ControlPlane,
    peer: Peer,
    request: Request<X509SvidRequest>,
    replies: Replies<X509SvidResponse>,
    drain: Watch,
) {
    if let Err(status) = svids(&plane, &peer, request.metadata(), &replies, drain).await {
        tracing::info!(%peer, error = %status.message(), "a stream of SVIDs ends");
        // Fails when the caller is gone, who then need not be told.
        let _ = replies.send(Err(status)).await;
    }
}

/// Streams trust bundles: one now, and one whenever the roots have changed.
pub(crate) async fn fetch_bundles(
    plane: ControlPlane,
    peer: Peer,
    request: Request<X509BundlesRequest>,
    replies: Replies<X509BundlesResponse>,
    drain: Watch,
) {
    if let Err(status) = bundles(&plane, &peer, request.metadata(), &replies, drain).await {
        tracing::info!(%peer, error = %status.message(), "a stream of trust bundles ends");
        // As above.
        let _ = replies.send(Err(status)).await;
    }
}

async fn svids(
    plane: &ControlPlane,
    peer: &Peer,
    metadata: &MetadataMap,
    replies: &Replies<X509SvidResponse>,
    mut drain: Watch,
) -> Result<(), Status> {
    let who = admit(plane, peer, metadata)?;
    // Beside the workload's proxy, which presents a certificate of its own.
    let holder = WorkloadName::new(format!("{} ({peer})", who.workload));
    let holder = Attested { workload: holder, identity: who.identity.clone() };
    let settings = &plane.0.settings;
    let mut changes = plane.0.keeper.changes();
    loop {
        let authority = plane.authority();
        let signing = authority.rotation().signing().root().certificate().fingerprint();
        let (credentials, issued) = credentials(&authority, &who.identity, settings)
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let leaf = LeafReport {
            identity: who.identity.clone(),
            root: issued.root,
            validity: issued.validity,
        };
        let svid = X509Svid {
            spiffe_id: who.identity.to_string(),
            x509_svid: issued.chain.iter().flat_map(|found| found.iter().copied()).collect(),
            x509_svid_key: credentials.key.secret_der().to_vec(),
            bundle: ders(&issued.bundle),
        };
        let trusts: Vec<_> = issued.bundle.fingerprints().collect();
        plane.0.registry.issued(&holder, &trusts, leaf.clone());
        let response = X509SvidResponse { svids: vec![svid] };
        send(replies, response, settings.limits.send).await?;
        tracing::info!(target: "audit", identity = %who.identity, %peer, "an SVID is handed out");
        // Clients of this API say nothing of what they do with it: it counts as in use.
        plane.0.registry.reported(
            &holder.workload,
            weft_authority::ProxyReport {
                proxy: holder.workload.clone(),
                trusts: trusts.into_iter().collect(),
                leaf: Some(leaf),
                reported_at: settings.clock.now(),
            },
        );
        let due = renew_at(issued.validity.not_before, issued.validity.not_after, 0.5);
        loop {
            let left = due.duration_since(settings.clock.now()).unwrap_or_default();
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = time::sleep(left.min(SLEEP_MAX)) => {}
                _ = changes.changed() => {
                    let now = plane.authority();
                    let root = now.rotation().signing().root().certificate().fingerprint();
                    if root != signing || *now.bundle() != issued.bundle {
                        break;
                    }
                }
                () = replies.closed() => return Ok(()),
                _ = drain.reached(Phase::Draining) => {
                    return Err(Status::unavailable("this control plane ends"));
                }
            }
        }
    }
}

async fn bundles(
    plane: &ControlPlane,
    peer: &Peer,
    metadata: &MetadataMap,
    replies: &Replies<X509BundlesResponse>,
    mut drain: Watch,
) -> Result<(), Status> {
    admit(plane, peer, metadata)?;
    let mut changes = plane.0.keeper.changes();
    let mut told = TrustBundle::default();
    loop {
        let authority = plane.authority();
        if *authority.bundle() != told {
            told = authority.bundle().clone();
            let trust_domain = format!("spiffe://{}", authority.trust_domain());
            let response = X509BundlesResponse { bundles: [(trust_domain, ders(&told))].into() };
            send(replies, response, plane.0.settings.limits.send).await?;
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = replies.closed() => return Ok(()),
            _ = drain.reached(Phase::Draining) => {
                return Err(Status::unavailable("this control plane ends"));
            }
        }
    }
}

/// Who the caller is. Everybody who has no identity hears the same (section 5.2).
fn admit(plane: &ControlPlane, peer: &Peer, metadata: &MetadataMap) -> Result<Attested, Status> {
    if metadata.get(SECURITY_KEY).is_none_or(|value| value != "true") {
        return Err(Status::invalid_argument(format!(
            "the header `{SECURITY_KEY}: true` is missing"
        )));
    }
    plane.attest(peer, &Claim::default()).map_err(|error| {
        tracing::info!(%peer, %error, "no identity is handed out");
        Status::permission_denied("no identity issued")
    })
}

fn ders(bundle: &TrustBundle) -> Vec<u8> {
    bundle.certificates().flat_map(|found| found.der().iter().copied()).collect()
}
