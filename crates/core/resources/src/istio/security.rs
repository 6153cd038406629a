//! PeerAuthentication, AuthorizationPolicy and RequestAuthentication.
//!
//! They protect, so what is left of one that has errors stays in force ([`Kind::is_broken`]).
//! Of the two that no proxy here can enforce yet, only what tells which calls they are about is
//! read.
//!
//! [`Kind::is_broken`]: crate::Kind::is_broken

use crate::clause::Clause;
use crate::gateway_api::ObjectRef;
use crate::kubernetes::Labels;
use crate::read::{Field, Reader};

/// The group of Istio's security kinds.
pub const GROUP: &str = "security.istio.io";

/// Whether callers of workloads have to prove who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// Labels of the workloads that it is about, all of which must fit; empty for its whole
    /// namespace.
    pub selector: Labels,
    /// For all ports; `None` leaves it to the next wider document.
    pub mode: Option<MtlsMode>,
    /// For single ports of the workloads; `None` is as for all ports.
    pub ports: Vec<(u16, Option<MtlsMode>)>,
    /// It has errors. It may have asked for the strictest.
    pub is_broken: bool,
}

/// Whether a caller has to prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MtlsMode {
    /// It does not.
    Disable,
    /// Those that can do.
    Permissive,
    /// It does.
    Strict,
}

/// Which calls workloads take.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthorizationPolicy {
    /// The workloads.
    pub target: Target,
    /// What becomes of calls that fit.
    pub action: Action,
    /// The calls that fit, any of these: one for each operation of each rule.
    pub clauses: Vec<Clause>,
    /// It has errors. It may have asked for anything.
    pub is_broken: bool,
}

/// Which tokens workloads believe.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestAuthentication {
    /// The workloads.
    pub target: Target,
    /// Whether it says of any token what to do with it.
    pub has_rules: bool,
    /// It has errors. It may have asked for anything.
    pub is_broken: bool,
}

/// Which workloads a security document is about.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Those with these labels, all of which must fit; when there are none, those of its whole
    /// namespace.
    Labels(Labels),
    /// Those behind these objects.
    Objects(Vec<ObjectRef>),
}

/// What becomes of calls that fit an AuthorizationPolicy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// They are taken, and others are not.
    Allow,
    /// They are not taken.
    Deny,
    /// They are noted down.
    Audit,
    /// Somebody else is asked.
    Custom,
}

/// Reads a PeerAuthentication.
pub(crate) fn read_peer(reader: &Reader<'_, '_>) -> PeerAuthentication {
    let mut peer = PeerAuthentication {
        selector: Box::default(),
        mode: None,
        ports: Vec::new(),
        is_broken: false,
    };
    reader.nested("spec", |spec| {
        peer.selector = spec.nested("selector", match_labels).unwrap_or_default();
        peer.mode = spec.take("mtls").and_then(|field| mode(&field));
        if let Some(field) = spec.take("portLevelMtls") {
            if peer.selector.is_empty() {
                let fix = "add a selector, or say it for all ports under `mtls`".into();
                field.error("modes of single ports need a selector", Some(fix));
            }
            peer.ports = port_modes(&field);
        }
        Some(())
    });
    peer
}

/// Reads an AuthorizationPolicy.
pub(crate) fn read_authorization(reader: &Reader<'_, '_>) -> AuthorizationPolicy {
    let mut policy = AuthorizationPolicy {
        target: Target::Labels(Box::default()),
        action: Action::Allow,
        clauses: Vec::new(),
        is_broken: false,
    };
    let actions = [
        ("ALLOW", Action::Allow),
        ("DENY", Action::Deny),
        ("AUDIT", Action::Audit),
        ("CUSTOM", Action::Custom),
    ];
    reader.nested("spec", |spec| {
        spec.skip("provider");
        policy.target = target(spec);
        let action = spec.take("action").and_then(|field| field.choice(&actions));
        policy.action = action.unwrap_or(Action::Allow);
        let rules = spec.list("rules", |item| item.nested(|rule| Some(clauses(rule))));
        policy.clauses = rules.into_iter().flatten().collect();
        Some(())
    });
    policy
}

