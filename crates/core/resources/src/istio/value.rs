//! The small values that Istio's networking kinds share: durations, percentages, hosts, and who may
//! see a document.
//!
//! Documents are written as the protobuf messages of Istio are in JSON, within the schema that a
//! cluster holds them to: numbers are numbers and not texts, enums are words, durations are texts
//! with a unit.

use std::time::Duration;

use crate::duration::parse_duration;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// The shortest duration that Istio knows, and the unit that its durations are whole in.
const TICK: Duration = Duration::from_millis(1);

/// Advice to who writes no duration.
const EXAMPLE: &str = "write a duration such as 250ms, 30s or 1m30s";

/// A share of calls, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

/// Who sees a document (`exportTo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportTo {
    /// Every namespace (`*`).
    Everyone,
    /// These namespaces.
    Namespaces(Box<[NamespaceRef]>),
    /// Nobody but the workloads that it is about (`~`); of services alone.
    Nobody,
}

/// A namespace as a document names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamespaceRef {
    /// That of the document (`.`).
    Own,
    /// The one of this name.
    Named(Box<str>),
}

// === impl Percent ===

impl Percent {
    /// No call.
    pub const NONE: Self = Self(0.0);

    /// Every call.
    pub const ALL: Self = Self(100.0);

    /// Of a number from 0 to 100; `None` for any other.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=100.0).contains(&value).then_some(Self(value))
    }

    /// The number, 0 to 100.
    pub fn value(self) -> f64 {
        self.0
    }

    /// Reads a number that stands by itself.
    pub(crate) fn read(field: &Field<'_, '_>) -> Option<Self> {
        let value = field.number()?;
        let percent = Self::new(value);
        if percent.is_none() {
            field.error(format!("{value} is out of range: must be between 0 and 100"), None);
        }
        percent
    }

    /// Reads a `Percent` message, whose number is 0 when it is not there.
    pub(crate) fn message(field: &Field<'_, '_>) -> Option<Self> {
        if let Some(scalar) = field.node().as_scalar() {
            let fix = format!("write {{value: {}}}", scalar.text);
            field.error(format!("expected a map, found {}", field.node().describe()), Some(fix));
            return None;
        }
        field.nested(|percent| match percent.take("value") {
            Some(value) => Self::read(&value),
            None => Some(Self::NONE),
        })
    }
}

// === impl ExportTo ===

impl ExportTo {
    /// Whether workloads of `namespace` see a document of the namespace `own`.
    pub fn reaches(&self, own: &str, namespace: &str) -> bool {
        match self {
            Self::Everyone => true,
            Self::Namespaces(all) => all.iter().any(|one| one.is(own, namespace)),
            Self::Nobody => false,
        }
    }

    /// Takes `name`; `None` leaves it to MeshConfig.
    pub(crate) fn take(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<Self>> {
        let field = reader.take(name)?;
        let words = field.list(|item| {
            let word = item.non_empty_string()?;
            if !matches!(&*word, "*" | "." | "~") && !is_label(&word) {
                let fix = Some("write a namespace, \".\" for this one, or \"*\" for all".into());
                item.error(format!("`{word}` is not the name of a namespace"), fix);
                return None;
            }
            Some(word)
        });
        let is_alone = words.len() == 1;
        let export = match words.iter().find(|word| matches!(&***word, "*" | "~")) {
            Some(word) if !is_alone => {
                let fix = Some(format!("write [\"{word}\"], or the other namespaces alone"));
                field.error(format!("`{word}` stands alone"), fix);
                return None;
            }
            Some(word) if **word == *"*" => Self::Everyone,
            Some(_) => Self::Nobody,
            // As if it were not there.
            None if words.is_empty() => return None,
            None => Self::Namespaces(words.into_iter().map(NamespaceRef::new).collect()),
        };
        Some(Spanned::new(export, field.key_at()))
    }

    /// The same for what cannot be hidden from everyone.
    pub(crate) fn take_some(reader: &Reader<'_, '_>) -> Option<Spanned<Self>> {
        let export = Self::take(reader, "exportTo")?;
        if *export == Self::Nobody {
            let fix = Some("write [\".\"] for this namespace alone".into());
            reader.error("`exportTo: [\"~\"]` is for a ServiceEntry alone", fix);
        }
        Some(export)
    }
}

// === impl NamespaceRef ===

impl NamespaceRef {
    pub(crate) fn new(text: Box<str>) -> Self {
        if &*text == "." { Self::Own } else { Self::Named(text) }
    }

