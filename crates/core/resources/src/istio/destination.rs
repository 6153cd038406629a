//! Where calls go.

use super::value::{host, is_label, text};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A service, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Its host, lower case. A short name is one of the document's namespace.
    pub host: Spanned<Box<str>>,
    /// The subset of it that a DestinationRule describes.
    pub subset: Option<Spanned<Box<str>>>,
    /// The port of the service; may be left out where it has one only.
    pub port: Option<Spanned<u16>>,
}

// === impl Destination ===

impl Destination {
    /// Reads a destination.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let field = reader.require("host");
        let host = field.and_then(|field| {
            let name = host(&field)?;
            if &*name == "*" {
                field.error("`*` is no host that calls can be sent to", None);
                return None;
            }
            Some(field.spanned(name))
        });
        let subset = text(reader, "subset").filter(|subset| {
            let is_name = is_label(subset);
            if !is_name {
                reader.error(format!("`{}` is not the name of a subset", subset.value), None);
            }
            is_name
        });
        let port = reader.take("port").map(|field| selector(&field));
        let port = match port {
            Some(port) => Some(port?),
            None => None,
        };
        Some(Self { host: host?, subset, port })
    }
}

/// Reads a port, which Istio asks for as `{number: 8080}`.
pub(crate) fn selector(field: &Field<'_, '_>) -> Option<Spanned<u16>> {
    if let Some(scalar) = field.node().as_scalar() {
        let fix = match scalar.text.parse::<u16>() {
            Ok(number) => format!("write {{number: {number}}}"),
            Err(_) => "write {number: N}: ports are not found by name here".into(),
        };
        field.error(format!("expected a map, found {}", field.node().describe()), Some(fix));
        return None;
    }
    field.nested(|port| {
        super::value::foreign(
            port,
            "name",
            "ports are not found by name here",
            "write `number` with the number of the service's port",
        );
        let number = port.require("number")?;
        Some(number.spanned(number.port()?))
    })
}
