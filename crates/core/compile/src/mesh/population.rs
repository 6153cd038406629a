//! The workloads there are: those that nodes have registered, Pods, and WorkloadEntries.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use weft_model::id::WorkloadName;
use weft_model::identity::Identity;
use weft_model::mesh::{MESH_PORT, Peer, Phase, Registered, RegisteredWorkload};
use weft_resources::istio::WorkloadEntry;
use weft_resources::kubernetes::Pod;
use weft_resources::kubernetes::pod::{DEFAULT_SERVICE_ACCOUNT, Readiness};
use weft_resources::{Kind, Pos, Problem, Resource, Severity};

use crate::context::Output;
use crate::mesh::place;
use crate::mesh::scene::{Labels, Scene, fits};
use crate::remark::Place;

/// The label of workloads whose proxy takes connections of the mesh, as Istio sets it.
const TUNNEL_LABEL: &str = "networking.istio.io/tunnel";

/// The annotation of Pods whose connections a node's proxy takes, as Istio sets it.
const REDIRECTION: &str = "ambient.istio.io/redirection";

/// Labels that a registered workload has of its service's name, unless it has others: what
/// selectors usually ask for.
const NAME_LABELS: [&str; 2] = ["app", "app.kubernetes.io/name"];

/// A workload.
pub(super) struct Instance<'a> {
    pub(super) name: WorkloadName,
    pub(super) namespace: &'a str,
    pub(super) labels: Cow<'a, Labels>,
    /// Its addresses, the first one preferred.
    pub(super) addrs: Cow<'a, [IpAddr]>,
    /// The proxy beside it.
    pub(super) peer: Option<Peer>,
    /// Share among its siblings.
    pub(super) weight: u32,
    /// Where it runs: `region/zone/subzone`.
    pub(super) locality: Option<Box<str>>,
    pub(super) phase: Phase,
    pub(super) origin: Origin<'a>,
}

/// Who speaks of a workload.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// The node that runs it.
    Node(&'a RegisteredWorkload),
    /// A Pod.
    Pod(&'a Resource, &'a Pod),
    /// A WorkloadEntry.
    Entry(&'a Resource, &'a WorkloadEntry),
}

/// A port that a workload is known to have.
pub(super) struct OwnPort<'a> {
    pub(super) number: u16,
    pub(super) name: &'a str,
    pub(super) app_protocol: Option<&'a str>,
}

/// A namespace with the name and the value of a label.
type Label<'a> = (&'a str, Box<str>, Box<str>);

/// All workloads.
pub(super) struct Population<'a> {
    pub(super) instances: Vec<Instance<'a>>,
    by_ip: HashMap<IpAddr, usize>,
    by_namespace: HashMap<&'a str, Vec<usize>>,
    by_label: HashMap<Label<'a>, Vec<usize>>,
}

// === impl Population ===

impl<'a> Population<'a> {
    pub(super) fn new(scene: &Scene<'a>, registered: &'a Registered, out: &mut Output) -> Self {
        let mut all = Self {
            instances: Vec::new(),
            by_ip: HashMap::new(),
            by_namespace: HashMap::new(),
            by_label: HashMap::new(),
        };
        for (name, workload) in &registered.workloads {
            all.add(registered_instance(scene, name, workload, out));
        }
        // What runs here is known better than any document knows it.
        let known: HashSet<WorkloadName> = registered.workloads.keys().cloned().collect();
        for resource in &scene.resources {
            let instance = match &resource.body {
                Kind::Pod(pod) => pod_instance(scene, resource, pod),
                Kind::WorkloadEntry(entry) => entry_instance(scene, resource, entry, out),
                _ => None,
            };
            all.add(instance.filter(|instance| !known.contains(&instance.name)));
        }
        all
    }

    fn add(&mut self, instance: Option<Instance<'a>>) {
        let Some(instance) = instance else { return };
        let index = self.instances.len();
        for ip in &*instance.addrs {
            self.by_ip.entry(*ip).or_insert(index);
        }
        for (key, value) in &*instance.labels {
            let label = (instance.namespace, key.clone(), value.clone());
            self.by_label.entry(label).or_default().push(index);
        }
        self.by_namespace.entry(instance.namespace).or_default().push(index);
        self.instances.push(instance);
    }

