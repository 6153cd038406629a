//! TLSRoute and TCPRoute.

use super::reference::{BackendRef, ParentRef, hostnames};
use crate::problem::Pos;
use crate::read::Reader;
use crate::resource::Spanned;

/// A TLSRoute or TCPRoute.
#[derive(Debug, Clone, PartialEq)]
pub struct L4Route {
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// Server names of TLS; empty for TCP, and for every name of the listener.
    pub hostnames: Vec<Spanned<Box<str>>>,
    /// Its rules. Only the first can ever take a connection.
    pub rules: Vec<L4Rule>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct L4Rule {
    /// Name.
    pub name: Option<Box<str>>,
    /// Where connections go.
    pub backends: Vec<BackendRef>,
    /// Where it is written.
    pub at: Pos,
}

/// Reads a TLSRoute.
pub(crate) fn read_tls(reader: &Reader<'_, '_>) -> Option<L4Route> {
    reader.require("spec")?.nested(|spec| {
        let hostnames = hostnames(spec);
        let mut route = route(spec);
        route.hostnames = hostnames;
        Some(route)
    })
}

/// Reads a TCPRoute.
pub(crate) fn read_tcp(reader: &Reader<'_, '_>) -> Option<L4Route> {
    reader.require("spec")?.nested(|spec| Some(route(spec)))
}

fn route(spec: &Reader<'_, '_>) -> L4Route {
    let parents = ParentRef::take_all(spec);
    let rules = spec.require("rules").map(|field| {
        let rules = field.list(|item| item.nested(rule));
        if rules.len() > 1 {
            field.warn("only the first rule has an effect: nothing tells them apart", None);
        }
        rules
    });
    L4Route { parents, hostnames: Vec::new(), rules: rules.unwrap_or_default() }
}

fn rule(reader: &Reader<'_, '_>) -> Option<L4Rule> {
    let backends =
        reader.list("backendRefs", |item| item.nested(|backend| BackendRef::read(backend, false)));
    Some(L4Rule { name: reader.string("name"), backends, at: reader.at() })
}
