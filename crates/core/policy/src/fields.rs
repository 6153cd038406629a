//! Edits of header fields.

mod made;
#[cfg(test)]
mod tests;

use weft_message::{FieldName, Fields, InvalidFieldValue, Known, RequestHead, ResponseHead};
use weft_model::outcome::Reason;
use weft_model::policy::{HeaderEdits, MadeHeader};

use crate::step::{RequestContext, Verdict};

/// Whether a step may set, add or remove this field.
///
/// The fields that frame a message or belong to one hop (RFC 9110 section 7.6.1) are the codec's:
/// a step that changed them could make the next reader see other messages than we sent. `Host` is
/// settable: on a request it means the authority, and is otherwise left alone.
pub fn is_settable(name: &FieldName) -> bool {
    !is_framing(name.id())
}

/// Whether the field frames a message or belongs to one hop.
pub(crate) fn is_framing(id: Option<Known>) -> bool {
    matches!(
        id,
        Some(
            Known::Connection
                | Known::ContentLength
                | Known::TransferEncoding
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::Te
                | Known::Trailer
                | Known::Upgrade
                | Known::Http2Settings
        )
    )
}

/// Applies edits to a request, in the order set, add, remove. `Host` sets the authority.
///
/// What is set or removed is so under every spelling that an upstream may read as the same name
/// (`X_Tenant` for `X-Tenant`): a client must not get past a header that the gateway decides.
///
/// Fields that are not settable are passed over; `compile` reports them.
pub(crate) fn edit_request(edits: &HeaderEdits, ctx: &mut RequestContext<'_>) -> Verdict {
    for (name, value) in edits.set.iter().chain(&edits.add).filter(|(name, _)| is_host(name)) {
        if let Err(error) = ctx.head.set_authority(value) {
            return ctx.refuse(Reason::Internal, format!("{name} `{value}`: {error}"));
        }
    }
    let RequestContext { client, head, scratch, .. } = ctx;
    let make = |header: &MadeHeader, head: &RequestHead, into: &mut String| {
        made::of_request(header, *client, head, into);
    };
    match apply(edits, Names::Folded, &mut **head, |head| &mut head.fields, scratch, make) {
        Ok(()) => Verdict::Continue,
        Err((name, error)) => ctx.refuse_field(name.as_str(), error),
    }
}

/// Applies edits to a response, in the order set, add, remove.
pub(crate) fn edit_response(
    edits: &HeaderEdits,
    head: &mut ResponseHead,
    scratch: &mut String,
) -> Result<(), InvalidFieldValue> {
    apply(edits, Names::Exact, head, |head| &mut head.fields, scratch, made::of_response)
        .map_err(|(_, error)| error)
}

/// Which names an edit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// This one.
    Exact,
    /// Every one that folds to it.
    Folded,
}

/// A field that could not be edited, and why.
type Refused<'e> = (&'e FieldName, InvalidFieldValue);

/// Applies edits to the fields of a message of which `make` makes values.
fn apply<'e, H>(
    edits: &'e HeaderEdits,
    names: Names,
    head: &mut H,
    fields: impl Fn(&mut H) -> &mut Fields,
    scratch: &mut String,
    make: impl Fn(&MadeHeader, &H, &mut String),
) -> Result<(), Refused<'e>> {
    let HeaderEdits { set, add, made, remove } = edits;
    for (name, value) in set {
        set_one(name, value, fields(head), names)?;
    }
    for header in made.iter().filter(|header| !header.adds) {
        make(header, head, scratch);
        if !scratch.is_empty() {
            set_one(&header.name, scratch, fields(head), names)?;
        }
    }
    for (name, value) in add {
        add_one(name, value, fields(head))?;
    }
    for header in made.iter().filter(|header| header.adds) {
        make(header, head, scratch);
        if !scratch.is_empty() {
            add_one(&header.name, scratch, fields(head))?;
        }
    }
    for name in remove.iter().filter(|name| is_ours(name)) {
        match names {
            Names::Exact => fields(head).remove(name),
            Names::Folded => fields(head).remove_folded(name),
        };
    }
    Ok(())
}

fn set_one<'e>(
    name: &'e FieldName,
    value: &str,
    fields: &mut Fields,
    names: Names,
) -> Result<(), Refused<'e>> {
    let set = match names {
        _ if !is_ours(name) => return Ok(()),
        Names::Exact => fields.set(name, value.as_bytes()),
        Names::Folded => fields.set_folded(name, value.as_bytes()),
    };
    set.map_err(|error| (name, error))
}

fn add_one<'e>(name: &'e FieldName, value: &str, fields: &mut Fields) -> Result<(), Refused<'e>> {
    match is_ours(name) {
        true => fields.append(name, value.as_bytes()).map_err(|error| (name, error)),
        false => Ok(()),
    }
}

fn is_ours(name: &FieldName) -> bool {
    is_settable(name) && !is_host(name)
}

fn is_host(name: &FieldName) -> bool {
    name.id() == Some(Known::Host)
}
