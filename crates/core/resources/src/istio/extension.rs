//! WasmPlugin and EnvoyFilter: what others put into an Envoy.
//!
//! Neither is run here. Where one may decide who calls a workload, it is an AuthorizationPolicy
//! that asks somebody else ([`Action::Custom`]); else it is reported and has no effect.

use super::security::{Action, AuthorizationPolicy, target};
use crate::clause::Clause;
use crate::kind::Kind;
use crate::read::Reader;

/// The group of WasmPlugin.
pub const GROUP: &str = "extensions.istio.io";

/// Reads a WasmPlugin. It says itself when it is about who may call.
pub(super) fn read_plugin(reader: &Reader<'_, '_>) -> Kind {
    let mut policy = nobody();
    let mut decides = false;
    reader.nested("spec", |spec| {
        policy.target = target(spec);
        let phases =
            [("AUTHN", true), ("AUTHZ", true), ("STATS", false), ("UNSPECIFIED_PHASE", false)];
        decides = spec.take("phase").is_some_and(|field| field.choice(&phases).unwrap_or(true));
        // What the plugin is told is for the plugin.
        spec.skip_rest();
        Some(())
    });
    kind(policy, decides, "plugins are not run")
}

/// Reads an EnvoyFilter. A filter that it puts before a workload may do anything to calls.
pub(super) fn read_filter(reader: &Reader<'_, '_>) -> Kind {
    let mut policy = nobody();
    let mut decides = false;
    reader.nested("spec", |spec| {
        let labels = spec.nested("workloadSelector", |selector| {
            Some(selector.take("labels").map(|field| field.text_map()).unwrap_or_default().into())
        });
        policy.target = super::security::Target::Labels(labels.unwrap_or_default());
        let patches = spec.list("configPatches", |item| item.nested(|patch| Some(decide(patch))));
        decides = patches.into_iter().any(|decides| decides);
        spec.skip_rest();
        Some(())
    });
    kind(policy, decides, "there is no Envoy here that it could change")
}

/// Whether a patch may decide who calls: a filter of calls that come.
fn decide(patch: &Reader<'_, '_>) -> bool {
    let is_filter = patch
        .string("applyTo")
        .is_none_or(|what| matches!(&*what, "HTTP_FILTER" | "NETWORK_FILTER"));
    let is_elsewhere = patch.take("match").is_some_and(|field| {
        let context = field.nested(|found| {
            let context = found.string("context");
            found.skip_rest();
            context
        });
        context.is_some_and(|context| matches!(&*context, "SIDECAR_OUTBOUND" | "GATEWAY"))
    });
    patch.skip_rest();
    is_filter && !is_elsewhere
}

fn nobody() -> AuthorizationPolicy {
    AuthorizationPolicy {
        target: super::security::Target::Labels(Box::default()),
        action: Action::Custom,
        clauses: vec![Clause { ports: None, is_unconditional: false }],
        is_broken: false,
    }
}

fn kind(policy: AuthorizationPolicy, decides: bool, why: &'static str) -> Kind {
    if decides { Kind::AuthorizationPolicy(Box::new(policy)) } else { Kind::Unsupported { why } }
}
