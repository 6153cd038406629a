//! Sidecar: what a workload may call that the mesh does not know.

use std::collections::HashMap;

use weft_model::mesh::UnknownDestinations;
use weft_resources::istio::Sidecar;
use weft_resources::{Kind, Pos, Resource};

use super::{keep_oldest, overruled};
use crate::context::Output;
use crate::mesh::config::{Config, unknown};
use crate::mesh::population::Instance;
use crate::mesh::scene::{Scene, fits};
use crate::remark::Place;

type Document<'a> = (&'a Resource, &'a Sidecar);

/// All Sidecars.
pub(super) struct Sidecars<'a> {
    root_namespace: &'a str,
    /// What holds where none speaks.
    default: UnknownDestinations,
    /// The one that holds for a whole namespace; that of the root namespace for those without.
    wide: HashMap<&'a str, Document<'a>>,
    /// Those with a selector, by namespace, oldest first.
    narrow: HashMap<&'a str, Vec<Document<'a>>>,
}

// === impl Sidecars ===

impl<'a> Sidecars<'a> {
    pub(super) fn new(scene: &Scene<'a>, config: &Config, out: &mut Output) -> Self {
        let root_namespace = &*scene.options.root_namespace;
        let (wide, narrow) = (HashMap::new(), HashMap::new());
        let mut all = Self { root_namespace, default: config.unknown, wide, narrow };
        for resource in scene.resources.iter().copied() {
            let Kind::Sidecar(sidecar) = &resource.body else { continue };
            if sidecar.selector.is_empty() {
                keep_oldest(&mut all.wide, resource.namespace(), resource, &**sidecar, out);
            } else if resource.namespace() == root_namespace {
                let message =
                    "a selector has no effect in the root namespace, nor has the document";
                let place = Place::new(resource, Pos::default(), "spec.workloadSelector");
                place.error_with(out, message, "put it into the namespace of the workloads");
            } else {
                all.narrow.entry(resource.namespace()).or_default().push((resource, sidecar));
            }
        }
        all
    }

    /// What becomes of calls of a workload to what the mesh does not know. The narrowest Sidecar
    /// holds alone: where it says nothing, MeshConfig does.
    pub(super) fn of(&self, instance: &Instance<'_>, out: &mut Output) -> UnknownDestinations {
        let narrow = self.narrow.get(instance.namespace).map(Vec::as_slice).unwrap_or_default();
        let mut narrow =
            narrow.iter().filter(|(_, sidecar)| fits(&sidecar.selector, &instance.labels));
        let oldest = narrow.next();
        if let Some((oldest, _)) = oldest {
            narrow.for_each(|(younger, _)| overruled(younger, oldest, out));
        }
        let wide = || {
            let namespaces = [instance.namespace, self.root_namespace];
            namespaces.iter().find_map(|namespace| self.wide.get(namespace))
        };
        let sidecar = oldest.or_else(wide).map(|(_, sidecar)| sidecar);
        sidecar.and_then(|sidecar| sidecar.outbound).map_or(self.default, unknown)
    }
}
