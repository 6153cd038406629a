//! Every field of every kind is honoured, or the report says what becomes of it; and what the table
//! says of it is so.

#[path = "fields/adjust.rs"]
mod adjust;
#[path = "fields/arrangements.rs"]
mod arrangements;
#[path = "fields/observe.rs"]
mod observe;
#[path = "fields/scene.rs"]
mod scene;

use weft_compatibility::dialect;
use weft_compatibility::table::{Fields, State, Table, leaves, title};

use crate::observe::{Observed, Observer};

#[test]
fn every_field_of_gateway_api_is_honoured_or_reported() {
    check("Gateway API");
}

#[test]
fn every_field_of_istio_is_honoured_or_reported() {
    check("Istio");
}

#[test]
fn every_field_of_linkerd_is_honoured_or_reported() {
    check("Linkerd");
}

#[test]
fn every_field_of_smi_is_honoured_or_reported() {
    check("SMI");
}

#[test]
fn every_field_of_our_own_is_honoured_or_reported() {
    check("weftway.io");
}

#[test]
fn every_field_of_kubernetes_is_honoured_or_reported() {
    check("Kubernetes");
}

#[test]
fn every_field_of_traefik_is_honoured_or_reported() {
    check("Traefik");
}

/// Compiles the samples of a dialect with each of their fields and without it.
fn check(dialect: &str) {
    let table = Table::read().expect("`every_field_has_one_row` says what is wrong with it");
    let is_of_dialect = |kind: &&Fields| dialect::ALL[kind.dialect].name == dialect;
    let kinds: Vec<&Fields> = table.kinds.iter().filter(is_of_dialect).collect();
    assert!(!kinds.is_empty(), "there is no dialect {dialect}");
    let mut observer = Observer::new();
    let mut wrong = Vec::new();
    for kind in kinds {
        for field in leaves(kind.subject) {
            let path = field.path.to_string();
            let state = kind.fields[&path].state;
            let observed = observer.observe(kind.subject, &field.path, |seen| holds(state, seen));
            if !holds(state, &observed) {
                let name = title(kind.subject);
                wrong.push(format!("{name} {path}: {}, but {observed:?}", state.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} fields:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether what was seen of a field is what its state says.
fn holds(state: State, seen: &Observed) -> bool {
    match state {
        State::Honoured | State::Differs => seen.differs,
        State::Ignored => seen.is_said,
        State::Closed => seen.differs || seen.is_said,
        State::Bookkeeping => true,
    }
}
