//! Putting a request on a connection: its head as this attempt and this backend want it.

use weft_http::Leg;
use weft_http::error::WriteError;
use weft_http::h2::Client;
use weft_message::h1::{BodyFraming, write_request, write_upgrade_request};
use weft_message::{Known, RequestHead, UpgradeToken, Version, peer};
use weft_model::backend::HostHeader;
use weft_resilience::grpc;
use weft_upstream::{Connection, Lease, Speaks};

use crate::exchange::Exchange;
use crate::request::Scope;
use crate::spool::Whole as _;

/// How a request is put on a connection, besides what its head says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sending<'a> {
    /// How its body is framed over HTTP/1.1; over HTTP/2, whether there is one, and its length.
    pub(crate) framing: BodyFraming,
    /// The protocol that it asks for.
    pub(crate) upgrade: Option<&'a UpgradeToken>,
    /// Whoever asks takes trailers.
    pub(crate) te_trailers: bool,
}

// === impl Sending ===

impl Sending<'_> {
    /// Puts a head on a connection. What the connection is told besides is taken out again.
    pub(crate) fn begin(
        self,
        head: &mut RequestHead,
        connection: Connection,
    ) -> Result<Leg, WriteError> {
        match connection {
            Connection::H1(mut conn) => {
                let framing = self.framing;
                conn.begin_message(framing, |out| match self.upgrade {
                    Some(protocol) => write_upgrade_request(head, framing, protocol, out),
                    None => write_request(head, framing, out),
                });
                Ok(Leg::H1(conn))
            }
            Connection::Mesh(client, destination) => {
                peer::set_destination(&mut head.fields, destination);
                let begun = self.begin_h2(head, client);
                peer::remove_destination(&mut head.fields);
                begun
            }
            Connection::H2(client) => self.begin_h2(head, client),
        }
    }

    fn begin_h2(self, head: &mut RequestHead, mut client: Client) -> Result<Leg, WriteError> {
        if self.te_trailers {
            // gRPC servers insist on it; it is one hop's, so it was stripped. There was room for it
            // in the head that it came with.
            let _ = head.fields.set(Known::Te, b"trailers");
        }
        let came_with_length = head.fields.contains(Known::ContentLength);
        if let BodyFraming::Length(length) = self.framing {
            // Frames need no length, but whoever is behind them may: of the fields of a request over
            // HTTP/1.1, it went into the framing.
            let _ = head.fields.set(Known::ContentLength, length.to_string().as_bytes());
        }
        let begun = client.begin_request(head, self.framing == BodyFraming::None);
        head.fields.remove(Known::Te);
        if !came_with_length {
            head.fields.remove(Known::ContentLength);
        }
        Ok(Leg::H2(begun?))
    }
}

// === functions ===

/// What the connection has to speak.
pub(crate) fn speaks(scope: &Scope<'_>, x: &Exchange) -> Speaks {
    let is_grpc = x.req.fields.get(Known::ContentType).is_some_and(grpc::is_content_type);
    match (&x.facts.upgrade, scope.conn.meant()) {
        // Only HTTP/1.1 has upgrades.
        (Some(_), _) => Speaks::Http1,
        // An application that begins with HTTP/2 knows that the other side speaks it.
        (None, Some(meant)) if x.req.version() == Version::Http2 && !meant.carried => Speaks::Http2,
        // What a proxy passes on for others may be HTTP/1.1 as well, but not this.
        (None, Some(_)) if is_grpc => Speaks::Http2,
        (None, _) => Speaks::Any,
    }
}

/// Does something while the request names the host that the backend wants to see. What comes after
/// (another backend, a mirror, the log) has to see the client's again.
pub(super) fn with_host<T>(
    x: &mut Exchange,
    lease: &Lease,
    act: impl FnOnce(&mut Exchange) -> T,
) -> T {
    let original: Box<str> = match &lease.backend().settings().host {
        HostHeader::Pass => return act(x),
        HostHeader::Endpoint => {
            let original = x.req.authority().into();
            // An address is always a valid authority.
            let _ = x.req.set_authority(&lease.endpoint().addr().to_string());
            original
        }
        HostHeader::Set(host) => {
            let original = x.req.authority().into();
            // `compile` has checked it.
            let _ = x.req.set_authority(host);
            original
        }
    };
    let done = act(x);
    // It was there before.
    let _ = x.req.set_authority(&original);
    done
}

/// Puts the request's head on a connection.
pub(super) fn begin(x: &mut Exchange, connection: Connection) -> Result<Leg, WriteError> {
    let sending = Sending {
        framing: framing_upstream(x),
        upgrade: x.facts.upgrade.as_ref(),
        te_trailers: x.facts.te_trailers,
    };
    sending.begin(&mut x.req, connection)
}

/// How the body is framed towards an HTTP/1.1 upstream. A body that is held whole has a known
/// length, whatever the client said.
fn framing_upstream(x: &Exchange) -> BodyFraming {
    match x.body.whole() {
        Some(body) if x.facts.framing != BodyFraming::None => BodyFraming::Length(body.len()),
        _ => x.facts.framing,
    }
}
