//! What a dialect reads from, and what it adds to.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use weft_model::backend::Backend;
use weft_model::calling::Labels;
use weft_model::id::{BackendId, RouteId};
use weft_model::listener::Certificate;
use weft_resources::kubernetes::service::PortRef;
use weft_resources::set::{Index, Item};
use weft_resources::{Key, Kind, Pos, Problem, Resource};

use crate::calling::gateway::Said;
use crate::calling::own::policies::Policies;
use crate::calling::own::rules::{About, Added};
use crate::certificates::{self, InvalidCertificate};
use crate::listeners::Drafts;
use crate::mesh::MeshDocument;
use crate::options::Options;
use crate::report::Verdict;
use crate::services::{Resolved, Services, Sources, Unresolved};

/// What a dialect reads from.
pub(crate) struct Context<'a> {
    /// The command line's part.
    pub(crate) options: &'a Options,
    /// The resources in force, in the order of files and lines; for a broken one its last good
    /// form.
    pub(crate) resources: &'a [Arc<Resource>],
    /// The same by key, with their lines.
    pub(crate) index: &'a Index,
    /// Where services are.
    pub(crate) services: &'a Services,
    /// Resources that are written but not in force, and where.
    pub(crate) rejected: &'a HashMap<Key, Place>,
    /// Certificates read before.
    pub(crate) certificates: &'a certificates::Store<'a>,
    /// TrafficPolicies by what they are about.
    pub(crate) policies: &'a Policies<'a>,
    /// What holds for a whole mesh, gateways included.
    pub(crate) mesh_config: &'a MeshDocument,
}

/// Where a rejected resource is written: file and line.
pub(crate) type Place = (Arc<str>, u32);

/// A context that notes what was looked up in it, so that what was made from the answers can be
/// used again while they stay the same.
pub(crate) struct Scope<'a> {
    context: &'a Context<'a>,
    dependencies: RefCell<Vec<Dependency>>,
}

/// What was looked up, and the answer by pointer.
#[derive(Debug, Clone)]
pub(crate) enum Dependency {
    /// A resource.
    Resource(Arc<Resource>),
    /// A resource that did not exist, or was rejected there.
    NoResource(Box<(Key, Option<Place>)>),
    /// All that speaks of a service.
    Service(Arc<Sources>),
    /// The line at which a resource stands.
    Line(Box<(Key, u32)>),
    /// A service, by namespace and name, of which nothing spoke.
    NoService(Box<(Box<str>, Box<str>)>),
}

/// What dialects add to.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Addresses and what is served on them.
    pub(crate) drafts: Drafts,
    /// Destinations.
    pub(crate) backends: BTreeMap<BackendId, Arc<Backend>>,
    /// What documents about their services say besides how destinations are called.
    pub(crate) said: HashMap<BackendId, Said>,
    /// The lines of the files at which the rules of routes stand.
    pub(crate) lines: HashMap<RouteId, u32>,
    /// What to say about resources that were decoded well. Places are those in the resource.
    pub(crate) problems: HashMap<Key, Vec<Problem>, SeedableState<'static>>,
    /// What else is wrong with documents that are rejected, by the address of their item.
    pub(crate) draft_problems: HashMap<*const Item, Vec<Problem>>,
    /// What to say about the command line.
    pub(crate) general: Vec<Problem>,
    /// Verdicts that do not follow from the problems.
    pub(crate) verdicts: HashMap<Key, Verdict, SeedableState<'static>>,
}

// === impl Context ===

