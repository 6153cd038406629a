//! The documents about calls of one service, whoever calls it: a proxy of the mesh, or a gateway.
//!
//! Who calls matters in Istio alone: the DestinationRules of the caller's namespace hold for it,
//! else those of the service's, else those of the root namespace. Each of these is a *variant*, and
//! has settings for the service as a whole, for its subsets, and for single ports of both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::backend::UpstreamTls;
use weft_model::calling::Audience;
use weft_resources::gateway_api::policy::{BackendTrafficPolicy, PolicyTarget};
use weft_resources::istio::destination_rule::{
    self, ClientTls, DestinationRule, LocalityLb, TrafficPolicy,
};
use weft_resources::istio::value::ExportTo;
use weft_resources::kubernetes::Service;
use weft_resources::weftway::traffic_policy::TrafficTarget;
use weft_resources::{Kind, Pos, Resource, weftway};

use crate::calling::istio::{Credentials, Effective, Loaded};
use crate::calling::layers::Part;
use crate::calling::{From, Layers, gateway_api, kubernetes, linkerd, own};
use crate::context::Output;
use crate::istio::export;
use crate::istio::virtual_service::Defaults;
use crate::remark::Place;

/// The documents about calls of one service, oldest first.
#[derive(Default)]
pub(crate) struct Documents<'a> {
    /// The Service itself, or the ServiceEntry.
    pub(crate) service: Option<&'a Arc<Resource>>,
    /// Its Namespace.
    pub(crate) namespace: Option<&'a Arc<Resource>>,
    /// The ServiceProfile.
    pub(crate) profile: Option<&'a Arc<Resource>>,
    /// DestinationRules.
    pub(crate) rules: Vec<Rule<'a>>,
    /// BackendTrafficPolicies.
    pub(crate) gateway_api: Vec<(&'a Arc<Resource>, &'a BackendTrafficPolicy, &'a PolicyTarget)>,
    /// Our own TrafficPolicies.
    pub(crate) own: Vec<OwnPolicy<'a>>,
}

/// A TrafficPolicy, with the target that is the service.
pub(crate) type OwnPolicy<'a> = (&'a Arc<Resource>, &'a weftway::TrafficPolicy, &'a TrafficTarget);

/// A DestinationRule about a service.
#[derive(Clone, Copy)]
pub(crate) struct Rule<'a> {
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) body: &'a DestinationRule,
    /// How exactly its host names the service: the length of it, and more than any for the whole.
    pub(crate) exactness: usize,
}

/// The rules that hold for some callers, as one.
pub(crate) struct Variant<'a> {
    /// The callers.
    pub(crate) audience: Audience,
    /// The policy for the host, if a rule has one, with its document.
    pub(crate) policy: Option<(&'a Arc<Resource>, &'a TrafficPolicy)>,
    /// The subsets, each with the document that it is written in.
    pub(crate) subsets: Vec<Subset<'a>>,
    /// One of the rules has errors and asks for TLS: without knowing what it means nothing is
    /// called.
    pub(crate) broken: Option<&'a Arc<Resource>>,
}

/// A subset with its document.
pub(crate) type Subset<'a> = (&'a Arc<Resource>, &'a destination_rule::Subset);

/// What is known beside the documents.
pub(crate) trait Around {
    /// The namespace whose rules hold for all services.
    fn root_namespace(&self) -> &str;

    /// Who sees rules that do not say so.
    fn default_export(&self) -> Option<&ExportTo>;

    /// What holds of localities where a rule does not say.
    fn locality(&self) -> Option<&LocalityLb>;

    /// The line of its file at which a document begins.
    fn first_line(&self, document: &Resource) -> u32;

    /// The number of the service's port of that name.
    fn port(&self, name: &str) -> Option<u16>;

    /// What a TLS section of a document of that namespace names.
    ///
    /// # Errors
    ///
    /// What of it cannot be had, in words.
    fn load(&self, namespace: &str, tls: &ClientTls) -> Result<Loaded, String>;
}

/// The credentials of one document.
struct Own<'o> {
    around: &'o dyn Around,
    namespace: &'o str,
}

// === impl Documents ===

