//! The names that the mesh has.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::rr::Name;
use weft_model::id::ServiceName;
use weft_model::mesh::{Directory, IndexEntry, Listed, MeshEndpoint, Named, Service, ServicePort};

/// What the names of a mesh have in common, as one of its workloads sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    domain: Box<str>,
    namespace: Box<str>,
    origin: Name,
    ttl: Duration,
}

/// All names of the mesh, as one of its workloads sees them.
///
/// It shares what it is made of. Addresses are not indexed: questions for the name of an address
/// are rare, and every proxy would pay for the table.
#[derive(Debug, Clone)]
pub struct Names {
    zone: Zone,
    index: Arc<Directory>,
    headless: BTreeMap<ServiceName, Arc<Service>>,
}

/// The text is no domain name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no domain name")]
pub struct InvalidDomain(pub Box<str>);

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// A host; perhaps without addresses at present.
    Host {
        addrs: Vec<IpAddr>,
        /// Whether nobody else knows the name.
        is_ours: bool,
    },
    /// A port of a service, and where it is.
    Port(Vec<Target>),
    /// An address, and whose it is.
    Addr(Name),
    /// There are names below it, and nothing at it.
    Parent,
    /// Something below this headless service, of which too little is known to say what.
    Ask(ServiceName),
    /// Nothing, and nobody else can know it.
    Missing,
    /// Nothing of the mesh.
    Foreign,
}

/// Where a port of a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Host name.
    pub(crate) name: Name,
    /// The number to dial.
    pub(crate) port: u16,
    /// Its addresses.
    pub(crate) addrs: Vec<IpAddr>,
}

// === impl Zone ===

impl Zone {
    /// How long answers hold by default: callers keep their connections anyway, and addresses of
    /// services stay; those of headless services come and go.
    pub const TTL: Duration = Duration::from_secs(5);

    /// The zone of a mesh whose names end in `domain` (`cluster.local`), for a workload of
    /// `namespace`, whose services it may call by their short names.
    ///
    /// # Errors
    ///
    /// [`InvalidDomain`] when `domain` is none.
    pub fn new(domain: &str, namespace: &str) -> Result<Self, InvalidDomain> {
        let origin = whole_name(domain)
            .filter(|name| !name.is_root())
            .ok_or_else(|| InvalidDomain(domain.into()))?;
        let domain = domain.trim_end_matches('.').to_ascii_lowercase().into();
        Ok(Self { domain, namespace: namespace.into(), origin, ttl: Self::TTL })
    }

    /// The same with another time for which answers hold, in whole seconds.
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// The domain as a name.
    pub(crate) fn origin(&self) -> &Name {
        &self.origin
    }

    /// How long answers hold, in seconds.
    pub(crate) fn ttl_secs(&self) -> u32 {
        u32::try_from(self.ttl.as_secs()).unwrap_or(u32::MAX)
    }

