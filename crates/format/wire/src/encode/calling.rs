//! How a destination is called.

#[cfg(test)]
mod tests;

use weft_model::backend::{SubjectAltName, TlsFiles, UpstreamTls};
use weft_model::calling::{
    Calling, Distribute, HashKey, HttpUpgrade, KeepAlive, Locality, LocalityOrder, PoolSettings,
    ProxyVersion, Tunnel,
};
use weft_model::listener::{Certificate, TlsVersion};
use weft_model::route::{Affinity, Cookie, SessionHeader, Word};
use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BiasSettings, BudgetSettings, EjectionSettings, Growth,
    HedgeSettings, LimitSettings, LoadReportSettings, MaglevSettings, OutlierSettings, PickerKind,
    RecentBudget, RingHashSettings, SlowStartSettings, StatusSet, SuccessRateTrigger,
    WindowTrigger,
};

use super::{nanos, optional, texts};
use crate::resource::calling as wire;

pub(super) fn calling(calling: &Calling) -> wire::Calling {
    let Calling {
        picker: how,
        as_dialled,
        key,
        sticky: cookie,
        locality: places,
        outlier: passive,
        slow_start,
        retry_budget,
        limits: together,
        endpoint_limits,
        pool: connections,
        tls: encryption,
        without_mesh_tls,
        adaptive: bound,
        hedge: second,
        retries_across_hops,
        ignores_deadlines,
        bias: cost,
        tunnel: asked,
        proxy_protocol,
        upgrade,
    } = calling;
    let at_once = Calling::default().slow_start;
    wire::Calling {
        picker: picker(*how),
        as_dialled: *as_dialled,
        key: hash_key(key),
        sticky: cookie.as_ref().map(sticky),
        locality: places.as_deref().map(locality),
        outlier: passive.as_ref().map(outlier),
        slow_start: (*slow_start != at_once).then(|| growth_of_share(slow_start)),
        retry_budget: retry_budget.as_ref().map(budget),
        limits: (*together != LimitSettings::default()).then(|| limits(together)),
        endpoint_limits: (*endpoint_limits != LimitSettings::default())
            .then(|| limits(endpoint_limits)),
        pool: (*connections != PoolSettings::DEFAULT).then(|| pool(connections)),
        tls: encryption.as_deref().map(tls),
        without_mesh_tls: *without_mesh_tls,
        adaptive: bound.as_ref().map(adaptive),
        hedge: second.as_ref().map(hedge),
        retries_across_hops: *retries_across_hops,
        ignores_deadlines: *ignores_deadlines,
        bias: cost.as_ref().map(bias),
        tunnel: asked.as_ref().map(tunnel),
        proxy_protocol: match proxy_protocol {
            None => 0,
            Some(ProxyVersion::V1) => 1,
            Some(ProxyVersion::V2) => 2,
        },
        upgrade: match upgrade {
            HttpUpgrade::Default => 0,
            HttpUpgrade::Http2 => 1,
            HttpUpgrade::Never => 2,
            HttpUpgrade::AsClient => 3,
        },
    }
}

fn picker(kind: PickerKind) -> Option<wire::Picker> {
    Some(match kind {
        PickerKind::RoundRobin => return None,
        PickerKind::LeastRequest => wire::Picker::Plain(1),
        PickerKind::PeakEwma => wire::Picker::Plain(2),
        PickerKind::Random => wire::Picker::Plain(3),
        PickerKind::Rendezvous => wire::Picker::Plain(4),
        PickerKind::RingHash(RingHashSettings { size_min, size_max, load_max_percent }) => {
            wire::Picker::Ring(wire::Ring { size_min, size_max, load_max_percent })
        }
        PickerKind::Maglev(MaglevSettings { size, load_max_percent }) => {
            wire::Picker::Maglev(wire::Maglev { size, load_max_percent })
        }
        PickerKind::WeightedByLoad(LoadReportSettings {
            blackout,
            expiration,
            update_period,
            error_penalty_percent,
        }) => wire::Picker::Loads(wire::LoadReport {
            blackout: nanos(blackout),
            expiration: nanos(expiration),
            update_period: nanos(update_period),
            error_penalty_percent,
        }),
    })
}

fn hash_key(key: &HashKey) -> Option<wire::HashKey> {
    match key {
        HashKey::ClientAddr => None,
        HashKey::Header(name) => Some(wire::HashKey::Header(name.as_str().into())),
        HashKey::Query(name) => Some(wire::HashKey::Query(name.to_string())),
        HashKey::Cookie(one) => Some(wire::HashKey::Cookie(cookie(one))),
    }
}