impl<'a> Documents<'a> {
    /// Whether no document says anything.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { service, namespace, profile, rules, gateway_api, own } = self;
        service.is_none()
            && namespace.is_none()
            && profile.is_none()
            && rules.is_empty()
            && gateway_api.is_empty()
            && own.is_empty()
    }

    /// All of them, those of one dialect after the other.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Arc<Resource>> {
        let Self { service, namespace, profile, rules, gateway_api, own } = self;
        service
            .iter()
            .chain(namespace)
            .chain(profile)
            .copied()
            .chain(rules.iter().map(|rule| rule.resource))
            .chain(gateway_api.iter().map(|(resource, ..)| *resource))
            .chain(own.iter().map(|(resource, ..)| *resource))
    }

    /// The variants of the service, that of the nearest rules first, that without any last.
    pub(crate) fn variants(
        &self,
        around: &dyn Around,
        service_namespace: &str,
        out: &mut Output,
    ) -> Vec<Variant<'a>> {
        let root = around.root_namespace();
        let mut homes: BTreeMap<&str, Vec<Rule<'a>>> = BTreeMap::new();
        for rule in &self.rules {
            homes.entry(rule.resource.namespace()).or_default().push(*rule);
        }
        let mut variants = Vec::new();
        let mut general = Vec::new();
        for (home, rules) in homes {
            let (selective, usual) = most_exact(rules, out);
            let is_general = home == service_namespace || home == root;
            for rule in selective {
                let labels = rule.body.selector.as_ref().map(|labels| labels.value.clone());
                let audience = Audience {
                    namespaces: [home.into()].into(),
                    labels: labels.unwrap_or_default(),
                };
                variants.push(Variant::merge(audience, &[rule], out));
            }
            if usual.is_empty() {
                continue;
            }
            if is_general {
                let at = usize::from(home == root && home != service_namespace);
                general.push((at, home, usual));
            } else if usual.iter().any(|rule| is_exported_to(around, rule, home)) {
                let audience = Audience { namespaces: [home.into()].into(), ..Audience::default() };
                variants.push(Variant::merge(audience, &usual, out));
            } else {
                for rule in usual {
                    let message = "it is exported to no namespace for whose callers it could hold";
                    Place::whole(rule.resource).warn(out, message);
                }
            }
        }
        general.sort_by_key(|(at, ..)| *at);
        for (_, home, rules) in general {
            // Of rules with different audiences the narrower come first.
            let mut by_audience: BTreeMap<Vec<Box<str>>, Vec<Rule<'a>>> = BTreeMap::new();
            for rule in rules {
                let namespaces = export::namespaces(written_export(around, &rule), home);
                by_audience.entry(namespaces).or_default().push(rule);
            }
            for (namespaces, rules) in by_audience.into_iter().rev() {
                let audience = Audience { namespaces: namespaces.into(), ..Audience::default() };
                variants.push(Variant::merge(audience, &rules, out));
            }
        }
        if !variants.iter().any(|variant| variant.audience == Audience::default()) {
            variants.push(Variant::default());
        }
        variants
    }

    /// The ports that some document has settings of their own for.
    pub(crate) fn ports(&self, around: &dyn Around, variant: &Variant<'_>) -> BTreeSet<u16> {
        let policies = variant.policies();
        let of_rules = policies.flat_map(|policy| policy.ports.iter().map(|port| *port.port));
        let named = |target: &PolicyTarget| around.port(target.section.as_ref()?);
        let of_policies = self.gateway_api.iter().filter_map(|(.., target)| named(target));
        let of_own = self
            .own
            .iter()
            .filter_map(|(.., target)| target.port.or_else(|| named(&target.target)));
        of_rules.chain(of_policies).chain(of_own).collect()
    }

    /// The Service, or ServiceImport, with what it says.
    fn service_body(&self) -> Option<(&'a Arc<Resource>, &'a Service)> {
        let resource = self.service?;
        Some((resource, resource.body.as_service()?))
    }

    /// Puts what Kubernetes itself has words for on top.
    pub(crate) fn service(&self, around: &dyn Around, layers: &mut Layers<'a>, out: &mut Output) {
        if let Some((resource, service)) = self.service_body() {
            kubernetes::affinity(layers, from(around, resource), service, out);
        }
        let mut said =
            [self.service, self.namespace].into_iter().flatten().filter_map(|resource| {
                let (field, found) = kubernetes::distribution(resource)?;
                Some((from(around, resource).field(field, found.at), found.value))
            });
        if let Some((from, distribution)) = said.next() {
            kubernetes::distribute(layers, from, distribution, out);
        }
    }

    /// Puts what all others say on top, each dialect over those with less to say.
    pub(crate) fn policies(
        &self,
        around: &dyn Around,
        variant: &Variant<'a>,
        (subset, port): (Option<Subset<'a>>, Option<u16>),
        layers: &mut Layers<'a>,
        out: &mut Output,
    ) {
        if let Some((resource, service)) = self.service_body() {
            linkerd::balancer(layers, from(around, resource), &service.balancer, out);
        }
        if let Some((resource, Kind::ServiceProfile(profile))) = body(self.profile) {
            let from = from(around, resource);
            let from = from.field("spec.retryBudget", from.at);
            linkerd::budget(layers, from, &profile.retry_budget, out);
        }
        let (resource, policy) = variant.policy.unzip();
        if let Some(resource) = resource.or(subset.map(|(resource, _)| resource)) {
            let credentials = Own { around, namespace: resource.namespace() };
            let effective = variant.effective(policy, subset, port);
            effective.apply(layers, from(around, resource), around.locality(), &credentials, out);
        }
        if let Some(resource) = variant.broken {
            let calling = layers.decide(Part::Tls, from(around, resource), out);
            calling.tls = Some(Arc::new(nobody()));
        }
        let is_part = |(.., target): &&(_, _, &PolicyTarget)| target.section.is_some();
        for (resource, policy, target) in whole_first(&self.gateway_api, is_part) {
            if is_about(around, target, None, port) {
                gateway_api::apply(layers, from(around, resource), policy, out);
            }
        }
        let is_part = |(.., target): &&(_, _, &TrafficTarget)| {
            target.port.is_some() || target.target.section.is_some()
        };
        for (resource, policy, target) in whole_first(&self.own, is_part) {
            if is_about(around, &target.target, target.port, port) {
                own::apply(layers, from(around, resource), policy, out);
            }
        }
    }
}

