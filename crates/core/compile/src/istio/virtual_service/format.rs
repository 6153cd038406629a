//! Values of headers with what Envoy fills in: `%REQ(x-user)%`, `%PROTOCOL%` and so on.

#[cfg(test)]
mod tests;

use weft_model::policy::{Fact, MessagePart, ValuePart};

/// Whose headers they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

/// The parts of a value, texts next to each other joined; a value without anything to fill in is one
/// text, or nothing.
///
/// # Errors
///
/// What is not filled in here.
pub(super) fn parts(value: &str, side: Side) -> Result<Vec<ValuePart>, &str> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            text.push('%');
            rest = after;
            continue;
        }
        let Some((operator, after)) = after.split_once('%') else { return Err(rest) };
        let fact = fact(operator, side).ok_or(operator)?;
        if !text.is_empty() {
            parts.push(ValuePart::Text(std::mem::take(&mut text).into()));
        }
        parts.push(ValuePart::Fact(fact));
        rest = after;
    }
    text.push_str(rest);
    if !text.is_empty() {
        parts.push(ValuePart::Text(text.into()));
    }
    Ok(parts)
}

fn fact(operator: &str, side: Side) -> Option<Fact> {
    let fact = match operator {
        "DOWNSTREAM_REMOTE_ADDRESS" | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS" => Fact::ClientAddr,
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT"
        | "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Fact::ClientIp,
        "DOWNSTREAM_LOCAL_PORT" => Fact::LocalPort,
        "PROTOCOL" => Fact::Protocol,
        "RESPONSE_CODE" => Fact::Status,
        _ => {
            let command = if side == Side::Request { "REQ(" } else { "RESP(" };
            return named(operator.strip_prefix(command)?, side);
        }
    };
    let is_known = (side == Side::Response) == (fact == Fact::Status);
    is_known.then_some(fact)
}

/// `NAME?OTHER):LENGTH`, of which all but the name may be absent.
fn named(arguments: &str, side: Side) -> Option<Fact> {
    let (names, length) = arguments.split_once(')')?;
    let bytes_max = match length.strip_prefix(':') {
        Some(number) => Some(number.parse().ok()?),
        None if length.is_empty() => None,
        None => return None,
    };
    let part = |name: &str| {
        let part = MessagePart::new(&name.trim().to_ascii_lowercase())?;
        let is_there = side == Side::Request || matches!(part, MessagePart::Field(_));
        is_there.then_some(part)
    };
    let parts = names.splitn(2, '?').map(part).collect::<Option<Vec<_>>>()?;
    Some(Fact::Named { parts, bytes_max })
}
