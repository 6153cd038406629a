//! References from one object to another.

use super::GROUP;
use super::filter::{self, Filter};
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// The largest weight.
const WEIGHT_MAX: i64 = 1_000_000;

/// A reference to an object that holds data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// API group; empty for the core.
    pub group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Namespace; that of the referrer when absent.
    pub namespace: Option<Box<str>>,
    /// Name.
    pub name: Box<str>,
    /// Where it is written.
    pub at: Pos,
}

/// A reference from a route to what it attaches to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentRef {
    /// The object.
    pub object: ObjectRef,
    /// Name of one listener of a Gateway, or of one port of a Service.
    pub section: Option<Box<str>>,
    /// Port of the listeners, or of the Service.
    pub port: Option<u16>,
}

/// A reference from a rule to where requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct BackendRef {
    /// The object.
    pub object: ObjectRef,
    /// Port; required for a Service.
    pub port: Option<u16>,
    /// Share among its siblings.
    pub weight: u32,
    /// Applied to what goes to this backend only.
    pub filters: Vec<Filter>,
}

// === impl ObjectRef ===

impl ObjectRef {
    /// Takes the fields of a reference; `group` and `kind` have defaults.
    pub(crate) fn take(reader: &Reader<'_, '_>, group: &str, kind: &str) -> Option<Self> {
        let group = reader.string("group").unwrap_or_else(|| group.into());
        let kind = reader.string("kind").unwrap_or_else(|| kind.into());
        let namespace = reader.string("namespace").filter(|name| !name.is_empty());
        let name = reader.require_string("name")?;
        Some(Self { group, kind, namespace, name, at: reader.at() })
    }

    /// The same without a namespace.
    pub(crate) fn take_local(reader: &Reader<'_, '_>) -> Option<Self> {
        let group = reader.require("group").and_then(|field| field.string());
        let kind = reader.require_string("kind");
        let name = reader.require_string("name");
        Some(Self { group: group?, kind: kind?, namespace: None, name: name?, at: reader.at() })
    }

    /// A reference to a Secret, unless it says otherwise.
    pub(crate) fn secret(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|reader| Self::take(reader, "", "Secret"))
    }

    /// Whether it names that kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        *self.group == *group && *self.kind == *kind
    }

    /// Whether it names a Service, which Linkerd's documents say is in the group `core`.
    pub fn is_service(&self) -> bool {
        self.is("", "Service") || self.is("core", "Service")
    }

    /// The namespace it leads to, seen from `home`.
    pub fn namespace_or<'a>(&'a self, home: &'a str) -> &'a str {
        self.namespace.as_deref().unwrap_or(home)
    }
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

// === impl ParentRef ===

impl ParentRef {
    /// Takes `parentRefs` of a route.
    pub(crate) fn take_all(spec: &Reader<'_, '_>) -> Vec<Self> {
        if let Some(field) = spec.take("useDefaultGateways")
            && field.choice(&[("None", false), ("All", true)]) == Some(true)
        {
            let fix = Some("name the Gateway in `parentRefs`".into());
            field.warn("`useDefaultGateways` has no effect: it is not supported", fix);
        }
        spec.list("parentRefs", |item| {
            item.nested(|reader| {
                let section = reader.string("sectionName").filter(|name| !name.is_empty());
                let port = reader.take("port").and_then(|field| field.port());
                Some(Self { object: ObjectRef::take(reader, GROUP, "Gateway")?, section, port })
            })
        })
    }
}

// === impl BackendRef ===

impl BackendRef {
    /// A reference in `backendRefs` of a rule; `with_filters` where the kind of route has them.
    pub(crate) fn read(reader: &Reader<'_, '_>, with_filters: bool) -> Option<Self> {
        let weight = match reader.take("weight") {
            Some(field) => field.int(0, WEIGHT_MAX).map(|weight| weight as u32),
            None => Some(1),
        };
        let filters = if with_filters { filter::take_all(reader) } else { Vec::new() };
        let mut backend = Self::target(reader)?;
        backend.weight = weight?;
        backend.filters = filters;
        Some(backend)
    }

    /// A reference without weight and filters.
    pub(crate) fn target(reader: &Reader<'_, '_>) -> Option<Self> {
        let port = match reader.take("port") {
            Some(field) => Some(field.port()?),
            None => None,
        };
        let object = ObjectRef::take(reader, "", "Service")?;
        Some(Self { object, port, weight: 1, filters: Vec::new() })
    }
}

/// A host name, lower case, with `*.` in front where `wildcard` allows it.
pub(crate) fn hostname(field: &Field<'_, '_>, wildcard: bool) -> Option<Spanned<Box<str>>> {
    let text = field.non_empty_string()?.to_ascii_lowercase();
    let name = text.strip_prefix("*.").filter(|_| wildcard).unwrap_or(&text);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.parse::<std::net::IpAddr>().is_ok() {
        field.error(format!("`{text}` is an address; a host name is needed here"), None);
        return None;
    }
    if text.len() > 253 || !name.split('.').all(is_label) {
        let fix = if wildcard {
            "write a name such as shop.example or *.shop.example"
        } else {
            "write a name such as shop.example"
        };
        field.error(format!("`{text}` is not a host name"), Some(fix.into()));
        return None;
    }
    Some(field.spanned(text.into()))
}

/// Takes `hostnames` of a route.
pub(crate) fn hostnames(spec: &Reader<'_, '_>) -> Vec<Spanned<Box<str>>> {
    spec.list("hostnames", |item| hostname(item, true))
}

/// Takes `options`, of which none are known.
pub(crate) fn ignore_options(reader: &Reader<'_, '_>) {
    let Some(field) = reader.take("options") else { return };
    for (name, _) in field.text_map() {
        field.warn(format!("the TLS option `{name}` has no effect: it is not known"), None);
    }
}