impl<'a> Context<'a> {
    /// A resource by name.
    pub(crate) fn get(
        &self,
        group: &'static str,
        kind: &'static str,
        namespace: &str,
        name: &str,
    ) -> Option<&'a Arc<Resource>> {
        self.index.get(&Key::new(group, kind, namespace, name))
    }

    /// The addresses behind a port of a service.
    pub(crate) fn resolve(
        &self,
        namespace: &str,
        name: &str,
        port: &PortRef,
    ) -> Result<Resolved, Unresolved> {
        self.services.resolve(self.options, namespace, name, port)
    }

    /// The certificate of a Secret of type `kubernetes.io/tls`.
    pub(crate) fn certificate(
        &self,
        namespace: &str,
        secret: &str,
    ) -> Result<Arc<Certificate>, InvalidCertificate> {
        let resource = self.get("", "Secret", namespace, secret);
        secret_certificate(self, resource, namespace, secret)
    }

    /// What TrafficPolicies add to a rule of a route, which may be several at once
    /// ([`Added::of_rule`]).
    pub(crate) fn added(&self, rules: &[About<'_>], out: &mut Output) -> Added {
        let policies = |route: &Key| self.policies.about(route);
        Added::of_rule(rules, policies, &self.options.trust_domain, out)
    }

    /// The line of its file at which a place of a resource stands; its first line for a place that
    /// is not known.
    pub(crate) fn line(&self, resource: &Resource, at: Pos) -> u32 {
        let at = if at == Pos::default() { Pos::FIRST } else { at };
        self.index.line(&resource.key).map_or(0, |first_line| at.from_line(first_line).line)
    }

    /// A context that notes what is looked up.
    pub(crate) fn scope(&'a self) -> Scope<'a> {
        Scope { context: self, dependencies: RefCell::default() }
    }
}

fn secret_certificate(
    context: &Context<'_>,
    resource: Option<&Arc<Resource>>,
    namespace: &str,
    secret: &str,
) -> Result<Arc<Certificate>, InvalidCertificate> {
    match resource.map(|resource| (resource, &resource.body)) {
        Some((resource, Kind::Secret(body))) => context.certificates.of_secret(resource, body),
        _ => Err(match context.rejected.get(&Key::new("", "Secret", namespace, secret)) {
            Some((file, line)) => InvalidCertificate::Rejected {
                name: format!("{namespace}/{secret}"),
                place: format!("{file}:{line}"),
            },
            None => {
                InvalidCertificate::NoSecret { namespace: namespace.into(), name: secret.into() }
            }
        }),
    }
}

// === impl Scope ===

impl<'a> Scope<'a> {
    /// The command line's part.
    pub(crate) fn options(&self) -> &'a Options {
        self.context.options
    }

    /// Certificates read before. What they are read from is not noted.
    pub(crate) fn certificates(&self) -> &'a certificates::Store<'a> {
        self.context.certificates
    }

    /// A resource by key.
    pub(crate) fn get(&self, key: Key) -> Option<&'a Arc<Resource>> {
        let found = self.context.index.get(&key);
        self.dependencies.borrow_mut().push(match found {
            Some(found) => Dependency::Resource(Arc::clone(found)),
            None => {
                let place = self.context.rejected.get(&key).cloned();
                Dependency::NoResource(Box::new((key, place)))
            }
        });
        found
    }

    /// The line of its file at which a place of a resource stands, to be told in words. Where
    /// those words are kept, a line that moves is a change.
    pub(crate) fn line(&self, resource: &Resource, at: Pos) -> u32 {
        let key = &resource.key;
        if let Some(first_line) = self.context.index.line(key) {
            self.dependencies
                .borrow_mut()
                .push(Dependency::Line(Box::new((key.clone(), first_line))));
        }
        self.context.line(resource, at)
    }

    /// Where a resource is written that is not in force.
    pub(crate) fn rejected(&self, key: &Key) -> Option<&'a Place> {
        self.context.rejected.get(key)
    }

    /// The addresses behind a port of a service.
    pub(crate) fn resolve(
        &self,
        namespace: &str,
        name: &str,
        port: &PortRef,
    ) -> Result<Resolved, Unresolved> {
        self.note_service(namespace, name);
        self.context.resolve(namespace, name, port)
    }

    /// The addresses of those endpoints of a service that have `labels`.
    pub(crate) fn resolve_part(
        &self,
        (namespace, name): (&str, &str),
        port: &PortRef,
        labels: &Labels,
    ) -> Result<Resolved, Unresolved> {
        self.note_service(namespace, name);
        self.context.services.resolve_part(self.context.options, namespace, name, port, labels)
    }

    /// All that speaks of a service.
    pub(crate) fn sources(&self, namespace: &str, name: &str) -> Option<&'a Arc<Sources>> {
        self.note_service(namespace, name);
        self.context.services.sources(namespace, name)
    }

    /// The line of its file at which a resource begins; 0 when unknown.
    pub(crate) fn first_line(&self, resource: &Resource) -> u32 {
        self.line(resource, Pos::FIRST)
    }

    /// The ports of a service.
    pub(crate) fn ports(&self, namespace: &str, name: &str) -> Vec<PortRef> {
        self.note_service(namespace, name);
        self.context.services.ports(namespace, name)
    }

    /// The certificate of a Secret.
    pub(crate) fn certificate(
        &self,
        namespace: &str,
        secret: &str,
    ) -> Result<Arc<Certificate>, InvalidCertificate> {
        let resource = self.get(Key::new("", "Secret", namespace, secret));
        secret_certificate(self.context, resource, namespace, secret)
    }

    /// What was looked up.
    pub(crate) fn into_dependencies(self) -> Box<[Dependency]> {
        self.dependencies.into_inner().into()
    }

    fn note_service(&self, namespace: &str, name: &str) {
        self.dependencies.borrow_mut().push(match self.context.services.sources(namespace, name) {
            Some(sources) => Dependency::Service(Arc::clone(sources)),
            None => Dependency::NoService(Box::new((namespace.into(), name.into()))),
        });
    }
}

