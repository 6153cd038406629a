//! ReferenceGrant, BackendTLSPolicy and BackendTrafficPolicy.

use std::time::Duration;

use super::http::{SessionPersistence, session};
use super::reference::{ObjectRef, hostname, ignore_options};
use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A ReferenceGrant: who may refer to objects of its namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceGrant {
    /// Referrers.
    pub from: Vec<GrantFrom>,
    /// What they may refer to.
    pub to: Vec<GrantTo>,
}

/// A referrer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantFrom {
    /// API group.
    pub group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Namespace.
    pub namespace: Box<str>,
}

/// What may be referred to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantTo {
    /// API group.
    pub group: Box<str>,
    /// Kind.
    pub kind: Box<str>,
    /// Name; every object of the kind when absent.
    pub name: Option<Box<str>>,
}

/// A BackendTLSPolicy: how gateways reach a Service by TLS.
///
/// It stays in force when something in it is wrong: then its targets may not be used, because
/// going on without TLS is not what its owner wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTlsPolicy {
    /// Services of its namespace.
    pub targets: Vec<PolicyTarget>,
    /// Server name sent and, without `names`, verified.
    pub hostname: Option<Box<str>>,
    /// ConfigMaps or Secrets with authorities.
    pub authorities: Vec<ObjectRef>,
    /// Whether the system's authorities are used.
    pub system_authorities: bool,
    /// One of these must be in the certificate.
    pub names: Vec<PolicyName>,
    /// Something in it is wrong.
    pub is_broken: bool,
}

/// A BackendTrafficPolicy: how all routes call a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTrafficPolicy {
    /// Services of its namespace.
    pub targets: Vec<PolicyTarget>,
    /// A bound on retries.
    pub retry: Option<RetryConstraint>,
    /// Keeps a client on its endpoint.
    pub session: Option<SessionPersistence>,
}

/// A bound on retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConstraint {
    /// Retries per hundred requests, 0 to 100; 20 when absent.
    pub percent: u32,
    /// Requests count for this long, 1 s to 1 h; 10 s when absent.
    pub interval: Duration,
    /// Retries that are allowed per `min_interval` whatever the percentage says; 10 when absent.
    pub min_count: u32,
    /// 1 s when absent.
    pub min_interval: Duration,
    /// Where it is written.
    pub at: Pos,
}

/// What a policy is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTarget {
    /// The object.
    pub object: ObjectRef,
    /// One port of it, by name.
    pub section: Option<Box<str>>,
}

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyName {
    /// A DNS name.
    Dns(Box<str>),
    /// A URI.
    Uri(Box<str>),
}

// === impl ReferenceGrant ===

impl ReferenceGrant {
    /// Whether it allows a referrer of that kind and namespace to refer to an object.
    pub fn allows(&self, from: (&str, &str, &str), to: (&str, &str, &str)) -> bool {
        let from_fits =
            self.from.iter().any(|entry| (&*entry.group, &*entry.kind, &*entry.namespace) == from);
        let to_fits = self.to.iter().any(|entry| {
            (&*entry.group, &*entry.kind) == (to.0, to.1)
                && entry.name.as_deref().is_none_or(|name| name == to.2)
        });
        from_fits && to_fits
    }
}

// === impl PolicyTarget ===

impl PolicyTarget {
    /// Reads one of `targetRefs`.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let section = reader.string("sectionName").filter(|name| !name.is_empty());
        Some(Self { object: ObjectRef::take_local(reader)?, section })
    }
}

/// Reads a ReferenceGrant.
pub(crate) fn read_grant(reader: &Reader<'_, '_>) -> Option<ReferenceGrant> {
    reader.require("spec")?.nested(|spec| {
        let from = spec.require("from").map(|field| field.list(|item| item.nested(from)));
        let to = spec.require("to").map(|field| field.list(|item| item.nested(to)));
        Some(ReferenceGrant { from: from?, to: to? })
    })
}

fn from(reader: &Reader<'_, '_>) -> Option<GrantFrom> {
    let group = reader.require("group").and_then(|field| field.string());
    let kind = reader.require_string("kind");
    let namespace = reader.require_string("namespace");
    Some(GrantFrom { group: group?, kind: kind?, namespace: namespace? })
}

fn to(reader: &Reader<'_, '_>) -> Option<GrantTo> {
    let group = reader.require("group").and_then(|field| field.string());
    let kind = reader.require_string("kind");
    let name = reader.string("name").filter(|name| !name.is_empty());
    Some(GrantTo { group: group?, kind: kind?, name })
}

