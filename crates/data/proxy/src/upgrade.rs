//! A connection that becomes another protocol's (WebSocket and others).

use std::future::poll_fn;

use weft_http::Leg;
use weft_http::error::WriteError;
use weft_message::UpgradeToken;
use weft_message::h1::{BodyFraming, Persistence, write_response};
use weft_model::outcome::Reason;

use crate::attempt::Answered;
use crate::exchange::Exchange;
use crate::plain::Plain;
use crate::request::{Scope, Stop};
use crate::serve_tcp::{self, Bounds};

/// The upstream has agreed (101): tells the client, then copies bytes both ways until both sides
/// have ended. Bytes that came early are kept in order.
pub(crate) async fn tunnel(
    scope: &Scope<'_>,
    x: &mut Exchange,
    down: &mut Leg,
    answered: Answered,
    protocol: Option<UpgradeToken>,
) -> Result<Reason, Stop> {
    let Answered { up, lease, sender, .. } = answered;
    let now = scope.conn.worker.now();
    let unasked =
        || Stop::because(Reason::UpstreamProtocol, "101 without having been asked for it");
    // Before the end of the request nobody could tell its body from the other protocol's bytes.
    let asked = x.facts.upgrade.is_some() && sender.is_done() && down.is_body_complete();
    let (Some(protocol), true) = (protocol, asked) else { return Err(unasked()) };
    let (Leg::H1(mut up), Leg::H1(client)) = (up, down) else { return Err(unasked()) };
    lease.ended(now, None);
    x.record.status = 101;
    let rsp = &x.rsp;
    client.begin_message(BodyFraming::None, |out| {
        write_response(rsp, BodyFraming::None, Persistence::Upgrade(&protocol), out);
    });
    let gone = |error: WriteError| Stop::Cut(Reason::ClientGone, Some(error.to_string().into()));
    poll_fn(|cx| client.poll_flush(cx)).await.map_err(gone)?;
    let (client, early) = client.take_parts();
    let server = up.take_parts();
    let relayed =
        serve_tcp::relay(scope, (Plain::open(client), early), server, Bounds::default()).await;
    x.record.request_bytes = relayed.forth;
    x.record.response_bytes = relayed.back;
    Ok(Reason::Upstream)
}
