//! How a gateway calls, as far as documents speak of the service behind a backend.
//!
//! What the dialect of a route says of calls itself takes its place among the others: Gateway API
//! has the last word, Traefik and Ingress yield to Linkerd and Istio. A gateway has no place, so
//! that localities mean nothing to it. What a service of the mesh asks for is put in by the link to
//! the control plane, which knows more of the caller.

mod check;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use weft_model::backend::{Backend, Endpoints, UpstreamProtocol};
use weft_model::calling::{Audience, Calling, HttpUpgrade, Labels, Source};
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, Step, StepKind};
use weft_model::route::{Bound, Route, Timeouts};
use weft_resources::istio::destination_rule::{
    ClientTls, ClientTlsMode, DestinationRule, LocalityLb,
};
use weft_resources::istio::value::ExportTo;
use weft_resources::{Kind, Resource};

use super::documents::{Around, Documents, OwnPolicy, Rule, Subset, Variant, is_about};
use super::istio::Loaded;
use super::layers::{From, Layers, Part};
use super::own::rules::{Added, apply_by_target};
use crate::certificates::{self, InvalidCertificate};
use crate::context::{Output, Scope};
use crate::dialect;
use crate::istio::virtual_service::{Defaults, retry};
use crate::services::Sources;

pub(crate) use check::check;

/// The namespace whose DestinationRules hold for all services, and in which MeshConfig is.
pub(crate) const ROOT_NAMESPACE: &str = "istio-system";

/// A port of a service, and who calls it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'q> {
    /// The namespace of the caller: that of the route.
    pub(crate) caller: &'q str,
    /// The service's.
    pub(crate) namespace: &'q str,
    /// Its name.
    pub(crate) name: &'q str,
    /// Its port.
    pub(crate) port: u16,
    /// The port's name, empty when it has none.
    pub(crate) port_name: &'q str,
    /// A part of its endpoints, or all.
    pub(crate) subset: Option<&'q str>,
    /// TLS that somebody else has begun goes through: none is put around it.
    pub(crate) is_tls_through: bool,
}

/// What the dialect of a route says of calls by itself.
#[derive(Debug, Clone)]
pub(crate) struct Base<'a> {
    /// The settings, defaults included.
    pub(crate) calling: Calling,
    /// The parts that somebody wrote, with where.
    pub(crate) parts: Vec<(Part, From<'a>)>,
    /// Whether those hold whatever others say.
    pub(crate) is_last_word: bool,
}

/// What documents about a service say besides how its backend is called.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// Where the settings come from.
    pub(crate) sources: Arc<[Source]>,
    /// What holds for routes that do not say it themselves.
    pub(crate) timeouts: Option<Arc<Timeouts>>,
    /// What is added to rules that lead there.
    pub(crate) added: Option<Arc<Added>>,
}

/// One service, seen by a gateway.
struct Seen<'s, 'a> {
    scope: &'s Scope<'a>,
    port: Option<(&'s str, u16)>,
}

/// The documents about a service, and those of them that hold for a caller.
struct Found<'a> {
    documents: Documents<'a>,
    variant: Variant<'a>,
    /// Whether other callers are subject to others.
    is_special: bool,
}

/// A backend that is called as documents say; its own settings are in `base`.
///
/// # Errors
///
/// The answer instead, where a document asks for protection that cannot be had.
pub(crate) fn called<'a>(
    scope: &Scope<'a>,
    ask: Ask<'_>,
    base: Base<'a>,
    mut backend: Backend,
    out: &mut Output,
) -> Result<(Backend, Said), Refusal> {
    let seen = Seen { scope, port: Some((ask.port_name, ask.port)) };
    let is_meshed = matches!(backend.endpoints, Endpoints::Service { .. });
    let service = (ask.namespace, ask.name);
    let added = added(&seen, ask, is_meshed, out);
    let found = if is_meshed { None } else { find(&seen, ask.caller, service, out) };
    let Some(found) = found else {
        backend.calling = Arc::new(base.calling);
        return Ok((backend, Said { added, ..Said::default() }));
    };
    let Found { documents, variant, is_special } = &found;
    let subset = ask.subset.and_then(|name| variant.subset(name));
    let Base { calling, parts, is_last_word } = base;
    let has_own_tls = is_last_word && parts.iter().any(|(part, _)| *part == Part::Tls);
    if !ask.is_tls_through && !has_own_tls {
        check_protection(&seen, variant, subset, ask)?;
    }
    let mut layers = Layers::new(calling.clone());
    documents.service(&seen, &mut layers, out);
    if !is_last_word {
        for (part, from) in &parts {
            layers.put(*part, *from, &calling, out);
        }
    }
    documents.policies(&seen, variant, (subset, Some(ask.port)), &mut layers, out);
    // Whoever asks for TLS gets it, even where a document of a greater dialect asks for none.
    let lost_tls = calling.tls.is_some() && layers.calling.tls.is_none();
    for (part, from) in &parts {
        if is_last_word || *part == Part::Tls && lost_tls {
            layers.put(*part, *from, &calling, out);
        }
    }
    let mut id = backend.id.to_string();
    if ask.is_tls_through && layers.calling.tls.take().is_some() {
        id.push_str("+through");
    }
    if *is_special {
        let _ = write!(id, "+for={}", ask.caller);
    }
    // A gateway by itself has neither a place nor peers of the mesh.
    layers.leave(Part::Locality);
    layers.calling.without_mesh_tls = false;
    backend.id = BackendId::new(id);
    backend.protocol = upgraded(backend.protocol, layers.calling.upgrade);
    let sources;
    (backend.calling, sources) = layers.finish();
    let timeouts = variant.extension().map(|said| Arc::new(timeouts(&seen, said)));
    Ok((backend, Said { sources, timeouts, added }))
}