    /// Whether it is `namespace`, in a document of the namespace `own`.
    pub fn is(&self, own: &str, namespace: &str) -> bool {
        match self {
            Self::Own => own == namespace,
            Self::Named(name) => **name == *namespace,
        }
    }
}

/// Reads a duration: at least a millisecond, and whole ones.
pub(crate) fn duration(field: &Field<'_, '_>) -> Option<Duration> {
    let duration = any_duration(field)?;
    if duration < TICK {
        let fix = Some("write at least 1ms, or remove it".into());
        field.error("the duration is shorter than 1ms", fix);
        return None;
    }
    Some(duration)
}

/// Reads a duration that may also be zero.
pub(crate) fn any_duration(field: &Field<'_, '_>) -> Option<Duration> {
    let Some(scalar) = field.node().as_scalar() else {
        field.error(format!("expected a duration, found {}", field.node().describe()), None);
        return None;
    };
    let text = &*scalar.text;
    let has_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let Some(duration) = parse_duration(text).ok().filter(|_| has_unit) else {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let fix = if is_number { format!("write {text}s") } else { EXAMPLE.into() };
        field.error(format!("`{text}` is not a duration"), Some(fix));
        return None;
    };
    if duration.subsec_nanos() % TICK.subsec_nanos() != 0 {
        field.error("a duration has whole milliseconds", None);
        return None;
    }
    Some(duration)
}

/// Takes a value and keeps its place.
pub(crate) fn spanned<'d, T>(
    reader: &Reader<'d, '_>,
    name: &'static str,
    read: impl FnOnce(&Field<'d, '_>) -> Option<T>,
) -> Option<Spanned<T>> {
    let field = reader.take(name)?;
    Some(field.spanned(read(&field)?))
}

/// Takes a map and keeps the place of its name.
pub(crate) fn block<'d, T>(
    reader: &Reader<'d, '_>,
    name: &'static str,
    read: impl FnOnce(&Reader<'d, '_>) -> Option<T>,
) -> Option<Spanned<T>> {
    let field = reader.take(name)?;
    Some(Spanned::new(field.nested(read)?, field.key_at()))
}

/// Takes a text; an empty one is as if it were not there.
pub(crate) fn text(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<Box<str>>> {
    spanned(reader, name, |field| field.string()).filter(|text| !text.is_empty())
}

/// Takes a port of a service; zero is as if it were not there.
pub(crate) fn port(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<u16>> {
    spanned(reader, name, |field| field.int(0, u16::MAX.into()))
        .filter(|port| port.value > 0)
        .map(|port| Spanned::new(port.value as u16, port.at))
}

/// Takes a number that is not negative and fits the message's 32 bits.
pub(crate) fn count(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<u32>> {
    spanned(reader, name, |field| field.int(0, i32::MAX.into()).map(|count| count as u32))
}

/// Reports a field that others have, with the place where its purpose is served here.
pub(crate) fn foreign(reader: &Reader<'_, '_>, name: &'static str, message: &str, fix: &str) {
    // Asking for it would make it one of the known names.
    if reader.has(name)
        && let Some(field) = reader.take_even_null(name)
    {
        field.error(message, Some(fix.into()));
    }
}

/// Takes a field that is not to be among the known names for whoever has not written it.
pub(crate) fn written<'d, 'r>(
    reader: &'r Reader<'d, '_>,
    name: &'static str,
) -> Option<Field<'d, 'r>> {
    if reader.has(name) { reader.take(name) } else { None }
}

/// Whether a list is there and has items, whatever is wrong with them.
pub(crate) fn has_items(reader: &Reader<'_, '_>, name: &'static str) -> bool {
    let list = reader.take(name);
    list.is_some_and(|field| !field.node().as_seq().is_some_and(<[_]>::is_empty))
}

/// Takes the name of a host, in lower case and without the dot at its end.
pub(crate) fn host(field: &Field<'_, '_>) -> Option<Box<str>> {
    host_text(field, &field.non_empty_string()?)
}

/// The same of a part of a field's text.
pub(crate) fn host_text(field: &Field<'_, '_>, text: &str) -> Option<Box<str>> {
    let host = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if host.parse::<std::net::IpAddr>().is_err() && !is_host(&host) {
        field.error(format!("`{text}` is not the name of a host"), None);
        return None;
    }
    Some(host.into())
}

/// Whether a text is a DNS name, whose first label may be or begin with an asterisk.
fn is_host(text: &str) -> bool {
    const LABEL_MAX: usize = 63;
    const HOST_MAX: usize = 255;
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=LABEL_MAX).contains(&label.len())
            && label.bytes().all(is_known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let (first, rest) = text.split_once('.').map_or((text, None), |(a, b)| (a, Some(b)));
    let first = first.strip_prefix("*-").unwrap_or(first);
    text.len() <= HOST_MAX
        && (first == "*" || is_label(first))
        && rest.is_none_or(|rest| rest.split('.').all(is_label))
}

/// Whether a text is a DNS label in lower case (RFC 1123, 2.1), as names of namespaces and subsets.
pub(crate) fn is_label(text: &str) -> bool {
    const LABEL_MAX: usize = 63;
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LABEL_MAX).contains(&text.len())
        && text.bytes().all(is_known)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
