//! NetworkPolicy, as far as it says who may call workloads.
//!
//! In a cluster the network enforces it. Where workloads are processes of a machine nobody else
//! does, so it protects like a policy of the mesh.

use super::LabelSelector;
use super::service::{PortRef, Transport};
use crate::clause::Clause;
use crate::read::Reader;

/// Who may call workloads of a namespace, by the network.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkPolicy {
    /// The workloads.
    pub selector: LabelSelector,
    /// Whether it says who may call them; then nobody may but for what `clauses` say.
    pub has_ingress: bool,
    /// Whether it says whom they may call.
    pub has_egress: bool,
    /// The calls by TCP that are taken, any of these.
    pub clauses: Vec<Clause>,
    /// It has errors. It may have asked for anything.
    pub is_broken: bool,
}

/// Reads a NetworkPolicy.
pub(crate) fn read(reader: &Reader<'_, '_>) -> NetworkPolicy {
    let mut policy = NetworkPolicy {
        selector: LabelSelector::default(),
        has_ingress: true,
        has_egress: false,
        clauses: Vec::new(),
        is_broken: false,
    };
    reader.nested("spec", |spec| {
        policy.selector = spec.nested("podSelector", LabelSelector::read).unwrap_or_default();
        let rules = spec.list("ingress", |item| item.nested(|rule| Some(clauses(rule))));
        policy.clauses = rules.into_iter().flatten().collect();
        let types = spec.list("policyTypes", |item| {
            item.choice(&[("Ingress", "Ingress"), ("Egress", "Egress")])
        });
        policy.has_egress = spec.has("egress") || types.contains(&"Egress");
        spec.skip("egress");
        policy.has_ingress = types.is_empty() || types.contains(&"Ingress");
        Some(())
    });
    policy
}

/// What a rule lets in: everybody on these ports, or whom nobody looks at here.
fn clauses(rule: &Reader<'_, '_>) -> Vec<Clause> {
    let callers = rule.take("from").map(|field| field.list(|_| Some(()))).unwrap_or_default();
    let is_unconditional = callers.is_empty();
    if !rule.has("ports") {
        return vec![Clause { ports: None, is_unconditional }];
    }
    let mut is_empty = true;
    let mut numbers = Vec::new();
    let mut clauses = Vec::new();
    for port in rule.list("ports", |item| item.nested(|port| Some(which(port)))) {
        is_empty = false;
        match port {
            Which::None => {}
            Which::All => clauses.push(Clause { ports: None, is_unconditional }),
            Which::One(number) => numbers.push(number),
            Which::Unknown => clauses.push(Clause { ports: None, is_unconditional: false }),
        }
    }
    if is_empty {
        clauses.push(Clause { ports: None, is_unconditional });
    }
    if !numbers.is_empty() {
        clauses.push(Clause { ports: Some(numbers.into()), is_unconditional });
    }
    clauses
}

/// Which ports of TCP an item of a list of ports is about.
enum Which {
    /// It is about another protocol.
    None,
    All,
    One(u16),
    /// By a name or as a range, which are not looked at here.
    Unknown,
}

fn which(port: &Reader<'_, '_>) -> Which {
    let transport = Transport::take(port);
    let number = port.take("port");
    let is_range = port.has("endPort");
    port.skip("endPort");
    let number = number.map(|field| PortRef::read(&field));
    match (transport, number) {
        (Transport::Udp | Transport::Sctp, _) => Which::None,
        (Transport::Tcp, None) => Which::All,
        (Transport::Tcp, Some(Some(PortRef::Number(number)))) if !is_range => Which::One(number),
        (Transport::Tcp, Some(_)) => Which::Unknown,
    }
}