/// The labels that endpoints of a subset have; `None` when no document that holds for the caller
/// knows it.
pub(crate) fn subset_labels<'a>(
    scope: &Scope<'a>,
    caller: &str,
    (namespace, name): (&str, &str),
    subset: &str,
) -> Option<&'a Labels> {
    let seen = Seen { scope, port: None };
    let found = find(&seen, caller, (namespace, name), &mut Output::default())?;
    found.variant.subset(subset).map(|(_, subset)| &*subset.labels)
}

/// What a DestinationRule says of a service's routes, which in Istio VirtualServices say.
pub(crate) fn extension<'a>(
    scope: &Scope<'a>,
    caller: &str,
    (namespace, name): (&str, &str),
) -> Option<Defaults<'a>> {
    let seen = Seen { scope, port: None };
    let found = find(&seen, caller, (namespace, name), &mut Output::default())?;
    found.variant.extension()
}

/// Puts what documents about services say of routes into those of every dialect that lead there: what
/// DestinationRules say that the routes do not say themselves, and what TrafficPolicies add.
pub(crate) fn extend(out: &mut Output) {
    let Output { drafts, said, .. } = out;
    if said.values().all(|said| said.timeouts.is_none() && said.added.is_none()) {
        return;
    }
    for route in drafts.routes_mut() {
        // Istio's own rules know it already.
        if route.rank.dialect != dialect::ISTIO {
            extend_timeouts(route, said);
        }
        apply_by_target(route, &|id| said.get(id)?.added.as_deref());
    }
}

fn extend_timeouts(route: &mut Arc<Route>, said: &HashMap<BackendId, Said>) {
    let backends = route.target.backends();
    let said = backends.into_iter().find_map(|id| said.get(id)?.timeouts.as_ref());
    let Some(said) = said else { return };
    let is_retry = |step: &Arc<Step>| matches!(step.kind, StepKind::Retry(_));
    let says_retry = route.timeouts.retry.is_some() || route.steps.iter().any(is_retry);
    let wants = |has: bool, says: bool| !has && says;
    let request = wants(route.timeouts.request.is_some(), said.request.is_some());
    let retry = wants(says_retry, said.retry.is_some());
    if request || retry {
        let timeouts = &mut Arc::make_mut(route).timeouts;
        if request {
            timeouts.request = said.request;
        }
        if retry {
            timeouts.retry.clone_from(&said.retry);
        }
        let is_taken = |(bound, _): &&(Bound, Source)| match bound {
            Bound::Request => request,
            Bound::Retry => retry,
            Bound::Response | Bound::Idle => false,
        };
        timeouts.inherited = said.inherited.iter().filter(is_taken).cloned().collect();
    }
}

/// What is spoken where the settings ask for another version of HTTP.
fn upgraded(said: UpstreamProtocol, upgrade: HttpUpgrade) -> UpstreamProtocol {
    match (said, upgrade) {
        (said, HttpUpgrade::Default) => said,
        (_, HttpUpgrade::Http2) | (UpstreamProtocol::Http2, HttpUpgrade::Never) => {
            UpstreamProtocol::Http2
        }
        (_, HttpUpgrade::Never) => UpstreamProtocol::Http1,
        (_, HttpUpgrade::AsClient) => UpstreamProtocol::AsClient,
    }
}

