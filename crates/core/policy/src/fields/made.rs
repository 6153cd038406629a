//! Values that are put together of what a message is.

use std::fmt::Write as _;

use weft_message::{Fields, RequestHead, ResponseHead, Version};
use weft_model::policy::{Fact, MadeHeader, MessagePart, ValuePart};

use crate::step::ClientFacts;

/// Makes a value for a request. What it has not is left out.
pub(super) fn of_request(
    header: &MadeHeader,
    client: ClientFacts,
    head: &RequestHead,
    into: &mut String,
) {
    into.clear();
    for part in &header.parts {
        // Writing to a text cannot fail.
        let _ = match part {
            ValuePart::Text(text) => into.write_str(text),
            ValuePart::Fact(Fact::ClientAddr) => {
                let (ip, port) = (client.peer, client.peer_port);
                write!(into, "{}", std::net::SocketAddr::new(ip, port))
            }
            ValuePart::Fact(Fact::ClientIp) => write!(into, "{}", client.peer),
            ValuePart::Fact(Fact::LocalPort) => write!(into, "{}", client.listener_port),
            ValuePart::Fact(Fact::Protocol) => into.write_str(protocol(head.version())),
            ValuePart::Fact(Fact::Status) => Ok(()),
            ValuePart::Fact(Fact::Named { parts, bytes_max }) => {
                let find = |part: &MessagePart| match part {
                    MessagePart::Field(name) => {
                        head.fields.get_str(name).map(|value| (value, None))
                    }
                    MessagePart::Path => Some((head.path(), head.query())),
                    MessagePart::Authority => Some((head.authority(), None)),
                    MessagePart::Method => Some((head.method().as_str(), None)),
                    MessagePart::Scheme => Some((head.scheme().as_str(), None)),
                };
                let start = into.len();
                if let Some((value, query)) = parts.iter().find_map(find) {
                    into.push_str(value);
                    query.into_iter().for_each(|query| into.extend(["?", query]));
                }
                cut(into, start, *bytes_max);
                Ok(())
            }
        };
    }
}

/// Makes a value for an answer. What it has not is left out.
pub(super) fn of_response(header: &MadeHeader, head: &ResponseHead, into: &mut String) {
    into.clear();
    for part in &header.parts {
        // Writing to a text cannot fail.
        let _ = match part {
            ValuePart::Text(text) => into.write_str(text),
            ValuePart::Fact(Fact::Status) => write!(into, "{}", head.status()),
            ValuePart::Fact(Fact::Named { parts, bytes_max }) => {
                let start = into.len();
                into.push_str(
                    parts.iter().find_map(|part| field(part, &head.fields)).unwrap_or(""),
                );
                cut(into, start, *bytes_max);
                Ok(())
            }
            ValuePart::Fact(
                Fact::ClientAddr | Fact::ClientIp | Fact::LocalPort | Fact::Protocol,
            ) => Ok(()),
        };
    }
}

fn field<'f>(part: &MessagePart, fields: &'f Fields) -> Option<&'f str> {
    match part {
        MessagePart::Field(name) => fields.get_str(name),
        _ => None,
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
