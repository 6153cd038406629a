//! Putting a request on a connection: its head as this attempt and this backend want it.

use weft_http::Leg;
use weft_http::error::WriteError;
use weft_message::h1::{BodyFraming, write_request, write_upgrade_request};
use weft_message::{Known, Version, peer};
use weft_model::backend::HostHeader;
use weft_policy::answer;
use weft_upstream::{Connection, Lease, Speaks};

use crate::exchange::Exchange;
use crate::request::Scope;
use crate::spool::Whole as _;

/// What the connection has to speak.
pub(super) fn speaks(scope: &Scope<'_>, x: &Exchange) -> Speaks {
    match (&x.facts.upgrade, scope.conn.meant()) {
        // Only HTTP/1.1 has upgrades.
        (Some(_), _) => Speaks::Http1,
        // An application that begins with HTTP/2 knows that the other side speaks it.
        (None, Some(meant)) if x.req.version() == Version::Http2 && !meant.carried => Speaks::Http2,
        // What a proxy passes on for others may be HTTP/1.1 as well, but not this.
        (None, Some(_)) if is_grpc(x) => Speaks::Http2,
        (None, _) => Speaks::Any,
    }
}

fn is_grpc(x: &Exchange) -> bool {
    x.req.fields.get(Known::ContentType).is_some_and(answer::is_grpc)
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
    match connection {
        Connection::H1(mut conn) => {
            let framing = framing_upstream(x);
            conn.begin_message(framing, |out| match &x.facts.upgrade {
                Some(protocol) => write_upgrade_request(&x.req, framing, protocol, out),
                None => write_request(&x.req, framing, out),
            });
            Ok(Leg::H1(conn))
        }
        Connection::Mesh(client, destination) => {
            peer::set_destination(&mut x.req.fields, destination);
            let begun = begin(x, Connection::H2(client));
            peer::remove_destination(&mut x.req.fields);
            begun
        }
        Connection::H2(mut client) => {
            if x.facts.te_trailers {
                // gRPC servers insist on it; it is one hop's, so it was stripped. There was room
                // for it in the head that it came with.
                let _ = x.req.fields.set(Known::Te, b"trailers");
            }
            let came_with_length = x.req.fields.contains(Known::ContentLength);
            if let BodyFraming::Length(length) = framing_upstream(x) {
                // Frames need no length, but whoever is behind them may: of the fields of a request
                // over HTTP/1.1, it went into the framing.
                let _ = x.req.fields.set(Known::ContentLength, length.to_string().as_bytes());
            }
            let begun = client.begin_request(&x.req, x.facts.framing == BodyFraming::None);
            x.req.fields.remove(Known::Te);
            if !came_with_length {
                x.req.fields.remove(Known::ContentLength);
            }
            Ok(Leg::H2(begun?))
        }
    }
}

/// How the body is framed towards an HTTP/1.1 upstream. A body that is held whole has a known
/// length, whatever the client said.
fn framing_upstream(x: &Exchange) -> BodyFraming {
    match x.body.whole() {
        Some(body) if x.facts.framing != BodyFraming::None => BodyFraming::Length(body.len()),
        _ => x.facts.framing,
    }
}