    /// The workload at an address.
    pub(super) fn at(&self, ip: IpAddr) -> Option<usize> {
        self.by_ip.get(&ip).copied()
    }

    /// The workloads of a namespace that have all these labels, of which there is one at least.
    pub(super) fn select(&self, namespace: &str, selector: &Labels) -> Vec<usize> {
        // Of the usual `app` and `tier`, any leads to few.
        let lists = selector.iter().map(|(key, value)| {
            let found = self.by_label.get(&(namespace, key.clone(), value.clone()));
            found.map(Vec::as_slice).unwrap_or_default()
        });
        let candidates = lists.min_by_key(|list| list.len()).unwrap_or_default();
        let is_meant = |index: &usize| fits(selector, &self.instances[*index].labels);
        candidates.iter().copied().filter(is_meant).collect()
    }

    /// The workloads of a namespace.
    pub(super) fn of_namespace(&self, namespace: &str) -> &[usize] {
        self.by_namespace.get(namespace).map(Vec::as_slice).unwrap_or_default()
    }
}

// === impl Instance ===

impl<'a> Instance<'a> {
    /// The ports that it is known to have.
    pub(super) fn ports(&self) -> Vec<OwnPort<'a>> {
        match self.origin {
            Origin::Node(workload) => {
                let ports = workload.ports.iter();
                ports
                    .map(|port| OwnPort {
                        number: port.number,
                        name: &port.name,
                        app_protocol: port.app_protocol.as_deref(),
                    })
                    .collect()
            }
            Origin::Pod(_, pod) => {
                let ports = pod.ports.iter();
                ports
                    .map(|port| OwnPort {
                        number: port.number,
                        name: &port.name,
                        app_protocol: None,
                    })
                    .collect()
            }
            Origin::Entry(_, entry) => {
                let ports = entry.ports.iter();
                ports
                    .map(|(name, number)| OwnPort { number: *number, name, app_protocol: None })
                    .collect()
            }
        }
    }

    /// Whether the proxy beside it asks us what it has to know: it runs on a node of ours, or is a
    /// WorkloadEntry, whose proxy is started by others.
    pub(super) fn is_served(&self) -> bool {
        self.peer.is_some() && matches!(self.origin, Origin::Node(_) | Origin::Entry(..))
    }

    /// The number of a port by its name.
    pub(super) fn named_port(&self, name: &str) -> Option<u16> {
        self.ports().into_iter().find(|port| port.name == name).map(|port| port.number)
    }

    /// The document that speaks of it.
    pub(super) fn resource(&self) -> Option<&'a Resource> {
        match self.origin {
            Origin::Node(_) => None,
            Origin::Pod(resource, _) | Origin::Entry(resource, _) => Some(resource),
        }
    }

    /// Its name below that of a headless service.
    pub(super) fn hostname(&self, service: &str) -> Option<&'a str> {
        match self.origin {
            Origin::Node(workload) => Some(&workload.name),
            Origin::Pod(_, pod) => {
                pod.hostname.as_deref().filter(|_| pod.subdomain.as_deref() == Some(service))
            }
            Origin::Entry(..) => None,
        }
    }
}

fn registered_instance<'a>(
    scene: &Scene<'a>,
    name: &WorkloadName,
    workload: &'a Arc<RegisteredWorkload>,
    out: &mut Output,
) -> Option<Instance<'a>> {
    let identity =
        Identity::new(&scene.options.trust_domain, &workload.namespace, &workload.service_account);
    let peer = match (identity, workload.proxy) {
        (Ok(identity), Some(addr)) => Some(Peer { addr, identity }),
        (Ok(_), None) => None,
        (Err(error), _) => {
            // Without an identity nobody may be sure of it, so it is not called at all.
            let file = Arc::from(format!("workload {name}"));
            let message = format!("it is no part of the mesh: {error}");
            out.general.push(Problem::new(Severity::Error, &file, Pos::default(), "", message));
            return None;
        }
    };
    let mut labels: Vec<(Box<str>, Box<str>)> =
        workload.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for key in NAME_LABELS {
        if !workload.labels.contains_key(key) {
            labels.push((key.into(), workload.service.clone()));
        }
    }
    Some(Instance {
        name: name.clone(),
        namespace: &workload.namespace,
        locality: place::of_labels(&labels, workload.zone.as_deref()),
        labels: labels.into(),
        addrs: Cow::Borrowed(&workload.addrs),
        peer,
        weight: 1,
        phase: workload.phase,
        origin: Origin::Node(workload),
    })
}