    /// Whether a whole name, in lower case, is in the zone.
    fn holds(&self, name: &str) -> bool {
        name.strip_suffix(&*self.domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

// === impl Names ===

impl Names {
    /// The names of these services. Of `services`, which are known in full, the headless ones count:
    /// their endpoints have names.
    pub fn new(
        zone: &Zone,
        index: Arc<Directory>,
        services: impl IntoIterator<Item = Arc<Service>>,
    ) -> Self {
        let headless = services.into_iter().filter(|service| service.entry.addrs.is_empty());
        Self {
            zone: zone.clone(),
            index,
            headless: headless.map(|service| (service.entry.name.clone(), service)).collect(),
        }
    }

    /// No names: whatever is not in the zone is foreign.
    pub fn empty(zone: &Zone) -> Self {
        Self::new(zone, Arc::default(), [])
    }

    /// What they have in common.
    pub(crate) fn zone(&self) -> &Zone {
        &self.zone
    }

    /// What a name stands for.
    pub(crate) fn find(&self, name: &Name) -> Found {
        if let Some(addr) = reverse(name) {
            return self.holder(addr).map_or(Found::Foreign, Found::Addr);
        }
        let is_ours = self.zone.origin.zone_of(name);
        let absent = if is_ours { Found::Missing } else { Found::Foreign };
        let Some(text) = text(name) else { return absent };
        let found = match service_label(&text) {
            Some((port, host)) => self.port(port, host),
            None => self.host(&text),
        };
        match found {
            Some(found) => found,
            None if is_ours && self.is_parent(&text) => Found::Parent,
            None => absent,
        }
    }

    fn host(&self, host: &str) -> Option<Found> {
        let Named { service, hostname } = self.resolve(host)?;
        let service = &service.entry();
        let is_ours = self.zone.holds(service.name.as_str());
        let Some(hostname) = hostname else {
            let addrs = addrs(service);
            // Elsewhere somebody may know addresses where the mesh has none to give.
            let is_known = is_ours || !addrs.is_empty();
            return is_known.then(|| Found::Host { addrs: addrs.to_vec(), is_ours });
        };
        if let Some(addr) = undashed(&hostname).filter(|addr| addrs(service).contains(addr)) {
            return Some(Found::Host { addrs: vec![addr], is_ours });
        }
        let Some(known) = self.headless.get(&service.name) else {
            return Some(Found::Ask(service.name.clone()));
        };
        let addrs = addrs_of(known.named(&hostname));
        (!addrs.is_empty()).then_some(Found::Host { addrs, is_ours })
    }

    /// `name` is that of the port, or `None` for the place where all of them are.
    fn port(&self, name: Option<&str>, host: &str) -> Option<Found> {
        let Named { service, hostname: None } = self.resolve(host)? else { return None };
        let service = &service.entry();
        let Some(name) = name else {
            let has_names = service.ports.iter().any(|port| !port.name.is_empty());
            return has_names.then_some(Found::Parent);
        };
        let mut ports = service.ports.iter();
        let port = ports.find(|port| port.name.eq_ignore_ascii_case(name))?;
        if !service.addrs.is_empty() {
            let name =
                if is_wildcard(service.name.as_str()) { host } else { service.name.as_str() };
            let target = target(name, port, service.addrs.to_vec());
            return Some(Found::Port(target.into_iter().collect()));
        }
        match self.headless.get(&service.name) {
            Some(known) => Some(Found::Port(endpoint_targets(service, known, port))),
            None if service.endpoint_addrs.is_empty() => None,
            None => Some(Found::Ask(service.name.clone())),
        }
    }

    /// The name of an address: that of a service, or of the endpoint of a headless one.
    fn holder(&self, addr: IpAddr) -> Option<Name> {
        let named = || self.index.iter().filter(|listed| !is_wildcard(listed.name()));
        if let Some(found) = named().find(|listed| listed.addrs().any(|has| has == addr)) {
            return whole_name(found.name());
        }
        let found = named().find(|listed| listed.endpoint_addrs().any(|has| has == addr))?;
        let known = self.headless.get(found.name());
        let mut endpoints = known.into_iter().flat_map(|service| service.endpoints.known());
        let hostname = endpoints
            .find(|endpoint| endpoint.ip == addr)
            .and_then(|endpoint| endpoint.hostname.as_deref());
        endpoint_name(hostname, addr, found.name())
    }

    /// Whether there are names below this one, which is in the zone, although nothing is at it.
    fn is_parent(&self, name: &str) -> bool {
        let Some(rest) = name.strip_suffix(&*self.zone.domain) else { return false };
        match rest.strip_suffix("svc.") {
            None => rest.is_empty(),
            Some("") => true,
            // Only namespaces are looked for among all names.
            Some(namespace) if namespace.find('.') == Some(namespace.len() - 1) => {
                let is_below = |listed: Listed<'_>| {
                    let service = listed.name().strip_suffix(name);
                    service.is_some_and(|service| service.ends_with('.'))
                };
                self.index.iter().any(is_below)
            }
            Some(_) => false,
        }
    }

    fn resolve(&self, host: &str) -> Option<Named<'_>> {
        let Zone { domain, namespace, .. } = &self.zone;
        self.index.resolve(host, namespace, domain)
    }
}

/// What callers dial.
fn addrs(entry: &IndexEntry) -> &[IpAddr] {
    if entry.addrs.is_empty() { &entry.endpoint_addrs } else { &entry.addrs }
}

/// Each address once: an endpoint comes more than once if its ports are reached in different ways.
fn addrs_of<'a>(endpoints: impl Iterator<Item = &'a MeshEndpoint>) -> Vec<IpAddr> {
    let mut addrs: Vec<IpAddr> = endpoints.map(|endpoint| endpoint.ip).collect();
    addrs.sort_unstable();
    addrs.dedup();
    addrs
}

