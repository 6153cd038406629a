//! Istio's DestinationRule.

use std::sync::Arc;
use std::time::Duration;

use weft_message::FieldName;
use weft_model::backend::{SubjectAltName, TlsFiles, UpstreamTls};
use weft_model::calling::{
    self as model, HashKey, HttpUpgrade, KeepAlive, Locality, LocalityOrder, PoolSettings,
    ProxyVersion,
};
use weft_model::route::Cookie;
use weft_resilience::settings::{
    ActiveBudget, BudgetSettings, LimitSettings, MaglevSettings, OutlierSettings, PickerKind,
    RingHashSettings, SlowStartSettings,
};
use weft_resources::Spanned;
use weft_resources::istio::destination_rule::{
    Algorithm, ClientTls, ClientTlsMode, ConnectionPool, ConsistentHash, Distribute, H2Upgrade,
    HashAlgorithm, HashCookie, HashKey as WrittenKey, HttpPool, LoadBalancer, LocalityLb,
    LocalityPattern, OutlierDetection, PriorityLabel, ProxyProtocol, RegionFailover, RetryBudget,
    TcpPool, TrafficPolicy, Tunnel, UpstreamSettings, Warmup,
};

use super::layers::{From, Layers, Part};
use crate::context::Output;

/// What connecting may take where nobody says (MeshConfig's `connectTimeout`).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Probes as Linux makes them where nobody says.
const KEEP_ALIVE: KeepAlive =
    KeepAlive { idle: Duration::from_secs(7_200), interval: Duration::from_secs(75), probes: 9 };

/// The settings of a DestinationRule for one port and subset: each part from the most specific place
/// that speaks of it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Effective<'p> {
    balancer: Option<&'p Spanned<LoadBalancer>>,
    pool: Option<&'p Spanned<ConnectionPool>>,
    outlier: Option<&'p Spanned<OutlierDetection>>,
    tls: Option<&'p Spanned<ClientTls>>,
    tunnel: Option<&'p Spanned<Tunnel>>,
    proxy_protocol: Option<&'p Spanned<ProxyProtocol>>,
    budget: Option<&'p Spanned<RetryBudget>>,
}

/// What a TLS section needs beside itself.
pub(crate) trait Credentials {
    /// The authorities (PEM) that a section names, and the certificate to show. The text says what
    /// of it cannot be had: then the destination is not called at all.
    fn load(&self, tls: &ClientTls) -> Result<Loaded, String>;
}

/// What a TLS section names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Loaded {
    /// Authorities; `None` for the system's.
    pub(crate) roots_pem: Option<Arc<[u8]>>,
    /// The certificate to show.
    pub(crate) client: Option<Arc<weft_model::listener::Certificate>>,
    /// Files that whoever calls takes the rest from.
    pub(crate) files: Option<Arc<TlsFiles>>,
}

// === impl Effective ===

impl<'p> Effective<'p> {
    /// Of a host's policy and, if a subset is called, of that: each part of the narrower one
    /// replaces that of the wider; what is said of the port replaces all that can be said of ports,
    /// even by its silence.
    pub(crate) fn new(
        policy: Option<&'p TrafficPolicy>,
        subset: Option<&'p TrafficPolicy>,
        port: Option<u16>,
    ) -> Self {
        let mut effective = Self::default();
        for policy in policy.into_iter().chain(subset) {
            effective.merge(policy);
            if let Some(port) = port.and_then(|port| policy.port(port)) {
                effective = Self {
                    balancer: port.settings.load_balancer.as_ref(),
                    pool: port.settings.connection_pool.as_ref(),
                    outlier: port.settings.outlier_detection.as_ref(),
                    tls: port.settings.tls.as_ref(),
                    ..effective
                };
            }
        }
        effective
    }

