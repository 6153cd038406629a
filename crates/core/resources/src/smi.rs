//! Kinds of the Service Mesh Interface.

#[cfg(test)]
mod tests;

use crate::gateway_api::ObjectRef;
use crate::kind::{Kind, KindInfo};
use crate::problem::Pos;
use crate::read::{Field, Reader};

/// The group of TrafficSplit.
pub const SPLIT_GROUP: &str = "split.smi-spec.io";

/// The group of HTTPRouteGroup.
pub const SPECS_GROUP: &str = "specs.smi-spec.io";

/// The group of TrafficTarget.
pub const ACCESS_GROUP: &str = "access.smi-spec.io";

/// Spreads calls of one service over others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficSplit {
    /// The Service that callers name.
    pub service: Box<str>,
    /// Where its calls go.
    pub backends: Vec<SplitBackend>,
    /// Only for calls that fit one of these; for all when empty.
    pub matches: Vec<ObjectRef>,
}

/// One of the services of a [`TrafficSplit`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitBackend {
    /// The Service.
    pub service: Box<str>,
    /// Share among its siblings, in thousandths.
    pub weight: u64,
    /// Where it is written.
    pub at: Pos,
}

/// Names for classes of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteGroup {
    /// The classes.
    pub matches: Vec<GroupMatch>,
}

/// A class of requests: all of its parts must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMatch {
    /// Its name.
    pub name: Box<str>,
    /// A pattern for the path, which it has to fit from the beginning; every path when absent.
    pub path_regex: Option<Box<str>>,
    /// Methods; every method when empty.
    pub methods: Vec<Box<str>>,
    /// Headers with a pattern each.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Where it is written.
    pub at: Pos,
}

const ACCESS_VERSIONS: &[&str] =
    &["access.smi-spec.io/v1alpha3", "access.smi-spec.io/v1alpha2", "access.smi-spec.io/v1alpha1"];

const SPECS_VERSIONS: &[&str] = &[
    "specs.smi-spec.io/v1alpha4",
    "specs.smi-spec.io/v1alpha3",
    "specs.smi-spec.io/v1alpha2",
    "specs.smi-spec.io/v1alpha1",
];

/// How the kinds are decoded.
pub const KINDS: &[KindInfo] = &[
    KindInfo {
        group: SPLIT_GROUP,
        api_versions: &[
            "split.smi-spec.io/v1alpha4",
            "split.smi-spec.io/v1alpha3",
            "split.smi-spec.io/v1alpha2",
            "split.smi-spec.io/v1alpha1",
        ],
        kind: "TrafficSplit",
        namespaced: true,
        decode: |reader| Some(Kind::TrafficSplit(Box::new(read_split(reader)?))),
    },
    KindInfo {
        group: SPECS_GROUP,
        api_versions: SPECS_VERSIONS,
        kind: "HTTPRouteGroup",
        namespaced: true,
        decode: |reader| Some(Kind::RouteGroup(Box::new(read_group(reader)?))),
    },
    access_only("TCPRoute"),
    access_only("UDPRoute"),
    KindInfo {
        group: ACCESS_GROUP,
        api_versions: ACCESS_VERSIONS,
        kind: "TrafficTarget",
        namespaced: true,
        decode: |reader| {
            // Before v1alpha2 there was no `spec`.
            ["spec", "destination", "specs", "sources"].iter().for_each(|name| reader.skip(name));
            let fix = "say it by an AuthorizationPolicy of security.istio.io".into();
            reader.error("a TrafficTarget is not evaluated: it lets nobody in", Some(fix));
            None
        },
    },
];

/// A kind that means something to a TrafficTarget only.
const fn access_only(kind: &'static str) -> KindInfo {
    KindInfo {
        group: SPECS_GROUP,
        api_versions: SPECS_VERSIONS,
        kind,
        namespaced: true,
        decode: |reader| {
            // Before v1alpha3 there was no `spec`.
            ["spec", "matches"].iter().for_each(|name| reader.skip(name));
            Some(Kind::Unsupported { why: "only a TrafficTarget uses it, which is not evaluated" })
        },
    }
}

fn read_split(reader: &Reader<'_, '_>) -> Option<TrafficSplit> {
    reader.require("spec")?.nested(|spec| {
        let service = spec.require_string("service");
        let backends = spec.require("backends");
        let backends = backends.map(|field| field.list(|item| item.nested(backend)));
        let matches = spec.list("matches", |item| item.nested(group_ref));
        Some(TrafficSplit { service: service?, backends: backends?, matches })
    })
}

/// A share of calls. In v1alpha1 it was a quantity, of which a whole number is one as well.
fn backend(reader: &Reader<'_, '_>) -> Option<SplitBackend> {
    let service = reader.require_string("service");
    let weight = reader.require("weight").and_then(|field| field.quantity_thousandths());
    Some(SplitBackend { service: service?, weight: weight?, at: reader.at() })
}

fn group_ref(reader: &Reader<'_, '_>) -> Option<ObjectRef> {
    let group = reader.string("apiGroup").unwrap_or_else(|| SPECS_GROUP.into());
    let kind = reader.require_string("kind");
    let name = reader.require_string("name");
    let (kind, name) = (kind?, name?);
    if (&*group, &*kind) != (SPECS_GROUP, "HTTPRouteGroup") {
        let fix = Some("name an HTTPRouteGroup".into());
        reader.error(format!("{kind} is not a class of requests"), fix);
        return None;
    }
    Some(ObjectRef { group, kind, namespace: None, name, at: reader.at() })
}

/// Before v1alpha3 there was no `spec`.
fn read_group(reader: &Reader<'_, '_>) -> Option<RouteGroup> {
    let read = |reader: &Reader<'_, '_>| {
        let matches = reader.require("matches")?.list(|item| item.nested(group_match));
        Some(RouteGroup { matches })
    };
    match reader.take("spec") {
        Some(spec) => spec.nested(read),
        None => read(reader),
    }
}

fn group_match(reader: &Reader<'_, '_>) -> Option<GroupMatch> {
    // Only TrafficTargets would refer to it.
    let name = reader.require_label("name");
    let path_regex = reader.string("pathRegex").filter(|pattern| !pattern.is_empty());
    let mut methods = reader.strings("methods");
    if methods.iter().any(|method| **method == *"*") {
        methods.clear();
    }
    let headers = reader.take("headers").map(|field| headers(&field)).unwrap_or_default();
    Some(GroupMatch { name: name?, path_regex, methods, headers, at: reader.at() })
}

/// Headers as one map, or as a list of maps.
fn headers(field: &Field<'_, '_>) -> Vec<(Box<str>, Box<str>)> {
    if field.node().as_map().is_some() {
        return field.text_map();
    }
    field.list(|item| Some(item.text_map())).into_iter().flatten().collect()
}
