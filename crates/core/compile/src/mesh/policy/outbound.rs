//! What a workload may call: Istio's Sidecar, `exportTo` of ServiceEntries, and Linkerd's
//! EgressNetwork.

use std::borrow::Cow;
use std::collections::HashMap;

use weft_model::id::ServiceName;
use weft_model::mesh::{Egress, Outside, UnknownDestinations};
use weft_resources::istio::sidecar::{self, CaptureMode, EgressHost, EgressNamespace};
use weft_resources::istio::value::{ExportTo, NamespaceRef};
use weft_resources::istio::{ServiceEntry, Sidecar};
use weft_resources::{Kind, Pos, Resource};

use super::{ingress, keep_oldest, overruled};
use crate::context::Output;
use crate::mesh::config::{Config, unknown};
use crate::mesh::outside::Networks;
use crate::mesh::population::Instance;
use crate::mesh::scene::{Scene, fits};
use crate::remark::Place;

pub(super) type Document<'a> = (&'a Resource, &'a Sidecar);

/// What a workload may call.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outbound {
    /// What becomes of calls to what the mesh does not know.
    pub(super) unknown: UnknownDestinations,
    /// What is said of addresses outside.
    pub(super) outside: Box<[Outside]>,
    /// The only services that it may call; all when `None`.
    pub(super) egress: Option<Box<[Egress]>>,
}

/// All Sidecars, and what else says what may be called.
pub(super) struct Sidecars<'a> {
    root_namespace: &'a str,
    /// What holds where none speaks.
    default: UnknownDestinations,
    /// The one that holds for a whole namespace; that of the root namespace for those without.
    wide: HashMap<&'a str, Document<'a>>,
    /// Those with a selector, by namespace, oldest first.
    narrow: HashMap<&'a str, Vec<Document<'a>>>,
    /// Hosts that are none of the cluster's, with the namespace of their ServiceEntry.
    hosts: Vec<(&'a str, ServiceName)>,
    /// Hosts that not everybody sees.
    hidden: Vec<Hidden<'a>>,
    networks: Networks<'a>,
}

/// Hosts that not everybody sees.
struct Hidden<'a> {
    namespace: &'a str,
    hosts: Vec<ServiceName>,
    export: Cow<'a, ExportTo>,
}

/// Who sees a Service, in the words of `exportTo` with commas between them.
const EXPORT: &str = "networking.istio.io/exportTo";

// === impl Sidecars ===

impl<'a> Sidecars<'a> {
    pub(super) fn new(scene: &Scene<'a>, config: &'a Config, out: &mut Output) -> Self {
        let root_namespace = &*scene.options.root_namespace;
        let mut all = Self {
            root_namespace,
            default: config.unknown,
            wide: HashMap::new(),
            narrow: HashMap::new(),
            hosts: Vec::new(),
            hidden: Vec::new(),
            networks: Networks::new(scene, out),
        };
        for resource in scene.resources.iter().copied() {
            match &resource.body {
                Kind::ServiceEntry(entry) => all.entry(scene, resource, entry, config),
                Kind::Service(_) => all.service(scene, resource, config),
                Kind::Sidecar(sidecar) => all.add(resource, sidecar, out),
                _ => {}
            }
        }
        all
    }

    fn add(
        &mut self,
        resource: &'a std::sync::Arc<Resource>,
        sidecar: &'a Sidecar,
        out: &mut Output,
    ) {
        remark(resource, sidecar, out);
        ingress::remark(resource, &sidecar.ingress, out);
        if sidecar.selector.is_empty() {
            keep_oldest(&mut self.wide, resource.namespace(), resource, sidecar, out);
        } else if resource.namespace() == self.root_namespace {
            let message = "a selector has no effect in the root namespace, nor has the document";
            let place = Place::new(resource, Pos::default(), "spec.workloadSelector");
            place.error_with(out, message, "put it into the namespace of the workloads");
        } else {
            self.narrow.entry(resource.namespace()).or_default().push((resource, sidecar));
        }
    }

    fn entry(
        &mut self,
        scene: &Scene<'a>,
        resource: &'a Resource,
        entry: &'a ServiceEntry,
        config: &'a Config,
    ) {
        let namespace = resource.namespace();
        let hosts = || entry.hosts.iter().map(|host| scene.host(host, namespace));
        let is_foreign = |name: &ServiceName| {
            !name.as_str().ends_with(&*format!(".svc.{}", scene.options.domain))
        };
        self.hosts.extend(hosts().filter(is_foreign).map(|name| (namespace, name)));
        let own = entry.export_to.as_ref().map(|export| Cow::Borrowed(&export.value));
        self.hide(namespace, hosts().collect(), own, config);
    }

    fn service(&mut self, scene: &Scene<'a>, resource: &'a Resource, config: &'a Config) {
        let own = resource.annotation(EXPORT).map(|text| Cow::Owned(export(text)));
        let namespace = resource.namespace();
        self.hide(namespace, vec![scene.service_name(namespace, resource.name())], own, config);
    }

    fn hide(
        &mut self,
        namespace: &'a str,
        hosts: Vec<ServiceName>,
        own: Option<Cow<'a, ExportTo>>,
        config: &'a Config,
    ) {
        let by_default =
            config.document.written.default_export_to.services.as_ref().map(Cow::Borrowed);
        if let Some(export) = own.or(by_default).filter(|export| **export != ExportTo::Everyone) {
            self.hidden.push(Hidden { namespace, hosts, export });
        }
    }