    /// Whether and how calls are encrypted, if a rule says so.
    pub(crate) fn tls(&self) -> Option<&'p ClientTls> {
        self.tls.map(|tls| &tls.value)
    }

    fn merge(&mut self, policy: &'p TrafficPolicy) {
        let UpstreamSettings { load_balancer, connection_pool, outlier_detection, tls } =
            &policy.settings;
        self.balancer = load_balancer.as_ref().or(self.balancer);
        self.pool = connection_pool.as_ref().or(self.pool);
        self.outlier = outlier_detection.as_ref().or(self.outlier);
        self.tls = tls.as_ref().or(self.tls);
        self.tunnel = policy.tunnel.as_ref().or(self.tunnel);
        self.proxy_protocol = policy.proxy_protocol.as_ref().or(self.proxy_protocol);
        self.budget = policy.retry_budget.as_ref().or(self.budget);
    }

    /// Puts the settings on top. `mesh_locality` holds where neither the rule nor a layer below says
    /// which endpoints come first.
    pub(crate) fn apply<'a>(
        self,
        layers: &mut Layers<'a>,
        from: From<'a>,
        mesh_locality: Option<&LocalityLb>,
        credentials: &dyn Credentials,
        out: &mut Output,
    ) {
        // In Istio a rule decides all of these, by its defaults if by nothing else.
        let at = self.balancer.map_or(from.at, |balancer| balancer.at);
        let calling =
            layers.decide(Part::Balancing, from.field("trafficPolicy.loadBalancer", at), out);
        let balancer = self.balancer.map(|balancer| &balancer.value);
        balance(balancer, calling);
        places(layers, from, balancer, mesh_locality, out);
        if let Some(warmup) = self.balancer.and_then(|balancer| balancer.warmup.as_ref()) {
            let from = from.field("trafficPolicy.loadBalancer.warmup", warmup.at);
            layers.decide(Part::Warmup, from, out).slow_start = warm_up(&warmup.value);
        }
        let at = self.pool.map_or(from.at, |pool| pool.at);
        let from_pool = from.field("trafficPolicy.connectionPool", at);
        let calling = layers.decide(Part::Pool, from_pool, out);
        pool(self.pool.map(|pool| &pool.value), calling);
        if let Some(detection) = self.outlier {
            let from = from.field("trafficPolicy.outlierDetection", detection.at);
            let settings = outlier(&detection.value);
            layers.decide(Part::Outlier, from, out).outlier = Some(settings);
        }
        if let Some(tls) = self.tls {
            let from = from.field("trafficPolicy.tls", tls.at);
            client_tls(layers, from, &tls.value, credentials, out);
        }
        if let Some(tunnel) = self.tunnel {
            let from = from.field("trafficPolicy.tunnel", tunnel.at);
            layers.decide(Part::Wrapping, from, out).tunnel = Some(model::Tunnel {
                post: tunnel.uses_post,
                host: tunnel.target_host.value.clone(),
                port: tunnel.target_port,
            });
        }
        if let Some(version) = self.proxy_protocol {
            let from = from.field("trafficPolicy.proxyProtocol", version.at);
            let version = match version.value {
                ProxyProtocol::V1 => ProxyVersion::V1,
                ProxyProtocol::V2 => ProxyVersion::V2,
            };
            layers.decide(Part::Wrapping, from, out).proxy_protocol = Some(version);
        }
        if let Some(budget) = self.budget {
            let from = from.field("trafficPolicy.retryBudget", budget.at);
            let budget = BudgetSettings::Active(ActiveBudget {
                ratio: budget.percent.value() / 100.0,
                retries_min: budget.min_concurrency,
                interval: budget.interval,
            });
            layers.decide(Part::Budget, from, out).retry_budget = Some(budget);
        }
    }
}

// === functions ===

fn balance(balancer: Option<&LoadBalancer>, calling: &mut model::Calling) {
    let algorithm = balancer.and_then(|balancer| balancer.algorithm.as_ref());
    calling.as_dialled = false;
    calling.key = HashKey::ClientAddr;
    calling.picker = match algorithm.map(|algorithm| &algorithm.value) {
        None | Some(Algorithm::LeastRequest) => PickerKind::LeastRequest,
        Some(Algorithm::RoundRobin) => PickerKind::RoundRobin,
        Some(Algorithm::Random) => PickerKind::Random,
        Some(Algorithm::Passthrough) => {
            calling.as_dialled = true;
            PickerKind::LeastRequest
        }
        Some(Algorithm::ConsistentHash(hash)) => consistent_hash(hash, &mut calling.key),
    };
}

/// Which endpoints come first: what the rule says of it, else a layer below, else the mesh.
fn places<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    balancer: Option<&LoadBalancer>,
    mesh: Option<&LocalityLb>,
    out: &mut Output,
) {
    let setting = "trafficPolicy.loadBalancer.localityLbSetting";
    let of = |setting: &LocalityLb| {
        let distribute = (&*setting.distribute, 0);
        let is_on = setting.enabled != Some(false);
        is_on.then(|| locality(distribute, &setting.failover, &setting.failover_priority))
    };
    let written = balancer.and_then(|balancer| balancer.locality.as_ref());
    let zones = balancer.and_then(|balancer| balancer.zone_aware.as_ref());
    let (from, found) = match (zones, written) {
        (Some(zones), _) => {
            let zones_from = u32::try_from(zones.min_cluster_size).unwrap_or(u32::MAX);
            let locality =
                || locality((&[], zones_from), &zones.failover, &zones.failover_priority);
            let field = "trafficPolicy.loadBalancer.zoneAwareLbSetting";
            (from.field(field, zones.at), (zones.enabled != Some(false)).then(locality))
        }
        (None, Some(written)) => (from.field(setting, written.at), of(written)),
        (None, None) if layers.has(Part::Locality) => return,
        (None, None) => {
            // Istio's mesh prefers what is near as soon as failures are looked for.
            let near = || Some(locality((&[], 0), &[], &[]));
            (from.field(setting, from.at), mesh.map_or_else(near, of))
        }
    };
    layers.decide(Part::Locality, from, out).locality = found;
}

