//! Values that are put together of what a message is.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use weft_message::{RequestHead, ResponseHead, Version};
use weft_model::policy::{Fact, MadeHeader, MessagePart, ValuePart};

use crate::step::ClientFacts;

/// Makes a value for a request. What it has not is left out.
pub(super) fn of_request(
    header: &MadeHeader,
    client: ClientFacts,
    head: &RequestHead,
    into: &mut String,
) {
    let find = |part: &MessagePart| match part {
        MessagePart::Field(name) => head.fields.get_str(name).map(|value| (value, None)),
        MessagePart::Path => Some((head.path(), head.query())),
        MessagePart::Authority => Some((head.authority(), None)),
        MessagePart::Method => Some((head.method().as_str(), None)),
        MessagePart::Scheme => Some((head.scheme().as_str(), None)),
    };
    put_together(header, into, find, |fact, into| match fact {
        Fact::ClientAddr => write!(into, "{}", SocketAddr::new(client.peer, client.peer_port)),
        Fact::ClientIp => write!(into, "{}", client.peer),
        Fact::LocalPort => write!(into, "{}", client.listener_port),
        Fact::Protocol => into.write_str(protocol(head.version())),
        Fact::Status | Fact::Named { .. } => Ok(()),
    });
}

/// Makes a value for an answer. What it has not is left out.
pub(super) fn of_response(header: &MadeHeader, head: &ResponseHead, into: &mut String) {
    let find = |part: &MessagePart| match part {
        MessagePart::Field(name) => head.fields.get_str(name).map(|value| (value, None)),
        _ => None,
    };
    put_together(header, into, find, |fact, into| match fact {
        Fact::Status => write!(into, "{}", head.status()),
        _ => Ok(()),
    });
}

/// Makes a value of texts, of parts of the message (each with a query behind it, if it has one), and
/// of what `tell` writes of other facts.
fn put_together<'h>(
    header: &MadeHeader,
    into: &mut String,
    find: impl Fn(&MessagePart) -> Option<(&'h str, Option<&'h str>)>,
    tell: impl Fn(&Fact, &mut String) -> fmt::Result,
) {
    into.clear();
    for part in &header.parts {
        // Writing to a text cannot fail.
        let _ = match part {
            ValuePart::Text(text) => into.write_str(text),
            ValuePart::Fact(Fact::Named { parts, bytes_max }) => {
                let start = into.len();
                if let Some((value, query)) = parts.iter().find_map(&find) {
                    into.push_str(value);
                    query.into_iter().for_each(|query| into.extend(["?", query]));
                }
                cut(into, start, *bytes_max);
                Ok(())
            }
            ValuePart::Fact(fact) => tell(fact, into),
        };
    }
}

/// Leaves so many bytes of what was written from `start` on, or fewer where that would cut a
/// character.
fn cut(text: &mut String, start: usize, bytes_max: Option<u32>) {
    let Some(max) = bytes_max.and_then(|max| usize::try_from(max).ok()) else { return };
    let end = text.floor_char_boundary(start.saturating_add(max).min(text.len()));
    text.truncate(end.max(start));
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}