/// Why a TLS section with such a list is not obeyed.
pub(crate) const NO_CRL: &str = "lists of revoked certificates (`caCrl`) are not read";

/// The files that a DestinationRule names.
pub(crate) fn referenced_files(rule: &DestinationRule) -> Vec<Box<str>> {
    let subsets = rule.subsets.iter().map(|subset| &subset.policy);
    let policies = std::iter::once(&rule.policy).chain(subsets);
    let settings = policies.flat_map(|policy| {
        let ports = policy.ports.iter().map(|port| &port.settings);
        std::iter::once(&policy.settings).chain(ports)
    });
    let sections = settings.filter_map(|settings| settings.tls.as_ref());
    let files = sections
        .flat_map(|tls| tls.roots_file().into_iter().chain(tls.pair_files().into_iter().flatten()));
    files.map(|file| file.value.clone()).collect()
}

// === impl Seen ===

impl Around for Seen<'_, '_> {
    fn root_namespace(&self) -> &str {
        ROOT_NAMESPACE
    }

    fn default_export(&self) -> Option<&ExportTo> {
        None
    }

    fn locality(&self) -> Option<&LocalityLb> {
        None
    }

    fn first_line(&self, document: &Resource) -> u32 {
        self.scope.first_line(document)
    }

    fn port(&self, name: &str) -> Option<u16> {
        self.port.filter(|(known, _)| *known == name).map(|(_, number)| number)
    }

    fn load(&self, namespace: &str, tls: &ClientTls) -> Result<Loaded, String> {
        if tls.ca_crl.is_some() {
            return Err(NO_CRL.into());
        }
        if let Some(name) = &tls.credential_name {
            return self.secret(namespace, name, *tls.mode);
        }
        let roots_pem = match tls.roots_file() {
            Some(file) => {
                let pem = self.file(file)?;
                let origin = format!("file `{}`", **file);
                certificates::check_roots(&origin, &pem).map_err(|error| error.to_string())?;
                Some(pem)
            }
            None => None,
        };
        let client = match tls.pair_files() {
            Some([chain, key]) => {
                let (pem, key) = (self.file(chain)?, self.file(key)?);
                let origin = format!("file `{}`", **chain);
                let (found, error) = self.scope.certificates().of_pair(&origin, &pem, &key);
                let error = || error.map(|error| error.to_string()).unwrap_or_default();
                Some(found.ok_or_else(error)?)
            }
            None => None,
        };
        Ok(Loaded { roots_pem, client, files: None })
    }
}

impl Seen<'_, '_> {
    fn file(&self, name: &str) -> Result<Arc<[u8]>, String> {
        let file = self.scope.options().files.get(name);
        file.map(Arc::clone).ok_or_else(|| format!("file `{name}` cannot be read"))
    }

    /// What a Secret holds, and the one beside it with authorities.
    fn secret(&self, namespace: &str, name: &str, mode: ClientTlsMode) -> Result<Loaded, String> {
        let roots = certificates::authorities(&|key| self.scope.get(key), namespace, name)
            .map_err(|error| error.to_string())?;
        let client = match mode {
            ClientTlsMode::Mutual => {
                let found = self.scope.certificate(namespace, name);
                Some(found.map_err(|error| error.to_string())?)
            }
            _ => None,
        };
        if client.is_none() && roots.is_none() {
            return Err(InvalidCertificate::no_authority(namespace, name).to_string());
        }
        Ok(Loaded { roots_pem: roots, client, files: None })
    }
}

// === functions ===

/// What a DestinationRule says of routes.
fn timeouts(seen: &Seen<'_, '_>, said: Defaults<'_>) -> Timeouts {
    Timeouts {
        request: said.timeout.map(|timeout| timeout.value),
        retry: said.retries.and_then(|retries| retry(Some(retries.value))),
        inherited: said.sources(&|document| seen.first_line(document)),
        ..Timeouts::default()
    }
}