pub(super) fn sticky(affinity: &Affinity) -> wire::Affinity {
    match affinity {
        Affinity::Cookie(one) => cookie(one),
        Affinity::Header(SessionHeader { name, word }) => wire::Affinity {
            name: name.to_string(),
            is_header_of_backend: *word == Word::Backend,
            is_header_of_endpoint: *word == Word::Endpoint,
            ..wire::Affinity::default()
        },
    }
}

fn cookie(cookie: &Cookie) -> wire::Affinity {
    let Cookie { name, path, domain, http_only, secure, same_site, max_age_secs } = cookie;
    wire::Affinity {
        name: name.to_string(),
        path: path.to_string(),
        domain: domain.to_string(),
        http_only: *http_only,
        secure: *secure,
        same_site: same_site.to_string(),
        max_age_secs: *max_age_secs,
        is_header_of_backend: false,
        is_header_of_endpoint: false,
    }
}

fn locality(locality: &Locality) -> wire::Locality {
    let Locality { distribute, order, failover, zones_from } = locality;
    let share = |(place, percent): &(Box<str>, u32)| wire::PlaceShare {
        place: place.to_string(),
        percent: *percent,
    };
    let distribute = distribute.iter().map(|Distribute { from, to }| wire::Distribute {
        from: from.to_string(),
        to: to.iter().map(share).collect(),
    });
    let failover = failover
        .iter()
        .map(|(from, to)| wire::Failover { from: from.to_string(), to: to.to_string() });
    let (order, labels) = match order {
        LocalityOrder::None => (0, Vec::new()),
        LocalityOrder::SameZone => (1, Vec::new()),
        LocalityOrder::Place => (2, Vec::new()),
        LocalityOrder::Labels(labels) => (3, texts(labels)),
    };
    wire::Locality {
        distribute: distribute.collect(),
        order,
        labels,
        failover: failover.collect(),
        zones_from: *zones_from,
    }
}

fn outlier(settings: &OutlierSettings) -> wire::Outlier {
    let OutlierSettings {
        consecutive,
        consecutive_gateway,
        consecutive_local,
        in_window,
        success_rate,
        errors,
        split_local,
        ejection,
        ejected_ratio_max,
        usable_ratio_min,
    } = settings;
    let EjectionSettings { base, max, growth, jitter_ratio, forgiven_after, probation } = ejection;
    let window = |WindowTrigger { failures, window }: &WindowTrigger| wire::Window {
        failures: *failures,
        window: nanos(*window),
    };
    wire::Outlier {
        consecutive: *consecutive,
        consecutive_gateway: *consecutive_gateway,
        consecutive_local: *consecutive_local,
        in_window: in_window.as_ref().map(window),
        success_rate: success_rate.as_ref().map(rate),
        errors: statuses(errors.ranges()),
        split_local: *split_local,
        ejected_ratio_max: *ejected_ratio_max,
        usable_ratio_min: *usable_ratio_min,
        base: nanos(*base),
        max: nanos(*max),
        growth: match growth {
            Growth::Linear => 0,
            Growth::Double => 1,
        },
        jitter_ratio: *jitter_ratio,
        forgiven_after: nanos(*forgiven_after),
        probation: *probation,
    }
}

fn rate(trigger: &SuccessRateTrigger) -> wire::SuccessRate {
    let SuccessRateTrigger { ratio_min, window, requests_min, errors } = trigger;
    let errors: &StatusSet = errors;
    wire::SuccessRate {
        ratio_min: *ratio_min,
        window: nanos(*window),
        requests_min: *requests_min,
        errors: statuses(errors.ranges()),
    }
}

pub(super) fn statuses(ranges: impl Iterator<Item = (u16, u16)>) -> Vec<wire::StatusRange> {
    let range =
        |(first, last): (u16, u16)| wire::StatusRange { first: first.into(), last: last.into() };
    ranges.map(range).collect()
}

fn growth_of_share(settings: &SlowStartSettings) -> wire::SlowStart {
    let SlowStartSettings { window, ratio_min, aggression } = settings;
    wire::SlowStart { window: nanos(*window), ratio_min: *ratio_min, aggression: *aggression }
}

fn budget(settings: &BudgetSettings) -> wire::Budget {
    let kind = match settings {
        BudgetSettings::Recent(RecentBudget {
            ratio,
            interval,
            retries_min,
            retries_min_interval,
        }) => wire::BudgetKind::Recent(wire::RecentBudget {
            ratio: *ratio,
            interval: nanos(*interval),
            retries_min: *retries_min,
            retries_min_interval: nanos(*retries_min_interval),
        }),
        BudgetSettings::Active(ActiveBudget { ratio, retries_min, interval }) => {
            wire::BudgetKind::Active(wire::ActiveBudget {
                ratio: *ratio,
                retries_min: *retries_min,
                interval: nanos(*interval),
            })
        }
    };
    wire::Budget { kind: Some(kind) }
}

