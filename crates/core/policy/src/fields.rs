//! Edits of header fields.

mod made;
#[cfg(test)]
mod tests;

use weft_message::{FieldName, Fields, InvalidFieldValue, Known, ResponseHead};
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

/// Applies edits to a request, in the order set, add, made, remove. `Host` sets the authority.
///
/// What is set or removed is so under every spelling that an upstream may read as the same name
/// (`X_Tenant` for `X-Tenant`): a client must not get past a header that the gateway decides.
///
/// Fields that are not settable are passed over; `compile` reports them.
pub(crate) fn edit_request(edits: &HeaderEdits, ctx: &mut RequestContext<'_>) -> Verdict {
    let HeaderEdits { set, add, made, remove } = edits;
    for (name, value) in set.iter().chain(add).filter(|(name, _)| is_host(name)) {
        if let Err(error) = ctx.head.set_authority(value) {
            return ctx.refuse(Reason::Internal, format!("{name} `{value}`: {error}"));
        }
    }
    let fields = &mut ctx.head.fields;
    let mut applied = set_and_add(set, add, fields, Names::Folded);
    for header in made {
        made::of_request(header, ctx.client, ctx.head, ctx.scratch);
        let fields = &mut ctx.head.fields;
        applied = applied.and_then(|()| put_made(header, ctx.scratch, fields, Names::Folded));
    }
    self::remove(remove, &mut ctx.head.fields, Names::Folded);
    match applied {
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
    let HeaderEdits { set, add, made, remove } = edits;
    let error = |(_, error): (&FieldName, InvalidFieldValue)| error;
    set_and_add(set, add, &mut head.fields, Names::Exact).map_err(error)?;
    for header in made {
        made::of_response(header, head, scratch);
        put_made(header, scratch, &mut head.fields, Names::Exact).map_err(error)?;
    }
    self::remove(remove, &mut head.fields, Names::Exact);
    Ok(())
}

/// Which names an edit means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// This one.
    Exact,
    /// Every one that folds to it.
    Folded,
}

fn set_and_add<'a>(
    set: &'a [(FieldName, Box<str>)],
    add: &'a [(FieldName, Box<str>)],
    fields: &mut Fields,
    names: Names,
) -> Result<(), (&'a FieldName, InvalidFieldValue)> {
    for (name, value) in set.iter().filter(|(name, _)| is_ours(name)) {
        set_one(name, value, fields, names)?;
    }
    for (name, value) in add.iter().filter(|(name, _)| is_ours(name)) {
        fields.append(name, value.as_bytes()).map_err(|error| (name, error))?;
    }
    Ok(())
}

/// Puts a value in that was made for this message, if there is any.
fn put_made<'a>(
    header: &'a MadeHeader,
    value: &str,
    fields: &mut Fields,
    names: Names,
) -> Result<(), (&'a FieldName, InvalidFieldValue)> {
    let name = &header.name;
    if value.is_empty() || !is_ours(name) {
        return Ok(());
    }
    match header.adds {
        true => fields.append(name, value.as_bytes()).map_err(|error| (name, error)),
        false => set_one(name, value, fields, names),
    }
}

fn set_one<'a>(
    name: &'a FieldName,
    value: &str,
    fields: &mut Fields,
    names: Names,
) -> Result<(), (&'a FieldName, InvalidFieldValue)> {
    let set = match names {
        Names::Exact => fields.set(name, value.as_bytes()),
        Names::Folded => fields.set_folded(name, value.as_bytes()),
    };
    set.map_err(|error| (name, error))
}

fn remove(remove: &[FieldName], fields: &mut Fields, names: Names) {
    for name in remove.iter().filter(|name| is_ours(name)) {
        match names {
            Names::Exact => fields.remove(name),
            Names::Folded => fields.remove_folded(name),
        };
    }
}

fn is_ours(name: &FieldName) -> bool {
    is_settable(name) && !is_host(name)
}

fn is_host(name: &FieldName) -> bool {
    name.id() == Some(Known::Host)
}
