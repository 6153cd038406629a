//! HTTPLocalRateLimitPolicy.

use super::GROUP;
use crate::gateway_api::ObjectRef;
use crate::problem::Pos;
use crate::read::Reader;

/// Bounds on the requests that each proxy of a Server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// The Server, in its namespace; `None` when it cannot be read.
    pub server: Option<Box<str>>,
    /// Requests per second of all callers together.
    pub total: Option<u32>,
    /// Requests per second of each caller without an override. All callers without an identity
    /// count as one.
    pub per_identity: Option<u32>,
    /// Requests per second of some callers.
    pub overrides: Vec<RateOverride>,
    /// It has errors. It may have been about any Server of its namespace.
    pub is_broken: bool,
}

/// Bounds for some callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateOverride {
    /// Requests per second of all of them together.
    pub per_second: u32,
    /// The callers: ServiceAccounts.
    pub clients: Vec<ObjectRef>,
    /// Where it is written.
    pub at: Pos,
}

/// Reads an HTTPLocalRateLimitPolicy.
pub(super) fn read(reader: &Reader<'_, '_>) -> RateLimitPolicy {
    let mut policy = RateLimitPolicy {
        server: None,
        total: None,
        per_identity: None,
        overrides: Vec::new(),
        is_broken: false,
    };
    let read = reader.require("spec").and_then(|field| {
        field.nested(|spec| {
            policy.server = server(spec);
            policy.total = spec.nested("total", per_second);
            policy.per_identity = spec.nested("identity", per_second);
            policy.overrides = spec.list("overrides", |item| item.nested(one_override));
            if let (Some(total), Some(one)) = (policy.total, policy.per_identity)
                && one > total
            {
                spec.error("`identity` cannot allow more than `total`", None);
            }
            Some(())
        })
    });
    policy.is_broken = read.is_none();
    policy
}

fn server(spec: &Reader<'_, '_>) -> Option<Box<str>> {
    let field = spec.require("targetRef")?;
    let object = field.nested(ObjectRef::take_local)?;
    if !object.is(GROUP, "Server") {
        field.error(format!("{object} is not a Server"), Some("name a Server".into()));
        return None;
    }
    Some(object.name)
}

fn per_second(reader: &Reader<'_, '_>) -> Option<u32> {
    let field = reader.require("requestsPerSecond")?;
    field.int(1, u32::MAX.into()).map(|count| count as u32)
}

fn one_override(reader: &Reader<'_, '_>) -> Option<RateOverride> {
    let rate = per_second(reader);
    let clients = reader.require("clientRefs").map(|field| {
        field.list(|item| {
            let client = item.nested(|client| {
                client.require("kind");
                ObjectRef::take(client, "", "ServiceAccount")
            })?;
            if !client.is("", "ServiceAccount") {
                let message = format!("{client} is not a ServiceAccount");
                item.error(message, Some("name a ServiceAccount".into()));
                return None;
            }
            Some(client)
        })
    });
    Some(RateOverride { per_second: rate?, clients: clients?, at: reader.at() })
}
