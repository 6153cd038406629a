//! Edits of header fields.

#[cfg(test)]
mod tests;

use weft_message::{FieldName, Fields, InvalidFieldValue, Known, ResponseHead};
use weft_model::outcome::Reason;
use weft_model::policy::HeaderEdits;

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
    let HeaderEdits { set, add, remove } = edits;
    for (name, value) in set.iter().chain(add).filter(|(name, _)| is_host(name)) {
        if let Err(error) = ctx.head.set_authority(value) {
            return ctx.refuse(Reason::Internal, format!("{name} `{value}`: {error}"));
        }
    }
    let applied = apply(set, add, remove, &mut ctx.head.fields, Names::Folded);
    match applied {
        Ok(()) => Verdict::Continue,
        Err((name, error)) => ctx.refuse_field(name.as_str(), error),
    }
}

/// Applies edits to a response, in the order set, add, remove.
pub(crate) fn edit_response(
    edits: &HeaderEdits,
    head: &mut ResponseHead,
) -> Result<(), InvalidFieldValue> {
    let HeaderEdits { set, add, remove } = edits;
    apply(set, add, remove, &mut head.fields, Names::Exact).map_err(|(_, error)| error)
}

/// Which names an edit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// This one.
    Exact,
    /// Every one that folds to it.
    Folded,
}

fn apply<'a>(
    set: &'a [(FieldName, Box<str>)],
    add: &'a [(FieldName, Box<str>)],
    remove: &[FieldName],
    fields: &mut Fields,
    names: Names,
) -> Result<(), (&'a FieldName, InvalidFieldValue)> {
    let is_ours = |name: &FieldName| is_settable(name) && !is_host(name);
    for (name, value) in set.iter().filter(|(name, _)| is_ours(name)) {
        match names {
            Names::Exact => fields.set(name, value.as_bytes()),
            Names::Folded => fields.set_folded(name, value.as_bytes()),
        }
        .map_err(|error| (name, error))?;
    }
    for (name, value) in add.iter().filter(|(name, _)| is_ours(name)) {
        fields.append(name, value.as_bytes()).map_err(|error| (name, error))?;
    }
    for name in remove.iter().filter(|name| is_ours(name)) {
        match names {
            Names::Exact => fields.remove(name),
            Names::Folded => fields.remove_folded(name),
        };
    }
    Ok(())
}

fn is_host(name: &FieldName) -> bool {
    name.id() == Some(Known::Host)
}