// === impl Dependency ===

impl Dependency {
    /// Whether a lookup now has the same answer.
    pub(crate) fn holds(&self, context: &Context<'_>) -> bool {
        match self {
            Self::Resource(found) => {
                context.index.get(&found.key).is_some_and(|now| Arc::ptr_eq(now, found))
            }
            Self::NoResource(missing) => {
                let (key, place) = &**missing;
                context.index.get(key).is_none() && context.rejected.get(key) == place.as_ref()
            }
            Self::Line(known) => context.index.line(&known.0) == Some(known.1),
            Self::Service(found) => context
                .services
                .sources(&found.namespace, &found.name)
                .is_some_and(|now| Arc::ptr_eq(now, found)),
            Self::NoService(name) => context.services.sources(&name.0, &name.1).is_none(),
        }
    }
}

// === impl Output ===

impl Output {
    /// Adds a destination and answers its id. The same id with another value is a bug of the
    /// caller; the first one stands.
    pub(crate) fn backend(&mut self, backend: Arc<Backend>) -> BackendId {
        let id = backend.id.clone();
        self.backends.entry(id.clone()).or_insert(backend);
        id
    }

    /// The same with what documents about its service say besides.
    pub(crate) fn called(&mut self, backend: Arc<Backend>, said: Said) -> BackendId {
        let id = self.backend(backend);
        self.said.entry(id.clone()).or_insert(said);
        id
    }

    /// Says something about a resource.
    pub(crate) fn problem(&mut self, key: &Key, problem: Problem) {
        self.problems.entry(key.clone()).or_default().push(problem);
    }

    /// The same, unless it is said already.
    pub(crate) fn problem_once(&mut self, key: &Key, problem: &Problem) {
        if !self.problems.get(key).is_some_and(|said| said.contains(problem)) {
            self.problem(key, problem.clone());
        }
    }

    /// What was said about resources, in the order of their keys and then in that in which it was
    /// found.
    pub(crate) fn into_problems(self) -> Box<[(Key, Problem)]> {
        let mut keys: Vec<(Key, Vec<Problem>)> = self.problems.into_iter().collect();
        keys.sort_by(|(a, _), (b, _)| a.cmp(b));
        let of_key = |(key, problems): (Key, Vec<Problem>)| {
            problems.into_iter().map(move |problem| (key.clone(), problem))
        };
        keys.into_iter().flat_map(of_key).collect()
    }

    /// Sets a verdict that does not follow from the problems.
    pub(crate) fn verdict(&mut self, key: &Key, verdict: Verdict) {
        self.verdicts.insert(key.clone(), verdict);
    }
}