/// Reads a RequestAuthentication.
pub(crate) fn read_request(reader: &Reader<'_, '_>) -> RequestAuthentication {
    let target_of_all = Target::Labels(Box::default());
    let mut request =
        RequestAuthentication { target: target_of_all, has_rules: false, is_broken: false };
    reader.nested("spec", |spec| {
        request.target = target(spec);
        request.has_rules = !spec.list("jwtRules", |_| Some(())).is_empty();
        Some(())
    });
    request
}

fn mode(field: &Field<'_, '_>) -> Option<MtlsMode> {
    let choices = [
        ("UNSET", None),
        ("DISABLE", Some(MtlsMode::Disable)),
        ("PERMISSIVE", Some(MtlsMode::Permissive)),
        ("STRICT", Some(MtlsMode::Strict)),
    ];
    field.nested(|mtls| mtls.take("mode")?.choice(&choices))?
}

fn port_modes(field: &Field<'_, '_>) -> Vec<(u16, Option<MtlsMode>)> {
    let Some(map) = field.reader() else { return Vec::new() };
    let port = |(name, field): (&str, Field<'_, '_>)| match name.parse() {
        Ok(number) if number > 0 => Some((number, mode(&field))),
        _ => {
            field.error(format!("`{name}` is not the number of a port"), None);
            None
        }
    };
    map.rest().filter_map(port).collect()
}

fn match_labels(selector: &Reader<'_, '_>) -> Option<Labels> {
    let labels = selector.take("matchLabels").map(|field| field.text_map()).unwrap_or_default();
    Some(labels.into())
}

pub(super) fn target(spec: &Reader<'_, '_>) -> Target {
    let reference =
        |field: &Field<'_, '_>| field.nested(|object| ObjectRef::take(object, "", "Service"));
    let mut objects = spec.list("targetRefs", reference);
    objects.extend(spec.take("targetRef").and_then(|field| reference(&field)));
    if objects.is_empty() {
        Target::Labels(spec.nested("selector", match_labels).unwrap_or_default())
    } else {
        spec.skip("selector");
        Target::Objects(objects)
    }
}

/// A rule's operations, each with the rule's conditions.
fn clauses(rule: &Reader<'_, '_>) -> Vec<Clause> {
    let is_asked = |name| {
        let items = rule.take(name).map(|field| field.list(|_| Some(()))).unwrap_or_default();
        !items.is_empty()
    };
    let is_unconditional = !(is_asked("from") | is_asked("when"));
    let operations = rule.list("to", |item| {
        item.nested(|to| {
            let clause = to.nested("operation", |operation| Some(clause(operation)));
            // Without an operation it is not valid, so nothing is to follow from it.
            Some(clause.unwrap_or(Clause { ports: None, is_unconditional: false }))
        })
    });
    if operations.is_empty() {
        return vec![Clause { ports: None, is_unconditional }];
    }
    let with_rule = |clause: Clause| Clause {
        is_unconditional: clause.is_unconditional && is_unconditional,
        ..clause
    };
    operations.into_iter().map(with_rule).collect()
}

fn clause(operation: &Reader<'_, '_>) -> Clause {
    let ports = operation.list("ports", |item| {
        let text = item.text()?;
        let number = text.parse::<u16>().ok().filter(|number| *number > 0);
        if number.is_none() {
            item.error(format!("`{text}` is not the number of a port"), None);
        }
        number
    });
    // What else it asks for is not looked at.
    let asks_more = operation.rest().count() > 0;
    let ports: Option<Box<[u16]>> = (!ports.is_empty()).then(|| ports.into());
    Clause { is_unconditional: ports.is_some() && !asks_more, ports }
}