/// The picker, and what it hashes.
fn consistent_hash(hash: &ConsistentHash, key: &mut HashKey) -> PickerKind {
    let Some(written) = hash.key.as_ref().map(|written| &written.value) else {
        // Nothing has to be alike, so that chance decides, as in Istio.
        return PickerKind::Random;
    };
    *key = match written {
        WrittenKey::SourceIp => HashKey::ClientAddr,
        WrittenKey::QueryParameter(name) => HashKey::Query(name.clone()),
        WrittenKey::Cookie(written) => HashKey::Cookie(cookie(written)),
        // The reader takes names of headers alone.
        WrittenKey::Header(name) => match FieldName::new(name) {
            Ok(name) => HashKey::Header(name),
            Err(_) => HashKey::ClientAddr,
        },
    };
    let bounded = |size: u64, max: u32| u32::try_from(size).unwrap_or(max).min(max);
    match hash.algorithm {
        HashAlgorithm::Ring { minimum_size } => PickerKind::RingHash(RingHashSettings {
            size_min: bounded(minimum_size, RingHashSettings::SIZE_MAX),
            ..RingHashSettings::DEFAULT
        }),
        HashAlgorithm::Maglev { table_size } => PickerKind::Maglev(MaglevSettings {
            size: bounded(table_size, MaglevSettings::SIZE_MAX),
            ..MaglevSettings::DEFAULT
        }),
    }
}

fn cookie(cookie: &HashCookie) -> Cookie {
    let attribute = |name: &str| {
        cookie.attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
    };
    let value = |name: &str| attribute(name).map(|found| found.value.clone()).unwrap_or_default();
    Cookie {
        name: cookie.name.clone(),
        path: cookie.path.clone().unwrap_or_default(),
        domain: value("Domain"),
        http_only: true,
        secure: attribute("Secure").is_some(),
        same_site: value("SameSite"),
        max_age_secs: cookie.ttl.map_or(0, |ttl| ttl.as_secs() as i64),
    }
}

fn locality(
    (distribute, zones_from): (&[Distribute], u32),
    failover: &[RegionFailover],
    priority: &[PriorityLabel],
) -> Arc<Locality> {
    let distribute = distribute.iter().map(|one| model::Distribute {
        from: pattern(&one.from),
        to: one.to.iter().map(|(to, percent)| (pattern(to), *percent)).collect(),
    });
    let label = |label: &PriorityLabel| match &label.value {
        Some(value) => format!("{}={value}", label.name).into(),
        None => label.name.clone(),
    };
    let order = match priority {
        [] => LocalityOrder::Place,
        labels => LocalityOrder::Labels(labels.iter().map(label).collect()),
    };
    let failover = failover.iter().map(|one| (one.from.clone(), one.to.clone()));
    Arc::new(Locality {
        distribute: distribute.collect(),
        order,
        failover: failover.collect(),
        zones_from,
    })
}

fn pattern(pattern: &LocalityPattern) -> Box<str> {
    let LocalityPattern { region, zone, subzone } = pattern;
    let mut text = String::new();
    for part in [region, zone, subzone] {
        if !text.is_empty() {
            text.push('/');
        }
        match part {
            Some(part) => text.push_str(part),
            None => {
                text.push('*');
                break;
            }
        }
    }
    text.into()
}

fn warm_up(warmup: &Warmup) -> SlowStartSettings {
    SlowStartSettings {
        window: warmup.duration,
        ratio_min: warmup.minimum_percent.value() / 100.0,
        aggression: warmup.aggression,
    }
}