// === impl Variant ===

impl Default for Variant<'_> {
    /// No rule, for everybody.
    fn default() -> Self {
        Self { audience: Audience::default(), policy: None, subsets: Vec::new(), broken: None }
    }
}

impl<'a> Variant<'a> {
    /// Several rules for one host, oldest first, as Istio merges them: the first policy holds, and
    /// all subsets.
    fn merge(audience: Audience, rules: &[Rule<'a>], out: &mut Output) -> Self {
        let mut variant = Self { audience, ..Self::default() };
        for rule in rules {
            if rule.body.is_broken {
                variant.broken.get_or_insert(rule.resource);
            }
            variant.add_policy(rule, out);
            for subset in &rule.body.subsets {
                match variant.subset(&subset.name) {
                    None => variant.subsets.push((rule.resource, subset)),
                    Some((older, _)) => {
                        let message = format!(
                            "the subset `{}` of {} holds instead",
                            subset.name.value, older.key
                        );
                        Place::new(rule.resource, subset.at, "spec.subsets").warn(out, message);
                    }
                }
            }
        }
        variant
    }

    fn add_policy(&mut self, rule: &Rule<'a>, out: &mut Output) {
        let policy = &rule.body.policy;
        if *policy == TrafficPolicy::default() {
            return;
        }
        let Some((older, _)) = self.policy else {
            self.policy = Some((rule.resource, policy));
            return;
        };
        let message =
            format!("the policy of {} holds instead: it is older and for the same host", older.key);
        let place = Place::new(rule.resource, rule.body.host.at, "spec.trafficPolicy");
        place.warn_with(out, message, "put both into one rule");
        let message = format!("its policy holds instead of that of {}", rule.resource.key);
        Place::whole(older).note(out, message);
    }

    /// The subset of that name.
    pub(crate) fn subset(&self, name: &str) -> Option<Subset<'a>> {
        self.subsets.iter().copied().find(|(_, known)| *known.name.value == *name)
    }

