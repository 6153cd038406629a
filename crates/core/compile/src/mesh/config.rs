//! What MeshConfig says.

use weft_model::mesh::UnknownDestinations;
use weft_resources::istio::MeshConfig;
use weft_resources::istio::mesh_config::{CONFIG_MAP, CONFIG_MAP_KEY};
use weft_resources::istio::sidecar::OutboundMode;
use weft_resources::{Kind, Pos, Problem, Resource};

use crate::context::Output;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// What holds for the whole mesh.
pub(super) struct Config {
    /// What becomes of calls to what the mesh does not know.
    pub(super) unknown: UnknownDestinations,
    /// All that is written.
    pub(super) written: MeshConfig,
}

// === impl Config ===

impl Config {
    pub(super) fn new(scene: &Scene<'_>, out: &mut Output) -> Self {
        let root = &scene.options.root_namespace;
        let mut config = Self { unknown: scene.options.outbound, written: MeshConfig::default() };
        let resource = scene.get("", "ConfigMap", root, CONFIG_MAP);
        let Some((resource, (written, problems))) =
            resource.and_then(|resource| Some((resource, of(resource, root)?)))
        else {
            return config;
        };
        for problem in problems {
            out.problem(&resource.key, problem);
        }
        if let Some(mode) = written.outbound {
            config.unknown = unknown(mode);
        }
        let own = &scene.options.trust_domain;
        let other = written.trust_domain.as_ref();
        if let Some(other) = other.filter(|other| ***other != *own.as_str()) {
            let message = format!(
                "the authority of this mesh signs for `{own}`, which stays in force; `{other}` is not"
            );
            let fix = "a new trust domain needs a new authority";
            let path = format!("data.{CONFIG_MAP_KEY}.trustDomain");
            Place::new(resource, Pos::default(), &path).error_with(out, message, fix);
        }
        config.written = written;
        config
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
