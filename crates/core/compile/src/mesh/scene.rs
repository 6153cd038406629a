//! The resources that a mesh is made of.

use std::collections::HashSet;
use std::sync::Arc;

use rapidhash::fast::SeedableState;
use weft_model::id::ServiceName;
use weft_resources::gateway_api::ObjectRef;
use weft_resources::resource::Annotation;
use weft_resources::set::Index;
use weft_resources::{Key, Kind, Resource, multicluster};

use crate::age::age;
use crate::mesh::MeshOptions;

/// The resources in force.
pub(super) struct Scene<'a> {
    /// Oldest first: of two that exclude each other, the older one wins.
    pub(super) resources: Vec<&'a Arc<Resource>>,
    /// The same by key.
    pub(super) index: &'a Index,
    pub(super) options: &'a MeshOptions,
}

/// Pairs of names and values, as resources have them.
pub(super) type Labels = [(Box<str>, Box<str>)];

/// Whose service it is that a namespace and a name stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Clusters {
    /// That of this cluster.
    This,
    /// That of several (KEP-1645).
    Several,
}

// === impl Clusters ===

impl Clusters {
    /// Whose service a document is about.
    pub(super) fn of(resource: &Resource) -> Self {
        match resource.body {
            Kind::ServiceImport(_) | Kind::ServiceExport(_) => Self::Several,
            _ => Self::This,
        }
    }
}

// === impl Scene ===

impl<'a> Scene<'a> {
    /// The scene of resources in the order of [`by_age`].
    pub(super) fn new(
        resources: &'a [Arc<Resource>],
        index: &'a Index,
        options: &'a MeshOptions,
    ) -> Self {
        Self { resources: resources.iter().collect(), index, options }
    }

    /// A resource by name.
    pub(super) fn get(
        &self,
        group: &'static str,
        kind: &'static str,
        namespace: &str,
        name: &str,
    ) -> Option<&'a Arc<Resource>> {
        self.index.get(&Key::new(group, kind, namespace, name))
    }

    /// An annotation of a namespace, with its resource.
    pub(super) fn namespace_annotation(
        &self,
        namespace: &str,
        name: &str,
    ) -> Option<(&'a Resource, &'a Annotation)> {
        let resource = self.get("", "Namespace", "", namespace)?;
        Some((resource, resource.find_annotation(name)?))
    }

    /// The whole name of a service of the cluster.
    pub(super) fn service_name(&self, namespace: &str, name: &str) -> ServiceName {
        ServiceName::new([name, ".", namespace, ".svc.", &self.options.domain].concat())
    }

    /// The whole name of a service.
    pub(super) fn name(&self, clusters: Clusters, namespace: &str, name: &str) -> ServiceName {
        match clusters {
            Clusters::This => self.service_name(namespace, name),
            Clusters::Several => ServiceName::new(multicluster::host(namespace, name)),
        }
    }

    /// The whole name of the service that a document is about.
    pub(super) fn name_of(&self, resource: &Resource) -> ServiceName {
        self.name(Clusters::of(resource), resource.namespace(), resource.name())
    }

    /// The whole name of the service that a reference of a document of `home` leads to, if it leads
    /// to one.
    pub(super) fn referred(&self, object: &ObjectRef, home: &str) -> Option<ServiceName> {
        let clusters = match object {
            _ if object.is_service() => Clusters::This,
            _ if object.is(multicluster::GROUP, "ServiceImport") => Clusters::Several,
            _ => return None,
        };
        Some(self.name(clusters, object.namespace_or(home), &object.name))
    }

    /// The whole name for a host of a document of `namespace`. `payments` and `payments.shop.svc`
    /// are services of the cluster; all else stands for itself.
    pub(super) fn host(&self, host: &str, namespace: &str) -> ServiceName {
        if !host.contains('.') {
            return self.service_name(namespace, host);
        }
        let mut parts = host.split('.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), Some(namespace), Some("svc"), None) => self.service_name(namespace, name),
            _ => ServiceName::new(host),
        }
    }
}

/// Resources, the oldest first. Those that `before`, which is in this order, has already, are not
/// compared again: a mesh has thousands, of which one has changed.
pub(super) fn by_age(resources: &[Arc<Resource>], before: &[Arc<Resource>]) -> Vec<Arc<Resource>> {
    let known: Pointers = before.iter().map(Arc::as_ptr).collect();
    let (kept, mut new): (Vec<_>, Vec<_>) =
        resources.iter().partition(|resource| known.contains(&Arc::as_ptr(resource)));
    new.sort_by(|a, b| age(a).cmp(&age(b)));
    let stays: Pointers = kept.into_iter().map(Arc::as_ptr).collect();
    let kept: Vec<_> = before.iter().filter(|one| stays.contains(&Arc::as_ptr(one))).collect();
    let mut kept = kept.as_slice();
    let mut all = Vec::with_capacity(resources.len());
    for resource in new {
        let (older, newer) = kept.split_at(kept.partition_point(|one| age(one) < age(resource)));
        all.extend(older.iter().copied().cloned());
        all.push(Arc::clone(resource));
        kept = newer;
    }
    all.extend(kept.iter().copied().cloned());
    all
}

/// Resources by their address.
type Pointers = HashSet<*const Resource, SeedableState<'static>>;

/// Whether labels have all that a selector asks for.
pub(super) fn fits(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|wanted| labels.contains(wanted))
}
