//! What compilation is told besides the resources.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use weft_message::PathRules;
use weft_model::identity::TrustDomain;
use weft_model::listener::Limits;
use weft_resilience::settings::BudgetSettings;

/// What the command line says. Two equal values compile equal resources to equal worlds.
#[derive(Clone, PartialEq)]
pub struct Options {
    /// Traefik's entry points.
    pub entry_points: Vec<EntryPoint>,
    /// Addresses of services by name and port, which win over every document. A name is `greeter`
    /// (in any namespace), `shop/greeter` or `greeter.shop`.
    pub backends: BTreeMap<(Box<str>, u16), Vec<SocketAddr>>,
    /// Where the ports of Gateway and Ingress listeners are bound instead.
    pub port_map: HashMap<u16, u16>,
    /// Address that Gateway and Ingress listeners bind.
    pub bind_address: IpAddr,
    /// Addresses that single Gateways bind instead, by `namespace/name`, each with its own ports.
    pub gateway_addresses: BTreeMap<Box<str>, IpAddr>,
    /// Certificates served when no other fits: chain and key, PEM.
    pub certificates: Vec<PemPair>,
    /// Served when there is nothing else; made by the caller, so that compiling stays pure.
    pub self_signed: Option<PemPair>,
    /// Lets Traefik resources refer to other namespaces.
    pub allow_cross_namespace: bool,
    /// Lets routes lead to Services of type ExternalName.
    pub allow_external_name_services: bool,
    /// Keeps Traefik services without endpoints (answered 503) free of warnings.
    pub allow_empty_services: bool,
    /// How long the share of a new endpoint grows, where its Service does not say; zero is not at
    /// all.
    pub slow_start: Duration,
    /// Bounds the retries of every backend; `None` is no bound.
    pub retry_budget: Option<BudgetSettings>,
    /// What names of services end in, after `svc`, where the gateway is part of a mesh.
    pub domain: Box<str>,
    /// Whose certificates show clients to be ServiceAccounts.
    pub trust_domain: TrustDomain,
    /// Bounds on what peers may send.
    pub limits: Limits,
    /// What of a path is taken that other readers may take for something else.
    pub path_rules: PathRules,
    /// Peers whose forwarding headers are believed.
    pub forwarded_from: Vec<IpNet>,
    /// Peers whose PROXY protocol header is believed.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Contents of the files that resources name ([`crate::referenced_files`] lists them). A file
    /// that is not here does not exist.
    pub files: BTreeMap<Box<str>, Arc<[u8]>>,
}

/// A named address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPoint {
    /// `web`.
    pub name: Box<str>,
    /// The address to bind.
    pub addr: SocketAddr,
    /// Routers are served with TLS here, whether they say so or not.
    pub tls: bool,
}

/// A certificate chain and its key.
#[derive(Clone, PartialEq, Eq)]
pub struct PemPair {
    /// Where it came from, for messages.
    pub origin: Box<str>,
    /// The chain, PEM.
    pub chain: Arc<[u8]>,
    /// The key, PEM.
    pub key: Arc<[u8]>,
}

// === impl Options ===

impl Options {
    /// Nothing but entry points.
    pub fn new(entry_points: Vec<EntryPoint>) -> Self {
        Self {
            entry_points,
            backends: BTreeMap::new(),
            port_map: HashMap::new(),
            bind_address: IpAddr::from([0, 0, 0, 0]),
            gateway_addresses: BTreeMap::new(),
            certificates: Vec::new(),
            self_signed: None,
            allow_cross_namespace: false,
            allow_external_name_services: false,
            allow_empty_services: false,
            slow_start: Duration::ZERO,
            retry_budget: Some(BudgetSettings::DEFAULT),
            domain: "cluster.local".into(),
            trust_domain: TrustDomain::default(),
            limits: Limits::DEFAULT,
            path_rules: PathRules::default(),
            forwarded_from: Vec::new(),
            proxy_protocol_from: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// The address that a Gateway or Ingress port is bound at.
    pub fn bind(&self, port: u16) -> SocketAddr {
        let port = self.port_map.get(&port).copied().unwrap_or(port);
        SocketAddr::new(self.bind_address, port)
    }

    /// The address that a port of one Gateway is bound at.
    pub fn bind_gateway(&self, namespace: &str, name: &str, port: u16) -> SocketAddr {
        let mut addr = self.bind(port);
        let own = self.gateway_addresses.get(&*format!("{namespace}/{name}"));
        if let Some(ip) = own {
            addr.set_ip(*ip);
        }
        addr
    }

    /// Addresses given on the command line.
    pub(crate) fn backend(&self, namespace: &str, name: &str, port: u16) -> Option<&[SocketAddr]> {
        let forms = [format!("{namespace}/{name}"), format!("{name}.{namespace}"), name.to_owned()];
        forms
            .into_iter()
            .find_map(|form| self.backends.get(&(form.into(), port)))
            .map(Vec::as_slice)
    }
}

impl std::fmt::Debug for Options {
    /// Names files, but does not show what is in them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        f.debug_struct("Options")
            .field("entry_points", &self.entry_points)
            .field("backends", &self.backends)
            .field("port_map", &self.port_map)
            .field("bind_address", &self.bind_address)
            .field("certificates", &self.certificates)
            .field("files", &files)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for PemPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PemPair").field("origin", &self.origin).finish_non_exhaustive()
    }
}
