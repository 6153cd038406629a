//! Parts of services: which endpoints have the labels that a subset asks for, and what speaks of
//! calls of a service.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use weft_model::calling::Labels;
use weft_model::mesh::IndexEntry;
use weft_resources::kubernetes::endpoints::SERVICE_NAME_LABEL;
use weft_resources::{Key, Kind, Resource, multicluster};

use super::export::Join;
use super::{Map, Meshed, Sources, is_inside, service_of_host};
use crate::age::age;

/// The endpoints of a service that are asked for.
pub(super) struct Part<'p> {
    labels: &'p Labels,
    /// Something was left out of which it is not known whether it is part of it.
    unsure: Cell<bool>,
}

/// Services while they are collected.
#[derive(Default)]
pub(super) struct Found {
    pub(super) services: Map<Map<Sources>>,
    /// The namespaces of the ServiceEntries for a host, in the order of files and lines.
    pub(super) homes: Map<Vec<Box<str>>>,
    /// What is a part of a service of several clusters.
    pub(super) joins: Vec<Join>,
}

// === impl Part ===

impl<'p> Part<'p> {
    /// Those that have all of these; all where there are none.
    pub(super) fn new(labels: &'p Labels) -> Self {
        Self { labels, unsure: Cell::new(false) }
    }

    /// Whether an endpoint with these labels is one of them; `None` for labels that are not known.
    pub(super) fn takes(&self, labels: Option<&Labels>) -> bool {
        if self.labels.is_empty() {
            return true;
        }
        let Some(labels) = labels else {
            self.unsure.set(true);
            return false;
        };
        self.labels.iter().all(|wanted| labels.contains(wanted))
    }

    /// Whether something was left out of which it is not known whether it is part of it.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure.get()
    }
}

// === impl Found ===

impl Found {
    /// Adds to what is known of a service, which exists from now on.
    pub(super) fn sources(&mut self, namespace: &str, name: &str, add: impl FnOnce(&mut Sources)) {
        let services = match self.services.get_mut(namespace) {
            Some(services) => services,
            None => self.services.entry(namespace.into()).or_default(),
        };
        add(services.entry(name.into()).or_default());
    }

    /// Adds a resource that says where a service is; `false` for all others.
    pub(super) fn add(&mut self, resource: &Arc<Resource>, mesh: Meshed<'_>) -> bool {
        let Key { namespace, name, .. } = &resource.key;
        match &resource.body {
            Kind::Service(service) => {
                self.sources(namespace, name, |sources| {
                    sources.service = Some(Arc::clone(resource));
                });
                self.joins.extend(service.local_part.as_ref().map(|part| Join {
                    namespace: namespace.clone(),
                    part: part.value.clone(),
                    whole: name.clone(),
                }));
            }
            Kind::Endpoints(_) => self.sources(namespace, name, |sources| {
                sources.endpoints = Some(Arc::clone(resource));
            }),
            Kind::EndpointSlice(_) => {
                let own = resource.label(SERVICE_NAME_LABEL).map(str::to_owned);
                let imported = resource.label(multicluster::SERVICE_NAME_LABEL);
                let imported = imported.map(|name| multicluster::host(namespace, name));
                for service in own.into_iter().chain(imported) {
                    self.sources(namespace, &service, |sources| {
                        sources.slices.push(Arc::clone(resource));
                    });
                }
            }
            Kind::ServiceImport(_) => {
                let host = multicluster::host(namespace, name);
                let meshed = meshed(&host, mesh);
                self.sources(namespace, &host, |sources| {
                    sources.service = Some(Arc::clone(resource));
                    sources.meshed = meshed.cloned();
                });
            }
            Kind::ServiceExport(_) => self.joins.push(Join {
                namespace: namespace.clone(),
                part: name.clone(),
                whole: multicluster::host(namespace, name).into(),
            }),
            Kind::ServiceEntry(entry) => {
                for host in &entry.hosts {
                    let meshed = meshed(host, mesh);
                    for (service, namespace) in names(host, namespace) {
                        self.sources(&namespace, &service, |sources| {
                            sources.entries.push(Arc::clone(resource));
                            sources.meshed = meshed.cloned();
                        });
                    }
                    self.homes.entry(host.clone()).or_default().push(namespace.clone());
                }
            }
            _ => return false,
        }
        true
    }

    pub(super) fn get_mut(&mut self, namespace: &str, name: &str) -> Option<&mut Sources> {
        self.services.get_mut(namespace)?.get_mut(name)
    }
}

// === impl Sources ===

impl Sources {
    /// The labels of the Pod at an address.
    pub(super) fn pod_labels(&self, addr: IpAddr) -> Option<&Labels> {
        let pod = self.pods.iter().find(|pod| match &pod.body {
            Kind::Pod(body) => body.addrs.contains(&addr),
            _ => false,
        });
        pod.map(|pod| &*pod.labels)
    }

    fn has_subsets(&self) -> bool {
        self.policies.iter().any(|resource| match &resource.body {
            Kind::DestinationRule(rule) => !rule.subsets.is_empty(),
            _ => false,
        })
    }
}

// === functions ===

