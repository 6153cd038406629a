//! The resources that a mesh is made of.

use std::sync::Arc;

use weft_model::id::ServiceName;
use weft_resources::resource::Annotation;
use weft_resources::set::Index;
use weft_resources::{Key, Resource};

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

// === impl Scene ===

impl<'a> Scene<'a> {
    pub(super) fn new(
        resources: &'a [Arc<Resource>],
        index: &'a Index,
        options: &'a MeshOptions,
    ) -> Self {
        let mut resources: Vec<&Arc<Resource>> = resources.iter().collect();
        // What has no time yet is the newest.
        let age = |resource: &'a Resource| (resource.created.is_empty(), &*resource.created);
        resources.sort_by(|a, b| age(a).cmp(&age(b)).then_with(|| a.key.cmp(&b.key)));
        Self { resources, index, options }
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
        ServiceName::new(format!("{name}.{namespace}.svc.{}", self.options.domain))
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

/// Whether labels have all that a selector asks for.
pub(super) fn fits(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|wanted| labels.contains(wanted))
}