fn pod_instance<'a>(
    scene: &Scene<'a>,
    resource: &'a Arc<Resource>,
    pod: &'a Pod,
) -> Option<Instance<'a>> {
    let first = *pod.addrs.first()?;
    let is_redirected = resource.annotation(REDIRECTION) == Some("enabled");
    let is_meshed = is_redirected || has_tunnel(&resource.labels);
    Some(Instance {
        name: workload_name(resource),
        namespace: resource.namespace(),
        labels: Cow::Borrowed(&resource.labels),
        addrs: Cow::Borrowed(&pod.addrs),
        peer: is_meshed
            .then(|| peer(scene, first, resource.namespace(), &pod.service_account))
            .flatten(),
        weight: 1,
        locality: place::of_labels(&resource.labels, None),
        phase: match pod.readiness {
            Readiness::Ready => Phase::Ready,
            Readiness::Unready => Phase::Unready,
            Readiness::Terminating => Phase::Terminating,
        },
        origin: Origin::Pod(resource, pod),
    })
}

fn entry_instance<'a>(
    scene: &Scene<'a>,
    resource: &'a Arc<Resource>,
    entry: &'a WorkloadEntry,
    out: &mut Output,
) -> Option<Instance<'a>> {
    let Ok(ip) = entry.address.parse::<IpAddr>() else {
        let place = Place::new(resource, Pos::default(), "spec.address");
        let message = format!("`{}` is a name, and workloads need an address", entry.address);
        place.error_with(out, message, "use a ServiceEntry with resolution: DNS");
        return None;
    };
    let mut labels = entry.labels.to_vec();
    let is_new = |(key, _): &&(Box<str>, Box<str>)| !entry.labels.iter().any(|(own, _)| own == key);
    labels.extend(resource.labels.iter().filter(is_new).cloned());
    Some(Instance {
        name: workload_name(resource),
        namespace: resource.namespace(),
        labels: labels.into(),
        addrs: vec![ip].into(),
        peer: entry_peer(scene, ip, resource.namespace(), entry),
        weight: entry.weight,
        locality: place::of_entry(entry),
        phase: Phase::Ready,
        origin: Origin::Entry(resource, entry),
    })
}

/// The proxy beside a WorkloadEntry, or beside an endpoint of a ServiceEntry.
pub(super) fn entry_peer(
    scene: &Scene<'_>,
    ip: IpAddr,
    namespace: &str,
    entry: &WorkloadEntry,
) -> Option<Peer> {
    let account = entry.service_account.as_deref().unwrap_or(DEFAULT_SERVICE_ACCOUNT);
    has_tunnel(&entry.labels).then(|| peer(scene, ip, namespace, account)).flatten()
}

fn peer(scene: &Scene<'_>, ip: IpAddr, namespace: &str, service_account: &str) -> Option<Peer> {
    let identity = Identity::new(&scene.options.trust_domain, namespace, service_account).ok()?;
    Some(Peer { addr: SocketAddr::new(ip, MESH_PORT), identity })
}

fn has_tunnel(labels: &Labels) -> bool {
    labels.iter().any(|(key, value)| {
        **key == *TUNNEL_LABEL && value.split(',').any(|tunnel| tunnel.trim() == "http")
    })
}

fn workload_name(resource: &Resource) -> WorkloadName {
    WorkloadName::new(format!("{}/{}", resource.namespace(), resource.name()))
}
