//! PeerAuthentication: one for the mesh, one for each namespace, and one for each workload, of
//! which the narrower one wins where it says something.

use std::collections::HashMap;

use weft_model::mesh::Mtls;
use weft_resources::istio::PeerAuthentication;
use weft_resources::istio::security::MtlsMode;
use weft_resources::{Kind, Pos, Resource};

use super::{keep_oldest, overruled};
use crate::context::Output;
use crate::mesh::population::Instance;
use crate::mesh::scene::{Scene, fits};
use crate::remark::Place;

type Document<'a> = (&'a Resource, &'a PeerAuthentication);

/// All PeerAuthentications.
pub(super) struct Peers<'a> {
    root_namespace: &'a str,
    /// The one that holds for a whole namespace; that of the root namespace for all.
    wide: HashMap<&'a str, Document<'a>>,
    /// Those with a selector, by namespace, oldest first.
    narrow: HashMap<&'a str, Vec<Document<'a>>>,
}

/// Mutual TLS of one workload.
pub(super) struct Asked {
    all: Mtls,
    ports: Vec<(u16, Mtls)>,
}

// === impl Peers ===

impl<'a> Peers<'a> {
    pub(super) fn new(scene: &Scene<'a>, out: &mut Output) -> Self {
        let root_namespace = &*scene.options.root_namespace;
        let mut all = Self { root_namespace, wide: HashMap::new(), narrow: HashMap::new() };
        for resource in scene.resources.iter().copied() {
            let Kind::PeerAuthentication(peer) = &resource.body else { continue };
            if peer.is_broken {
                let message = "it may have asked for STRICT, which holds until it can be read";
                Place::whole(resource).warn(out, message);
            }
            if peer.selector.is_empty() {
                keep_oldest(&mut all.wide, resource.namespace(), resource, &**peer, out);
            } else if resource.namespace() == root_namespace {
                // As in Istio, but there in silence.
                let message =
                    "a selector has no effect in the root namespace, nor has the document";
                let place = Place::new(resource, Pos::default(), "spec.selector");
                place.error_with(out, message, "put it into the namespace of the workloads");
            } else {
                all.narrow.entry(resource.namespace()).or_default().push((resource, peer));
            }
        }
        all
    }

    /// What is asked of a workload.
    pub(super) fn of(&self, instance: &Instance<'_>, out: &mut Output) -> Asked {
        let mut asked = Asked { all: Mtls::Permissive, ports: Vec::new() };
        let namespaces = [self.root_namespace, instance.namespace];
        for (_, peer) in namespaces.iter().filter_map(|namespace| self.wide.get(namespace)) {
            asked.all = mode(peer).unwrap_or(asked.all);
        }
        let narrow = self.narrow.get(instance.namespace).map(Vec::as_slice).unwrap_or_default();
        let mut narrow = narrow.iter().filter(|(_, peer)| fits(&peer.selector, &instance.labels));
        let Some((oldest, peer)) = narrow.next() else { return asked };
        narrow.for_each(|(younger, _)| overruled(younger, oldest, out));
        asked.all = mode(peer).unwrap_or(asked.all);
        if !peer.is_broken {
            let ports = peer.ports.iter();
            asked.ports = ports.map(|(port, mode)| (*port, mode.map_or(asked.all, mtls))).collect();
        }
        asked
    }
}

// === impl Asked ===

impl Asked {
    /// Mutual TLS on a port, or on all that are not named.
    pub(super) fn at(&self, port: Option<u16>) -> Mtls {
        let named = self.ports.iter().find(|(number, _)| Some(*number) == port);
        named.map_or(self.all, |(_, mtls)| *mtls)
    }

    /// The ports that are named.
    pub(super) fn ports(&self) -> impl Iterator<Item = u16> {
        self.ports.iter().map(|(number, _)| *number)
    }
}

/// What a document says for all ports; of a broken one the most that it may have said.
fn mode(peer: &PeerAuthentication) -> Option<Mtls> {
    if peer.is_broken { Some(Mtls::Strict) } else { peer.mode.map(mtls) }
}

fn mtls(mode: MtlsMode) -> Mtls {
    match mode {
        MtlsMode::Disable => Mtls::Disable,
        MtlsMode::Permissive => Mtls::Permissive,
        MtlsMode::Strict => Mtls::Strict,
    }
}
