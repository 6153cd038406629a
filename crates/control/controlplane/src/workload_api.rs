//! The SPIFFE Workload API: identities for applications, and for other proxies, that bring their own
//! TLS. Their keys are made here, one for each stream; those of our proxies never come here.

use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};
use weft_authority::{Issued, LeafReport, ProxyReport, TrustBundle, renew_at};
use weft_model::id::WorkloadName;
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::time;
use weft_wire::workload_api::{
    SECURITY_KEY, X509BundlesRequest, X509BundlesResponse, X509Svid, X509SvidRequest,
    X509SvidResponse,
};

use crate::applications::Holder;
use crate::attest::{Attested, Claim, Peer};
use crate::discovery::send;
use crate::grpc::Replies;
use crate::metrics::{For, Given};
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
    let end = svids(&plane, &peer, request.metadata(), &replies, drain).await;
    tell("SVIDs", end, &peer, &replies).await;
}

/// Streams trust bundles: one now, and one whenever the roots have changed.
pub(crate) async fn fetch_bundles(
    plane: ControlPlane,
    peer: Peer,
    request: Request<X509BundlesRequest>,
    replies: Replies<X509BundlesResponse>,
    drain: Watch,
) {
    let end = bundles(&plane, &peer, request.metadata(), &replies, drain).await;
    tell("trust bundles", end, &peer, &replies).await;
}

/// Tells the caller why its stream has ended.
async fn tell<T>(what: &str, end: Result<(), Status>, peer: &Peer, replies: &Replies<T>) {
    if let Err(status) = end {
        tracing::info!(%peer, error = %status.message(), "a stream of {what} ends");
        // Fails when the caller is gone, who then need not be told.
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
    let holder = open(plane, &who)?;
    let mut ended = holder.ended();
    let mut changes = plane.0.keeper.changes();
    let clock = &plane.0.settings.clock;
    loop {
        let issued = tokio::select! {
            issued = issue(plane, peer, &who, &holder, replies) => issued?,
            _ = drain.reached(Phase::Draining) => return Err(ends()),
        };
        let due = renew_at(issued.validity.not_before, issued.validity.not_after, 0.5);
        loop {
            let left = due.duration_since(clock.now()).unwrap_or_default();
            if left.is_zero() {
                break;
            }
            tokio::select! {
                () = time::sleep(left.min(SLEEP_MAX)) => {}
                _ = changes.changed() => {
                    let now = plane.authority();
                    let root = now.rotation().signing().root().certificate().fingerprint();
                    if root != issued.root || *now.bundle() != issued.bundle {
                        break;
                    }
                }
                _ = ended.changed() => still(plane, peer, &who)?,
                () = replies.closed() => return Ok(()),
                _ = drain.reached(Phase::Draining) => return Err(ends()),
            }
        }
        still(plane, peer, &who)?;
    }
}

/// Hands out one SVID, when it is its turn.
async fn issue(
    plane: &ControlPlane,
    peer: &Peer,
    who: &Attested,
    holder: &Holder,
    replies: &Replies<X509SvidResponse>,
) -> Result<Issued, Status> {
    while let Err(left) = holder.may_have(time::now()) {
        tokio::select! {
            () = time::sleep(left) => {}
            () = replies.closed() => return Err(Status::cancelled("the caller is gone")),
        }
    }
    let settings = &plane.0.settings;
    let (credentials, issued) = credentials(&plane.authority(), &who.identity, settings)
        .map_err(|error| Status::unavailable(error.to_string()))?;
    let svid = X509Svid {
        spiffe_id: who.identity.to_string(),
        x509_svid: issued.chain.iter().flat_map(|found| found.iter().copied()).collect(),
        x509_svid_key: credentials.key.secret_der().to_vec(),
        bundle: ders(&issued.bundle),
    };
    // Clients of this API say nothing of what they do with it: it counts as in use. Beside the
    // workload's proxy, which presents a certificate of its own.
    let leaf =
        LeafReport { identity: who.identity.clone(), root: issued.root, validity: issued.validity };
    let given = holder.issued(ProxyReport {
        proxy: WorkloadName::new(format!("{} ({peer})", who.workload)),
        trusts: issued.bundle.fingerprints().collect(),
        leaf: Some(leaf),
        reported_at: settings.clock.now(),
    });
    plane.0.metrics.certificate(For::Application, given);
    send(replies, X509SvidResponse { svids: vec![svid] }, settings.limits.send).await?;
    tracing::info!(target: "audit", identity = %who.identity, %peer, "an SVID is handed out");
    Ok(issued)
}

async fn bundles(
    plane: &ControlPlane,
    peer: &Peer,
    metadata: &MetadataMap,
    replies: &Replies<X509BundlesResponse>,
    mut drain: Watch,
) -> Result<(), Status> {
    let who = admit(plane, peer, metadata)?;
    let holder = open(plane, &who)?;
    let mut ended = holder.ended();
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
            _ = ended.changed() => still(plane, peer, &who)?,
            () = replies.closed() => return Ok(()),
            _ = drain.reached(Phase::Draining) => return Err(ends()),
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
        plane.0.metrics.certificate(For::Application, Given::Refused);
        tracing::info!(%peer, %error, "no identity is handed out");
        Status::permission_denied("no identity issued")
    })
}

/// A stream of that workload.
fn open(plane: &ControlPlane, who: &Attested) -> Result<Holder, Status> {
    let opened = plane.0.applications.open(&who.workload);
    opened.map_err(|error| Status::resource_exhausted(error.to_string()))
}

/// Whether the caller is who it was when it came: its workload may have ended since, and the number
/// of its process may be another's now.
fn still(plane: &ControlPlane, peer: &Peer, who: &Attested) -> Result<(), Status> {
    match plane.attest(peer, &Claim::default()) {
        Ok(now) if now == *who => Ok(()),
        _ => Err(Status::permission_denied("no identity issued")),
    }
}

fn ends() -> Status {
    Status::unavailable("this control plane ends")
}

fn ders(bundle: &TrustBundle) -> Vec<u8> {
    bundle.certificates().flat_map(|found| found.der().iter().copied()).collect()
}