/// Where a port of a headless service is. Callers dial the number of the service's port at the
/// endpoint's address.
fn endpoint_targets(entry: &IndexEntry, service: &Service, port: &ServicePort) -> Vec<Target> {
    let endpoints = service.endpoints.known().iter();
    let targets =
        endpoints.filter(|endpoint| endpoint.addr(port.number).is_some()).filter_map(|endpoint| {
            let service = entry.name.as_str();
            let name = endpoint_name(endpoint.hostname.as_deref(), endpoint.ip, service)?;
            Some(Target { name, port: port.number, addrs: vec![endpoint.ip] })
        });
    targets.collect()
}

fn target(name: &str, port: &ServicePort, addrs: Vec<IpAddr>) -> Option<Target> {
    Some(Target { name: whole_name(name)?, port: port.number, addrs })
}

/// The name of an endpoint below its headless service: its own, or one made of its address.
fn endpoint_name(hostname: Option<&str>, addr: IpAddr, service: &str) -> Option<Name> {
    let own = hostname.map_or_else(|| dashed(addr), str::to_owned);
    whole_name(&format!("{own}.{service}"))
}

fn is_wildcard(name: &str) -> bool {
    name.starts_with('*')
}

/// A name that says so itself.
fn whole_name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The name in lower case and without a dot at its end; `None` if it has bytes that no name of a
/// host has, which would be ambiguous in this form.
fn text(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name {
        if !label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_*".contains(byte)) {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
    }
    Some(text)
}

/// Port and host of `_http._tcp.payments`, or the host alone of `_tcp.payments` (RFC 2782). All
/// ports of the mesh are TCP.
fn service_label(text: &str) -> Option<(Option<&str>, &str)> {
    let (first, rest) = text.strip_prefix('_')?.split_once('.')?;
    match rest.strip_prefix("_tcp.") {
        Some(host) => Some((Some(first), host)),
        None => (first == "tcp").then_some((None, rest)),
    }
}

/// The address that a name in the reverse zones stands for.
fn reverse(name: &Name) -> Option<IpAddr> {
    let net = name.parse_arpa_name().ok()?;
    (net.prefix_len() == net.max_prefix_len()).then(|| net.addr())
}

/// An address as one label: `10-77-0-9`, `fd77-0-0-0-0-0-0-9`.
fn dashed(addr: IpAddr) -> String {
    match addr {
        IpAddr::V4(v4) => v4.to_string().replace('.', "-"),
        IpAddr::V6(v6) => v6.segments().map(|segment| format!("{segment:x}")).join("-"),
    }
}

fn undashed(label: &str) -> Option<IpAddr> {
    let v4 = || label.replace('-', ".").parse::<Ipv4Addr>().ok();
    let v6 = || label.replace('-', ":").parse::<Ipv6Addr>().ok();
    v4().map(IpAddr::from).or_else(|| v6().map(IpAddr::from))
}

#[cfg(test)]
mod tests;
