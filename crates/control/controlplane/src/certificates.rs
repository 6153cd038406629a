//! The certificate service.

use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};
use weft_authority::{
    CSR_BYTES_MAX, CannotIssue, Fingerprint, Issued, LeafReport, ProxyReport, TrustBundle, Validity,
};
use weft_model::identity::Identity;
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::time;
use weft_wire::certificate::{RootsRequest, RootsResponse, SignRequest, SignResponse, TOKEN_KEY};
use weft_wire::{VERSION, common_version};

use crate::attest::{Attested, Claim, NotAttested, Peer};
use crate::discovery::{first, send};
use crate::grpc::Replies;
use crate::keeper::CannotChange;
use crate::metrics::{For, Given};
use crate::plane::ControlPlane;

/// Roots that a proxy may say to trust; there are two while one takes over from another.
const TRUSTED_MAX: usize = 64;

/// Answers a request for a certificate.
pub(crate) async fn sign(
    plane: &ControlPlane,
    peer: &Peer,
    request: Request<SignRequest>,
) -> Result<SignResponse, Status> {
    let answer = issue(plane, peer, request).await;
    if let Err(status) = &answer {
        plane.0.metrics.certificate(For::Proxy, Given::Refused);
        let error = status.message();
        tracing::warn!(target: "audit", %peer, error, "no certificate is issued");
    }
    answer
}

async fn issue(
    plane: &ControlPlane,
    peer: &Peer,
    request: Request<SignRequest>,
) -> Result<SignResponse, Status> {
    let (metadata, _, request) = request.into_parts();
    if common_version(VERSION, request.version).is_none() {
        return Err(Status::failed_precondition(format!(
            "the proxy speaks version {}, this control plane {VERSION}: update the older one",
            request.version
        )));
    }
    if request.csr.len() > CSR_BYTES_MAX {
        return Err(Status::invalid_argument("the signing request is too long"));
    }
    let claim = Claim::parse(&request.workload, &request.identity)?;
    let (who, issued, by) = match peer {
        Peer::Unknown { .. } => by_token(plane, &metadata, &claim, &request.csr).await?,
        _ => {
            let who = match peer {
                Peer::Returning { identity, not_after, .. } => {
                    plane.readmit(identity, *not_after, &claim)?
                }
                _ => plane.attest(peer, &claim)?,
            };
            // A token is for one certificate, so that only here somebody can go on and on.
            plane.0.pace.take(&who.identity, time::now()).map_err(|_| {
                Status::resource_exhausted(format!("{} asks too often", who.identity))
            })?;
            let now = plane.0.settings.clock.now();
            let issued = plane.0.keeper.authority().sign(&request.csr, &who.identity, now);
            let by = match peer {
                Peer::Certified { .. } => "certificate",
                Peer::Returning { .. } => "ended certificate",
                _ => "socket",
            };
            (who, issued.map_err(cannot_issue)?, by)
        }
    };
    tracing::info!(
        target: "audit",
        workload = %who.workload,
        identity = %who.identity,
        peer = %peer,
        attested_by = by,
        root = %issued.root.short(),
        not_after_secs = secs(issued.validity.not_after),
        "a certificate is issued",
    );
    let trusts: Vec<Fingerprint> = issued.bundle.fingerprints().collect();
    let Issued { chain, bundle, root, validity } = issued;
    let leaf = LeafReport { identity: who.identity.clone(), root, validity };
    let given = plane.0.registry.issued(&who, &trusts, leaf);
    plane.0.metrics.certificate(For::Proxy, given);
    Ok(SignResponse {
        chain: chain.iter().map(|found| found.to_vec()).collect(),
        roots: ders(&bundle),
        version: VERSION,
    })
}

/// Serves the stream that carries the roots to trust.
pub(crate) async fn roots(
    plane: ControlPlane,
    peer: Peer,
    mut requests: Streaming<RootsRequest>,
    replies: Replies<RootsResponse>,
    drain: Watch,
) {
    if let Err(status) = serve_roots(&plane, &peer, &mut requests, &replies, drain).await {
        tracing::debug!(%peer, error = %status.message(), "a stream of roots ends");
        // Fails when the peer is gone, who then need not be told.
        let _ = replies.send(Err(status)).await;
    }
}

