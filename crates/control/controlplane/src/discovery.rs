//! The delta discovery stream of one proxy.

use std::time::Duration;

use tonic::{Status, Streaming};
use weft_distribute::{ProtocolError, Session};
use weft_runtime::drain::{Phase, Watch};
use weft_runtime::time;
use weft_wire::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};

use crate::attest::{Claim, Peer};
use crate::grpc::Replies;
use crate::plane::ControlPlane;

/// Serves the stream until one side ends it.
pub(crate) async fn serve(
    plane: ControlPlane,
    peer: Peer,
    mut requests: Streaming<DeltaDiscoveryRequest>,
    replies: Replies<DeltaDiscoveryResponse>,
    drain: Watch,
) {
    if let Err(status) = run(&plane, &peer, &mut requests, &replies, drain).await {
        tracing::info!(%peer, error = %status.message(), "the stream of a proxy ends");
        // Fails when the peer is gone, who then need not be told.
        let _ = replies.send(Err(status)).await;
    }
}

async fn run(
    plane: &ControlPlane,
    peer: &Peer,
    requests: &mut Streaming<DeltaDiscoveryRequest>,
    replies: &Replies<DeltaDiscoveryResponse>,
    mut drain: Watch,
) -> Result<(), Status> {
    let limits = plane.0.settings.limits;
    let request = first(requests, limits.handshake).await?;
    let node = request.node.clone().unwrap_or_default();
    let claim = Claim::parse(&node.id, &node.cluster)?;
    let who = plane.attest(peer, &claim)?;
    let mut session = Session::new(who.workload.clone());
    session.receive(request).map_err(refused)?;
    let connected =
        plane.0.registry.connected(&who, peer, &node.user_agent_version, session.status());
    tracing::info!(workload = %who.workload, %peer, "a proxy is connected");
    let mut published = plane.0.published.clone();
    loop {
        // Only looked at here, so that what is sent is the newest, however long the last took.
        let response = session.respond(&published.borrow_and_update());
        if let Some(response) = response {
            plane.0.metrics.pushed(&response);
            send(replies, response, limits.send).await?;
            connected.sent(session.status());
        }
        tokio::select! {
            message = requests.message() => match message? {
                Some(request) => {
                    plane.0.metrics.answered(&request);
                    for rejected in &request.rejected {
                        let (workload, resource, reason) =
                            (&who.workload, &rejected.name, &rejected.reason);
                        tracing::warn!(%workload, resource, reason, "a resource is not taken");
                    }
                    session.receive(request).map_err(refused)?;
                    connected.heard(session.status());
                }
                None => return Ok(()),
            },
            changed = published.changed() => if changed.is_err() {
                return Err(Status::unavailable("this control plane ends"));
            },
            _ = drain.reached(Phase::Draining) => {
                return Err(Status::unavailable("this control plane ends"));
            }
        }
    }
}

/// The first message of a stream, which says who is there.
pub(crate) async fn first<T>(requests: &mut Streaming<T>, limit: Duration) -> Result<T, Status> {
    match time::timeout(limit, requests.message()).await {
        Ok(message) => message?.ok_or_else(|| Status::cancelled("the stream ends unused")),
        Err(time::Elapsed) => Err(Status::deadline_exceeded("nothing was said on the stream")),
    }
}

/// Sends, to peers that take what they are sent.
pub(crate) async fn send<T>(
    replies: &Replies<T>,
    message: T,
    limit: Duration,
) -> Result<(), Status> {
    match time::timeout(limit, replies.send(Ok(message))).await {
        Ok(sent) => sent.map_err(|_| Status::cancelled("the proxy has ended the stream")),
        Err(time::Elapsed) => Err(Status::deadline_exceeded("the proxy does not read")),
    }
}

fn refused(error: ProtocolError) -> Status {
    let text = error.to_string();
    match error {
        ProtocolError::NoVersion | ProtocolError::Version { .. } => {
            Status::failed_precondition(text)
        }
        ProtocolError::TooMany | ProtocolError::HasTooMany => Status::resource_exhausted(text),
        ProtocolError::Kind(_) | ProtocolError::Name | ProtocolError::ResourceVersion(_) => {
            Status::invalid_argument(text)
        }
    }
}