fn limits(settings: &LimitSettings) -> wire::Limits {
    let LimitSettings { connections, pending, requests, retries } = *settings;
    wire::Limits { connections, pending, requests, retries }
}

fn pool(settings: &PoolSettings) -> wire::Pool {
    let PoolSettings {
        connect_timeout,
        idle_per_endpoint_max,
        idle_timeout,
        tcp_idle_timeout,
        response_head_timeout,
        requests_per_connection_max,
        connection_age_max,
        h2_streams_max,
        keep_alive,
        h2_keep_alive,
    } = *settings;
    let probes = |KeepAlive { idle, interval, probes }: KeepAlive| wire::KeepAlive {
        idle: nanos(idle),
        interval: nanos(interval),
        probes,
    };
    let ping =
        |(interval, timeout)| wire::Ping { interval: nanos(interval), timeout: nanos(timeout) };
    wire::Pool {
        connect_timeout: nanos(connect_timeout),
        idle_per_endpoint_max,
        idle_timeout: nanos(idle_timeout),
        tcp_idle_timeout: tcp_idle_timeout.map(nanos),
        response_head_timeout: response_head_timeout.map(nanos),
        requests_per_connection_max,
        connection_age_max: connection_age_max.map(nanos),
        h2_streams_max,
        keep_alive: keep_alive.map(probes),
        h2_keep_alive: h2_keep_alive.map(ping),
    }
}

fn tls(settings: &UpstreamTls) -> wire::Tls {
    let UpstreamTls {
        server_name,
        roots_pem,
        client,
        insecure_skip_verify,
        subject_alt_names,
        min_version,
        max_version,
        files,
    } = settings;
    let roots_pem = match files {
        Some(_) => Some(Vec::new()),
        None => roots_pem.as_deref().map(<[u8]>::to_vec),
    };
    let name = |name: &SubjectAltName| {
        let kind = match name {
            SubjectAltName::Dns(name) => wire::SubjectAltNameKind::Dns(name.to_string()),
            SubjectAltName::Uri(uri) => wire::SubjectAltNameKind::Uri(uri.to_string()),
        };
        wire::SubjectAltName { kind: Some(kind) }
    };
    wire::Tls {
        server_name: optional(server_name.as_deref()),
        roots_pem,
        client: client.as_deref().map(certificate),
        insecure_skip_verify: *insecure_skip_verify,
        subject_alt_names: subject_alt_names.iter().map(name).collect(),
        without_tls12: *min_version > TlsVersion::Tls12,
        without_tls13: *max_version < TlsVersion::Tls13,
        files: files.as_deref().map(tls_files),
    }
}

fn tls_files(files: &TlsFiles) -> wire::TlsFiles {
    let TlsFiles { roots, client } = files;
    let (chain, key) = client.as_ref().map(|(chain, key)| (&**chain, &**key)).unzip();
    wire::TlsFiles { roots: optional(roots.as_deref()), chain: optional(chain), key: optional(key) }
}

fn certificate(certificate: &Certificate) -> wire::Certificate {
    let Certificate { origin, chain_pem, key_pem, names } = certificate;
    wire::Certificate {
        origin: origin.to_string(),
        chain_pem: chain_pem.to_vec(),
        key_pem: key_pem.to_vec(),
        names: texts(names),
    }
}

fn adaptive(settings: &AdaptiveSettings) -> wire::Adaptive {
    let AdaptiveSettings {
        limit_initial,
        limit_min,
        limit_max,
        quantile,
        update_period,
        samples_min,
        ideal_period,
        ideal_jitter_ratio,
        ideal_samples,
        tolerance_ratio,
        smoothing,
    } = *settings;
    wire::Adaptive {
        limit_initial,
        limit_min,
        limit_max,
        quantile,
        update_period: nanos(update_period),
        samples_min,
        ideal_period: nanos(ideal_period),
        ideal_jitter_ratio,
        ideal_samples,
        tolerance_ratio,
        smoothing,
    }
}

pub(super) fn hedge(settings: &HedgeSettings) -> wire::Hedge {
    let HedgeSettings { quantile, window, samples_min, delay_min, delay_max, budget_ratio, burst } =
        *settings;
    wire::Hedge {
        quantile,
        window: nanos(window),
        samples_min,
        delay_min: nanos(delay_min),
        delay_max: nanos(delay_max),
        budget_ratio,
        burst,
    }
}

fn bias(settings: &BiasSettings) -> wire::Bias {
    let BiasSettings { penalty, retry_after_max } = *settings;
    wire::Bias { penalty: nanos(penalty), retry_after_max: nanos(retry_after_max) }
}

fn tunnel(tunnel: &Tunnel) -> wire::Tunnel {
    let Tunnel { post, host, port } = tunnel;
    wire::Tunnel { post: *post, host: host.to_string(), port: (*port).into() }
}