    /// What it says of routes, which in Istio VirtualServices say.
    pub(crate) fn extension(&self) -> Option<Defaults<'a>> {
        let (resource, policy) = self.policy?;
        let says = policy.timeout.is_some() || policy.retries.is_some();
        says.then(|| Defaults::of_rule(resource, policy))
    }

    /// What it says of one port, and of one subset or all.
    pub(crate) fn effective(
        &self,
        policy: Option<&'a TrafficPolicy>,
        subset: Option<Subset<'a>>,
        port: Option<u16>,
    ) -> Effective<'a> {
        Effective::new(policy, subset.map(|(_, subset)| &subset.policy), port)
    }

    /// The names of the labels that endpoints are told apart by.
    pub(crate) fn labels(&self) -> Vec<Box<str>> {
        let settings = self.policies().flat_map(|policy| {
            let ports = policy.ports.iter().map(|port| &port.settings);
            std::iter::once(&policy.settings).chain(ports)
        });
        let near =
            settings.filter_map(|settings| settings.load_balancer.as_ref()).flat_map(|one| {
                let locality = one.locality.iter().flat_map(|one| &one.failover_priority);
                let zones = one.zone_aware.iter().flat_map(|one| &one.failover_priority);
                locality.chain(zones).map(|label| label.name.clone())
            });
        let chosen = self.subsets.iter().flat_map(|(_, subset)| subset.labels.iter());
        chosen.map(|(name, _)| name.clone()).chain(near).collect()
    }

    fn policies(&self) -> impl Iterator<Item = &'a TrafficPolicy> {
        let subsets = self.subsets.iter().map(|(_, subset)| &subset.policy);
        self.policy.iter().map(|(_, policy)| *policy).chain(subsets)
    }
}

// === impl Own ===

impl Credentials for Own<'_> {
    fn load(&self, tls: &ClientTls) -> Result<Loaded, String> {
        self.around.load(self.namespace, tls)
    }
}

// === functions ===

fn body(resource: Option<&Arc<Resource>>) -> Option<(&Arc<Resource>, &Kind)> {
    resource.map(|resource| (resource, &resource.body))
}

/// A document as a whole, to be said where a setting comes from.
pub(crate) fn from<'a>(around: &dyn Around, resource: &'a Arc<Resource>) -> From<'a> {
    let first_line = around.first_line(resource);
    From { resource, field: "spec", at: Pos::default(), first_line }
}

/// TLS that trusts nobody.
fn nobody() -> UpstreamTls {
    UpstreamTls { roots_pem: Some(Arc::new([])), ..UpstreamTls::default() }
}

/// Of the rules of one namespace those whose hosts are the most exact: those for some workloads
/// alone, and the others.
fn most_exact<'a>(rules: Vec<Rule<'a>>, out: &mut Output) -> (Vec<Rule<'a>>, Vec<Rule<'a>>) {
    let most = rules.iter().map(|rule| rule.exactness).max().unwrap_or_default();
    let (rules, wider): (Vec<_>, Vec<_>) =
        rules.into_iter().partition(|rule| rule.exactness == most);
    for rule in wider {
        let message = "for some of its hosts a rule with a more exact host holds instead";
        Place::new(rule.resource, rule.body.host.at, "spec.host").note(out, message);
    }
    rules.into_iter().partition(|rule| rule.body.selector.is_some())
}

fn written_export<'r>(around: &'r dyn Around, rule: &Rule<'r>) -> Option<&'r ExportTo> {
    let written = rule.body.export_to.as_ref().map(|export| &export.value);
    written.or(around.default_export())
}

fn is_exported_to(around: &dyn Around, rule: &Rule<'_>, namespace: &str) -> bool {
    written_export(around, rule).is_none_or(|to| to.reaches(rule.resource.namespace(), namespace))
}

/// Those about the whole service, then those about a part of it, which come on top; of each the
/// oldest last, which so has the last word, as is the custom of the Gateway API.
fn whole_first<T>(all: &[T], is_part: impl Fn(&&T) -> bool) -> impl Iterator<Item = &T> {
    let (parts, whole): (Vec<&T>, Vec<&T>) = all.iter().rev().partition(is_part);
    whole.into_iter().chain(parts)
}

/// Whether a policy is about a port; about those that no other names where `port` is `None`.
pub(crate) fn is_about(
    around: &dyn Around,
    target: &PolicyTarget,
    number: Option<u16>,
    port: Option<u16>,
) -> bool {
    let named = target.section.as_ref().map(|section| around.port(section));
    match (number, named) {
        (None, None) => true,
        (Some(number), _) => port == Some(number),
        (None, Some(named)) => named.is_some() && named == port,
    }
}