/// The documents that speak of a service.
fn documents(sources: &Arc<Sources>) -> Documents<'_> {
    let mut documents = Documents::default();
    let is_said = |resource: &&Arc<Resource>| {
        resource.body.as_service().is_some_and(|service| {
            let balancer = &service.balancer;
            service.client_affinity.is_some()
                || service.distribution.is_some()
                || balancer.failure_accrual.is_some()
                || balancer.load_biaser.is_some()
        })
    };
    documents.service = sources.service.as_ref().filter(is_said);
    for resource in &sources.policies {
        match &resource.body {
            Kind::DestinationRule(body) => {
                let suffix = body.host.strip_prefix('*');
                let exactness = suffix.map_or(usize::MAX, str::len);
                documents.rules.push(Rule { resource, body, exactness });
            }
            Kind::BackendTrafficPolicy(policy) => {
                let targets = policy.targets.iter().filter(|target| {
                    target.object.is_service() && *target.object.name == *sources.name
                });
                documents.gateway_api.extend(targets.map(|target| (resource, &**policy, target)));
            }
            _ => {}
        }
    }
    documents.own = own(sources);
    documents
}

/// The TrafficPolicies that speak of a service, oldest first.
fn own(sources: &Sources) -> Vec<OwnPolicy<'_>> {
    let mut found = Vec::new();
    for resource in &sources.policies {
        let Kind::TrafficPolicy(policy) = &resource.body else { continue };
        let targets = policy.targets.iter().filter(|target| {
            let object = &target.target.object;
            object.is_service() && *object.name == *sources.name
        });
        found.extend(targets.map(|target| (resource, &**policy, target)));
    }
    found
}

/// What TrafficPolicies about a service add to rules that lead to it.
fn added(
    seen: &Seen<'_, '_>,
    ask: Ask<'_>,
    is_meshed: bool,
    out: &mut Output,
) -> Option<Arc<Added>> {
    let sources = seen.scope.sources(ask.namespace, ask.name)?;
    let (mut whole, mut of_port): (Vec<(&Resource, _)>, Vec<(&Resource, _)>) = Default::default();
    for (resource, policy, target) in own(sources) {
        let named = &target.target;
        let one: (&Resource, _) = (resource, policy);
        if target.is_whole() && !whole.iter().any(|(known, _)| known.key == resource.key) {
            whole.push(one);
        }
        let is_new = !of_port.iter().any(|(known, _)| known.key == resource.key);
        if is_new && is_about(seen, named, target.port, Some(ask.port)) {
            of_port.push(one);
        }
    }
    let mut added = Added::of_service(whole, out);
    if !(is_meshed && sources.is_guarded()) {
        // Otherwise the proxies beside its workloads count.
        let service = (ask.namespace, ask.name);
        added.add_rates(of_port, &seen.scope.options().trust_domain, service, out);
    }
    (!added.is_empty()).then(|| Arc::new(added))
}

/// The documents about the service, and which hold for the caller; `None` where there are none, or
/// where it is for the link to look at them.
fn find<'a>(
    seen: &Seen<'_, 'a>,
    caller: &str,
    (namespace, name): (&str, &str),
    out: &mut Output,
) -> Option<Found<'a>> {
    let sources = seen.scope.sources(namespace, name)?;
    let documents = documents(sources);
    if documents.is_empty() {
        return None;
    }
    let variants = documents.variants(seen, namespace, out);
    let is_special = variants.iter().any(|variant| !variant.audience.namespaces.is_empty());
    let mut fitting = variants.into_iter().filter(|variant| variant.audience.fits(caller, &[]));
    let variant = fitting.next()?;
    let is_special = is_special && variant.audience != Audience::default();
    Some(Found { documents, variant, is_special })
}

/// What is asked for and not possible here is not called in plain text instead.
fn check_protection(
    seen: &Seen<'_, '_>,
    variant: &Variant<'_>,
    subset: Option<Subset<'_>>,
    ask: Ask<'_>,
) -> Result<(), Refusal> {
    let refuse =
        |message: String| Refusal { reason: Reason::PolicyUnenforceable, detail: message.into() };
    if let Some(resource) = variant.broken {
        let message = format!("{} has errors and asks for TLS", resource.key);
        return Err(refuse(message));
    }
    let (resource, policy) = variant.policy.unzip();
    let Some(resource) = resource.or(subset.map(|(resource, _)| resource)) else { return Ok(()) };
    let Some(tls) = variant.effective(policy, subset, Some(ask.port)).tls() else { return Ok(()) };
    let why = match *tls.mode {
        ClientTlsMode::Disable => return Ok(()),
        ClientTlsMode::IstioMutual => {
            Err("it needs the certificates of the mesh, which a gateway by itself lacks".into())
        }
        ClientTlsMode::Simple | ClientTlsMode::Mutual => {
            seen.load(resource.namespace(), tls).map(drop)
        }
    };
    let in_words = |why: String| refuse(format!("{} asks for TLS: {why}", resource.key));
    why.map_err(in_words)
}
