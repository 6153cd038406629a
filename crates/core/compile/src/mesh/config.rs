//! What MeshConfig says.

use std::sync::Arc;

use weft_model::mesh::UnknownDestinations;
use weft_resources::istio::MeshConfig;
use weft_resources::istio::mesh_config::{CONFIG_MAP, CONFIG_MAP_KEY};
use weft_resources::istio::sidecar::OutboundMode;
use weft_resources::istio::virtual_service::Retries;
use weft_resources::set::Index;
use weft_resources::{Key, Kind, Pos, Problem, Resource};

use crate::context::Output;
use crate::istio::virtual_service::Written;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// MeshConfig as it is written: nothing, where it is not.
#[derive(Default)]
pub(crate) struct MeshDocument {
    pub(super) written: MeshConfig,
    /// The ConfigMap.
    resource: Option<Arc<Resource>>,
    problems: Vec<Problem>,
}

/// What holds for the whole mesh.
pub(super) struct Config {
    /// What becomes of calls to what the mesh does not know.
    pub(super) unknown: UnknownDestinations,
    /// All that is written.
    pub(super) document: MeshDocument,
}

// === impl MeshDocument ===

impl MeshDocument {
    /// The one among these resources.
    pub(crate) fn find(index: &Index, root_namespace: &str) -> Self {
        let resource = index.get(&Key::new("", "ConfigMap", root_namespace, CONFIG_MAP));
        let found = resource.and_then(|resource| Some((resource, of(resource, root_namespace)?)));
        let Some((resource, (written, problems))) = found else { return Self::default() };
        Self { written, resource: Some(Arc::clone(resource)), problems }
    }

    /// What is sent again where rules do not say.
    pub(crate) fn retries(&self) -> Option<Written<'_, &Retries>> {
        let value = self.written.default_http_retries.as_ref()?;
        let document = self.resource.as_deref()?;
        Some(Written::new(value, Pos::FIRST, document, "defaultHttpRetryPolicy"))
    }

    /// Says what is wrong with it.
    pub(crate) fn report(&self, out: &mut Output) {
        let Some(resource) = &self.resource else { return };
        for problem in &self.problems {
            out.problem(&resource.key, problem.clone());
        }
    }
}

// === impl Config ===

impl Config {
    pub(super) fn new(scene: &Scene<'_>, out: &mut Output) -> Self {
        let document = MeshDocument::find(scene.index, &scene.options.root_namespace);
        document.report(out);
        let own = &scene.options.trust_domain;
        let other = document.written.trust_domain.as_ref();
        let other = other.filter(|other| ***other != *own.as_str());
        if let (Some(resource), Some(other)) = (&document.resource, other) {
            let message = format!(
                "the authority of this mesh signs for `{own}`, which stays in force; `{other}` is not"
            );
            let fix = "a new trust domain needs a new authority";
            let path = format!("data.{CONFIG_MAP_KEY}.trustDomain");
            Place::new(resource, Pos::default(), &path).error_with(out, message, fix);
        }
        let unknown = document.written.outbound.map(unknown);
        Self { unknown: unknown.unwrap_or(scene.options.outbound), document }
    }
}

/// What a resource says for the whole mesh, if it is the one that does.
pub(super) fn of(resource: &Resource, root_namespace: &str) -> Option<(MeshConfig, Vec<Problem>)> {
    let Kind::ConfigMap(map) = &resource.body else { return None };
    if resource.name() != CONFIG_MAP || resource.namespace() != root_namespace {
        return None;
    }
    let text = String::from_utf8_lossy(map.value(CONFIG_MAP_KEY)?);
    Some(MeshConfig::read(&resource.file, &text))
}

/// The same in the terms of the model.
pub(super) fn unknown(mode: OutboundMode) -> UnknownDestinations {
    match mode {
        OutboundMode::AllowAny => UnknownDestinations::Allow,
        OutboundMode::RegistryOnly => UnknownDestinations::Refuse,
    }
}