async fn serve_roots(
    plane: &ControlPlane,
    peer: &Peer,
    requests: &mut Streaming<RootsRequest>,
    replies: &Replies<RootsResponse>,
    mut drain: Watch,
) -> Result<(), Status> {
    let limits = plane.0.settings.limits;
    let mut request = first(requests, limits.handshake).await?;
    let claim = Claim::parse(&request.workload, &request.identity)?;
    let who = plane.attest(peer, &claim)?;
    let mut changes = plane.0.keeper.changes();
    let mut told: Option<RootsResponse> = None;
    loop {
        let own = report(plane, &who, &request)?;
        let authority = plane.0.keeper.authority();
        let signing = authority.rotation().signing().root().certificate().fingerprint();
        let next = RootsResponse {
            roots: ders(authority.bundle()),
            renew: own.leaf.is_some_and(|leaf| leaf.root != signing),
        };
        let is_known = !next.renew && authority.bundle().fingerprints().eq(own.trusts);
        if told.as_ref() != Some(&next) && (told.is_some() || !is_known) {
            send(replies, next.clone(), limits.send).await?;
        }
        told = Some(next);
        tokio::select! {
            message = requests.message() => match message? {
                Some(message) => request = message,
                None => return Ok(()),
            },
            _ = changes.changed() => {}
            _ = drain.reached(Phase::Draining) => {
                return Err(Status::unavailable("this control plane ends"));
            }
        }
    }
}

/// Takes down what a proxy says of itself.
fn report(
    plane: &ControlPlane,
    who: &Attested,
    request: &RootsRequest,
) -> Result<ProxyReport, Status> {
    let now = plane.0.settings.clock.now();
    if request.trusted.len() > TRUSTED_MAX {
        return Err(Status::invalid_argument("too many roots are trusted"));
    }
    let trusts =
        request.trusted.iter().map(|bytes| fingerprint(bytes)).collect::<Result<_, _>>()?;
    let leaf = match request.own.as_slice() {
        [] => None,
        own => {
            // Nothing that was signed here ends later, whatever is said.
            let latest = now + plane.0.keeper.authority().lifetimes().leaf;
            let not_after =
                UNIX_EPOCH + Duration::from_secs(request.own_not_after_secs.min(secs(latest)));
            let validity = Validity::new(now.min(not_after), not_after);
            Some(LeafReport { identity: who.identity.clone(), root: fingerprint(own)?, validity })
        }
    };
    let report = ProxyReport { proxy: who.workload.clone(), trusts, leaf, reported_at: now };
    match request.goodbye {
        true => plane.0.registry.goodbye(&who.workload, report.leaf.as_ref()),
        false => plane.0.registry.reported(report.clone()),
    }
    Ok(report)
}

/// A first certificate, for who has nothing but a token.
async fn by_token(
    plane: &ControlPlane,
    metadata: &MetadataMap,
    claim: &Claim,
    csr: &[u8],
) -> Result<(Attested, Issued, &'static str), Status> {
    let token = metadata.get(TOKEN_KEY).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let token = token.ok_or_else(|| {
        Status::unauthenticated("there is neither a certificate of this mesh nor a join token")
    })?;
    let identity = claim.identity.clone();
    let identity: Identity =
        identity.ok_or_else(|| NotAttested("no identity is claimed".to_owned()))?;
    let who = Attested::by_identity(&identity, claim, &plane.0.published.borrow())?;
    let who = plane.admit(who)?;
    let now = plane.0.settings.clock.now();
    let made = plane.0.keeper.change(|state| {
        let redeemed = state.tokens.redeem(token, &identity, now);
        redeemed.map_err(|error| Status::unauthenticated(error.to_string()))?;
        // Within the change: a request that cannot be signed does not use the token up.
        state.authority.sign(csr, &identity, now).map_err(cannot_issue)
    });
    match made.await {
        Ok(issued) => Ok((who, issued, "token")),
        Err(CannotChange::Refused(status)) => {
            let error = status.message();
            tracing::warn!(target: "audit", %identity, %error, "a join token is refused");
            Err(status)
        }
        Err(CannotChange::NotKept(error)) => {
            tracing::error!(error = &error as &dyn Error, "the use of a join token is not kept");
            Err(Status::unavailable("the authority cannot write its state"))
        }
    }
}

fn cannot_issue(error: CannotIssue) -> Status {
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    match error {
        CannotIssue::Csr { .. } => Status::invalid_argument(text),
        CannotIssue::TrustDomain { .. } => Status::permission_denied(text),
        CannotIssue::Unusable(_) => {
            tracing::error!(error = %text, "no certificate can be issued");
            Status::unavailable(text)
        }
    }
}

fn fingerprint(bytes: &[u8]) -> Result<Fingerprint, Status> {
    let bytes = <[u8; 32]>::try_from(bytes);
    bytes.map(Fingerprint::from_bytes).map_err(|_| Status::invalid_argument("that is no SHA-256"))
}

fn ders(bundle: &TrustBundle) -> Vec<Vec<u8>> {
    bundle.certificates().map(|found| found.der().to_vec()).collect()
}

fn secs(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl From<NotAttested> for Status {
    fn from(error: NotAttested) -> Self {
        Self::permission_denied(error.to_string())
    }
}