    /// The Sidecar of a workload: the narrowest holds alone.
    pub(super) fn document(
        &self,
        instance: &Instance<'_>,
        out: &mut Output,
    ) -> Option<Document<'a>> {
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
        oldest.or_else(wide).copied()
    }

    /// What a workload may call. Where its Sidecar says nothing of what the mesh does not know,
    /// MeshConfig does.
    pub(super) fn of(&self, document: Option<Document<'a>>, instance: &Instance<'_>) -> Outbound {
        let said = document.and_then(|(_, sidecar)| sidecar.outbound);
        let unknown = said.map_or(self.default, unknown);
        let outside = self.networks.of(instance.namespace);
        let seen = document.filter(|(_, sidecar)| !sidecar.egress.is_empty());
        let mut egress = match seen {
            Some((resource, sidecar)) => self.seen(resource, sidecar, instance.namespace),
            None => vec![Egress {
                namespace: "*".into(),
                host: "*".into(),
                port: None,
                excluded: false,
            }],
        };
        let hidden = self.hidden_from(instance.namespace);
        if seen.is_none() && hidden.is_empty() {
            return Outbound { unknown, outside, egress: None };
        }
        egress.extend(hidden);
        Outbound { unknown, outside, egress: Some(egress.into()) }
    }

    /// What a Sidecar lets a workload of `home` see.
    fn seen(&self, resource: &Resource, sidecar: &Sidecar, home: &str) -> Vec<Egress> {
        let mut all = Vec::new();
        for listener in &sidecar.egress {
            let port = listener.port.as_ref().map(|port| port.number.value);
            for host in &listener.hosts {
                let EgressHost { is_excluded, namespace, host } = &host.value;
                let namespace = match namespace {
                    EgressNamespace::Any => "*",
                    // In the root namespace it is that of whom it is for.
                    EgressNamespace::One(NamespaceRef::Own)
                        if resource.namespace() == self.root_namespace =>
                    {
                        home
                    }
                    EgressNamespace::One(NamespaceRef::Own) => resource.namespace(),
                    EgressNamespace::One(NamespaceRef::Named(name)) => name,
                    EgressNamespace::None => continue,
                };
                let one = |namespace: &str, host: &str| Egress {
                    namespace: namespace.into(),
                    host: host.into(),
                    port,
                    excluded: *is_excluded,
                };
                all.push(one(namespace, host));
                // The names of hosts elsewhere do not say whose they are.
                let known = self.hosts.iter().filter(|(own, name)| {
                    namespace != "*" && *own == namespace && is_host(host, name.as_str())
                });
                all.extend(known.map(|(_, name)| one("*", name.as_str())));
            }
        }
        all
    }

    /// What is not shown to a namespace.
    fn hidden_from(&self, namespace: &str) -> Vec<Egress> {
        let is_hidden = |hidden: &&Hidden<'_>| !hidden.export.reaches(hidden.namespace, namespace);
        let hosts = self.hidden.iter().filter(is_hidden).flat_map(|hidden| &hidden.hosts);
        let one = |name: &ServiceName| Egress {
            namespace: "*".into(),
            host: name.as_str().into(),
            port: None,
            excluded: true,
        };
        hosts.map(one).collect()
    }
}

fn export(text: &str) -> ExportTo {
    let words: Vec<&str> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => ExportTo::Everyone,
        words if words.contains(&"*") => ExportTo::Everyone,
        ["~"] => ExportTo::Nobody,
        words => {
            let one = |word: &&str| match *word {
                "." => NamespaceRef::Own,
                name => NamespaceRef::Named(name.into()),
            };
            ExportTo::Namespaces(words.iter().map(one).collect())
        }
    }
}

fn is_host(wanted: &str, name: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix),
        None => wanted == name,
    }
}

/// Says what of a Sidecar has no effect, or another one.
fn remark(resource: &Resource, sidecar: &Sidecar, out: &mut Output) {
    for (index, listener) in sidecar.egress.iter().enumerate() {
        let sidecar::Egress { port, bind, capture, hosts: _, at: _ } = listener;
        if let Some(bind) = bind {
            let path = format!("spec.egress[{index}].bind");
            let message = "it has no effect: services are called at their own addresses";
            Place::new(resource, bind.at, &path).warn(out, message);
        }
        if let Some(capture) = capture.filter(|mode| mode.value == CaptureMode::Dialled) {
            let path = format!("spec.egress[{index}].captureMode");
            let message = "it has no effect: what leaves the workload is captured as always";
            Place::new(resource, capture.at, &path).warn(out, message);
        }
        let is_general = sidecar.egress.iter().any(|other| other.port.is_none());
        if let Some(port) = port.as_ref().filter(|_| is_general) {
            let path = format!("spec.egress[{index}].port");
            let message = "on this port the hosts of listeners without a port are seen, too";
            Place::new(resource, port.number.at, &path).note(out, message);
        }
        if let Some(protocol) = port.as_ref().and_then(|port| port.protocol) {
            let path = format!("spec.egress[{index}].port.protocol");
            let message = "it has no effect: what is spoken is what the services say";
            Place::new(resource, protocol.at, &path).note(out, message);
        }
    }
    if let Some(proxy) = &sidecar.egress_proxy {
        let message = "unknown destinations are called directly";
        Place::new(resource, proxy.at, "spec.outboundTrafficPolicy.egressProxy").warn(out, message);
    }
}