/// Bounds and connections of a pool.
pub(crate) fn pool(pool: Option<&ConnectionPool>, calling: &mut model::Calling) {
    let (none_tcp, none_http) = (TcpPool::default(), HttpPool::default());
    let tcp = pool.and_then(|pool| pool.tcp.as_ref()).map_or(&none_tcp, |tcp| &tcp.value);
    let http = pool.and_then(|pool| pool.http.as_ref()).map_or(&none_http, |http| &http.value);
    let number = |written: &Option<Spanned<u32>>| written.as_ref().map(|written| written.value);
    let time = |written: &Option<Spanned<Duration>>| written.as_ref().map(|written| written.value);
    calling.limits = LimitSettings {
        connections: number(&tcp.max_connections),
        pending: number(&http.max_pending_requests),
        requests: number(&http.max_requests),
        retries: number(&http.max_retries),
    };
    let keep_alive = tcp.keepalive.as_ref().map(|written| KeepAlive {
        idle: written.time.unwrap_or(KEEP_ALIVE.idle),
        interval: written.interval.unwrap_or(KEEP_ALIVE.interval),
        probes: written.probes.unwrap_or(KEEP_ALIVE.probes),
    });
    let pings = http.http2_keepalive.as_ref().map(|pings| (pings.interval, pings.timeout));
    calling.pool = PoolSettings {
        connect_timeout: time(&tcp.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        idle_timeout: time(&http.idle_timeout).unwrap_or(PoolSettings::DEFAULT.idle_timeout),
        tcp_idle_timeout: time(&tcp.idle_timeout).filter(|idle| !idle.is_zero()),
        requests_per_connection_max: number(&http.max_requests_per_connection).unwrap_or(0),
        connection_age_max: time(&tcp.max_connection_duration),
        h2_streams_max: number(&http.max_concurrent_streams).unwrap_or(0),
        keep_alive,
        h2_keep_alive: pings,
        ..PoolSettings::DEFAULT
    };
    let as_client = http.uses_client_protocol.as_ref().is_some_and(|keeps| keeps.value);
    calling.upgrade = match http.h2_upgrade.as_ref().map(|upgrade| upgrade.value) {
        _ if as_client => HttpUpgrade::AsClient,
        Some(H2Upgrade::Always) => HttpUpgrade::Http2,
        Some(H2Upgrade::Never) => HttpUpgrade::Never,
        None => HttpUpgrade::Default,
    };
}

fn outlier(detection: &OutlierDetection) -> OutlierSettings {
    let usual = OutlierSettings::ISTIO;
    let count = |written: &Option<Spanned<u32>>, usual: Option<u32>| match written {
        Some(written) => Some(written.value).filter(|count| *count > 0),
        None => usual,
    };
    let splits = detection.splits_local_errors.as_ref().is_some_and(|splits| splits.value);
    let percent = |written: &Option<Spanned<u32>>, usual: f64| {
        written.as_ref().map_or(usual, |written| f64::from(written.value) / 100.0)
    };
    let time = |written: &Option<Spanned<Duration>>, usual: Duration| {
        written.as_ref().map_or(usual, |written| written.value)
    };
    let mut settings = OutlierSettings {
        consecutive: count(&detection.consecutive_5xx_errors, usual.consecutive),
        consecutive_gateway: count(&detection.consecutive_gateway_errors, None),
        consecutive_local: match splits {
            true => count(&detection.consecutive_local_failures, Some(5)),
            false => None,
        },
        split_local: splits,
        ejected_ratio_max: percent(&detection.max_ejection_percent, usual.ejected_ratio_max),
        usable_ratio_min: percent(&detection.min_health_percent, 0.0),
        ..usual
    };
    if !detection.http_error_codes.is_empty() {
        settings.errors = detection.http_error_codes.iter().map(|code| code.value).collect();
    }
    let ejection = &mut settings.ejection;
    ejection.base = time(&detection.base_ejection_time, ejection.base);
    // A base above the usual bound raises it, as in Envoy.
    ejection.max = ejection.max.max(ejection.base);
    ejection.forgiven_after = time(&detection.interval, ejection.forgiven_after);
    settings
}

fn client_tls<'a>(
    layers: &mut Layers<'a>,
    from: From<'a>,
    tls: &ClientTls,
    credentials: &dyn Credentials,
    out: &mut Output,
) {
    let calling = layers.decide(Part::Tls, from, out);
    calling.without_mesh_tls = false;
    match tls.mode.value {
        ClientTlsMode::Disable => {
            calling.tls = None;
            calling.without_mesh_tls = true;
        }
        // What the mesh does by itself.
        ClientTlsMode::IstioMutual => calling.tls = None,
        ClientTlsMode::Simple | ClientTlsMode::Mutual => {
            let loaded = credentials.load(tls).unwrap_or_else(|problem| {
                let message = format!("{problem}: nothing is called, rather than unprotected");
                from.report().error(out, message);
                Loaded { roots_pem: Some(Arc::new([])), ..Loaded::default() }
            });
            let names = tls.subject_alt_names.iter().map(|name| match name.contains("://") {
                true => SubjectAltName::Uri(name.value.clone()),
                false => SubjectAltName::Dns(name.value.clone()),
            });
            calling.tls = Some(Arc::new(UpstreamTls {
                server_name: tls.sni.as_ref().map(|sni| sni.value.clone()),
                roots_pem: loaded.roots_pem,
                client: loaded.client,
                files: loaded.files,
                insecure_skip_verify: tls.insecure_skip_verify.as_ref().is_some_and(|on| on.value),
                subject_alt_names: names.collect(),
                ..UpstreamTls::default()
            }));
        }
    }
}