/// What the mesh knows of a host, if it runs inside.
pub(super) fn meshed<'i>(host: &str, mesh: Meshed<'i>) -> Option<&'i Arc<IndexEntry>> {
    mesh.index.entries.get(host).filter(|entry| is_inside(entry))
}

/// Adds to the services what speaks of calls of them, and the Pods that they run in where labels
/// matter.
pub(super) fn attach(found: &mut Found, others: &[&Arc<Resource>], domain: &str) {
    let mut policies: Vec<&Arc<Resource>> =
        others.iter().copied().filter(|it| speaks(it)).collect();
    policies.sort_by(|a, b| age(a).cmp(&age(b)));
    let mut has_subsets = false;
    for resource in policies {
        for (namespace, name) in targets(found, resource, domain) {
            if let Some(sources) = found.get_mut(&namespace, &name)
                && !sources.policies.iter().any(|known| Arc::ptr_eq(known, resource))
            {
                sources.policies.push(Arc::clone(resource));
                has_subsets |= sources.has_subsets();
            }
        }
    }
    select_workloads(found, others);
    if !has_subsets {
        return;
    }
    let mut pods: HashMap<(&str, IpAddr), &Arc<Resource>> = HashMap::new();
    for resource in others {
        if let Kind::Pod(pod) = &resource.body {
            let addrs = pod.addrs.iter();
            pods.extend(addrs.map(|addr| ((resource.namespace(), *addr), *resource)));
        }
    }
    for (namespace, services) in &mut found.services {
        for sources in services.values_mut().filter(|sources| sources.has_subsets()) {
            let slices = sources.slices();
            let addrs = slices.iter().flat_map(|slice| &slice.endpoints);
            let addrs = addrs.flat_map(|endpoint| &endpoint.addresses);
            let at = addrs.filter_map(|addr| pods.get(&(&**namespace, *addr)).copied());
            let at: Vec<Arc<Resource>> = at.cloned().collect();
            sources.pods = at;
        }
    }
}

/// Adds to the services the WorkloadEntries that their ServiceEntries select.
fn select_workloads(found: &mut Found, others: &[&Arc<Resource>]) {
    let workloads: Vec<&Arc<Resource>> = others
        .iter()
        .copied()
        .filter(|resource| matches!(resource.body, Kind::WorkloadEntry(_)))
        .collect();
    if workloads.is_empty() {
        return;
    }
    for sources in found.services.values_mut().flat_map(HashMap::values_mut) {
        let selected = workloads.iter().filter(|resource| {
            let Kind::WorkloadEntry(workload) = &resource.body else { return false };
            sources.entries.iter().any(|home| match &home.body {
                Kind::ServiceEntry(entry) => {
                    home.namespace() == resource.namespace()
                        && !entry.selector.is_empty()
                        && entry.selector.iter().all(|wanted| workload.labels.contains(wanted))
                }
                _ => false,
            })
        });
        let selected = selected.map(|resource| Arc::clone(resource)).collect();
        sources.workloads = selected;
    }
}

/// Whether a document speaks of calls of services.
fn speaks(resource: &Resource) -> bool {
    matches!(
        resource.body,
        Kind::DestinationRule(_) | Kind::BackendTrafficPolicy(_) | Kind::TrafficPolicy(_)
    )
}

/// The services that a document speaks of, by namespace and name, whether they exist or not.
fn targets(found: &Found, resource: &Resource, domain: &str) -> Vec<(Box<str>, Box<str>)> {
    let home = resource.namespace();
    let own = |name: &str| (home.into(), name.into());
    match &resource.body {
        Kind::DestinationRule(rule) => match rule.host.strip_prefix('*') {
            Some(suffix) => {
                let all = found.services.iter().flat_map(|(namespace, services)| {
                    services.keys().map(move |name| (namespace.clone(), name.clone()))
                });
                all.filter(|(namespace, name)| whole(namespace, name, domain).ends_with(suffix))
                    .collect()
            }
            None => {
                let homes = found.homes.get(&**rule.host).into_iter().flatten();
                let entries = homes.map(|namespace| (namespace.clone(), rule.host.value.clone()));
                let (name, namespace) = service_of_host(&rule.host, home);
                entries.chain([(namespace, name)]).collect()
            }
        },
        Kind::BackendTrafficPolicy(policy) => {
            let services = policy.targets.iter().filter(|target| target.object.is_service());
            services.map(|target| own(&target.object.name)).collect()
        }
        Kind::TrafficPolicy(policy) => {
            let targets = policy.targets.iter().map(|target| &target.target.object);
            targets.filter(|object| object.is_service()).map(|object| own(&object.name)).collect()
        }
        _ => Vec::new(),
    }
}

/// The whole name of a service.
fn whole(namespace: &str, name: &str, domain: &str) -> String {
    match name.contains('.') {
        true => name.to_owned(),
        false => format!("{name}.{namespace}.svc.{domain}"),
    }
}

/// What a host of a ServiceEntry may be called: `a.b` may be a service of a namespace or a name
/// elsewhere.
fn names(host: &str, namespace: &str) -> Vec<(Box<str>, Box<str>)> {
    let named = service_of_host(host, namespace);
    let whole: (Box<str>, Box<str>) = (host.into(), namespace.into());
    let mut names = vec![named];
    names.extend(Some(whole).filter(|whole| *whole != names[0]));
    names
}