/// Reads a BackendTLSPolicy.
pub(crate) fn read_tls(reader: &Reader<'_, '_>) -> Option<BackendTlsPolicy> {
    reader.require("spec")?.nested(|spec| {
        ignore_options(spec);
        let targets = spec
            .require("targetRefs")
            .map(|field| field.list(|item| item.nested(PolicyTarget::read)))
            .unwrap_or_default();
        let mut policy = BackendTlsPolicy {
            targets,
            hostname: None,
            authorities: Vec::new(),
            system_authorities: false,
            names: Vec::new(),
            is_broken: false,
        };
        if let Some(field) = spec.require("validation") {
            field.nested(|validation| {
                read_validation(validation, &mut policy);
                Some(())
            });
        }
        Some(policy)
    })
}

fn read_validation(reader: &Reader<'_, '_>, policy: &mut BackendTlsPolicy) {
    let host: Option<Spanned<Box<str>>> =
        reader.require("hostname").and_then(|field| hostname(&field, false));
    policy.hostname = host.map(|host| host.value);
    policy.authorities =
        reader.list("caCertificateRefs", |item| item.nested(ObjectRef::take_local));
    if let Some(field) = reader.take("wellKnownCACertificates") {
        policy.system_authorities = field.choice(&[("System", true), ("", false)]) == Some(true);
    }
    policy.names = reader.list("subjectAltNames", |item| item.nested(subject_alt_name));
    match (policy.authorities.is_empty(), policy.system_authorities) {
        (false, true) => {
            let message = "`caCertificateRefs` and `wellKnownCACertificates` exclude each other";
            reader.error(message, None);
        }
        (true, false) if reader.sink().error_count() == 0 => {
            let fix = Some("write wellKnownCACertificates: System, or name a ConfigMap".into());
            reader.error("no certificate authority is named", fix);
        }
        (true, _) | (false, false) => {}
    }
}

/// Reads a BackendTrafficPolicy.
pub(crate) fn read_traffic(reader: &Reader<'_, '_>) -> Option<BackendTrafficPolicy> {
    reader.require("spec")?.nested(|spec| {
        let targets = spec.require("targetRefs").map(|field| {
            // It cannot be about one port.
            let target = |reader: &Reader<'_, '_>| {
                Some(PolicyTarget { object: ObjectRef::take_local(reader)?, section: None })
            };
            field.list(|item| item.nested(target))
        });
        Some(BackendTrafficPolicy {
            targets: targets.unwrap_or_default(),
            retry: spec.nested("retryConstraint", retry_constraint),
            session: spec.nested("sessionPersistence", session),
        })
    })
}

fn retry_constraint(reader: &Reader<'_, '_>) -> Option<RetryConstraint> {
    let mut retry = RetryConstraint {
        percent: 20,
        interval: Duration::from_secs(10),
        min_count: 10,
        min_interval: Duration::from_secs(1),
        at: reader.at(),
    };
    reader.nested("budget", |budget| {
        retry.percent = budget.int("percent", 0, 100).map_or(20, |percent| percent as u32);
        let interval = budget.take("interval").and_then(|field| interval(&field));
        retry.interval = interval.unwrap_or(retry.interval);
        Some(())
    });
    reader.nested("minRetryRate", |rate| {
        let count = rate.int("count", 1, 1_000_000);
        retry.min_count = count.map_or(10, |count| count as u32);
        let interval = rate.take("interval").and_then(|field| interval(&field));
        retry.min_interval = interval.unwrap_or(retry.min_interval);
        Some(())
    });
    Some(retry)
}

/// A duration between a second and an hour.
fn interval(field: &Field<'_, '_>) -> Option<Duration> {
    let interval = field.gateway_duration()?;
    if !(Duration::from_secs(1)..=Duration::from_secs(3600)).contains(&interval) {
        field.error("must be between 1s and 1h", None);
        return None;
    }
    Some(interval)
}

fn subject_alt_name(reader: &Reader<'_, '_>) -> Option<PolicyName> {
    let types = [("Hostname", false), ("URI", true)];
    let is_uri = reader.require("type").and_then(|field| field.choice(&types));
    let (host, uri) = (reader.take("hostname"), reader.string("uri"));
    let is_uri = is_uri?;
    let host = host.filter(|_| !is_uri);
    let uri = uri.filter(|_| is_uri);
    match (host, uri) {
        (Some(field), None) => Some(PolicyName::Dns(hostname(&field, true)?.value)),
        (None, Some(uri)) if uri.contains(':') => Some(PolicyName::Uri(uri)),
        _ => {
            reader.error("a name needs `hostname` or `uri`, as its type says", None);
            None
        }
    }
}
