//! How a destination is called.
//!
//! Of what only tunes, a kind that is not known stands for the default. What says who is spoken to,
//! and how, has none: it makes the resource invalid.

use std::sync::Arc;

use weft_message::FieldName;
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

use super::{InvalidResource, fitting, optional, port_number, quantity, texts, time};
use crate::resource::calling as wire;

pub(super) fn calling(message: &wire::Calling) -> Result<Calling, InvalidResource> {
    let usual = Calling::default();
    Ok(Calling {
        picker: message.picker.as_ref().map_or(usual.picker, picker),
        as_dialled: message.as_dialled,
        key: message.key.as_ref().map_or(Ok(usual.key), hash_key)?,
        sticky: message.sticky.as_ref().map(sticky),
        locality: message.locality.as_ref().map(locality).map(Arc::new),
        outlier: message.outlier.as_ref().map(outlier).transpose()?,
        slow_start: message.slow_start.as_ref().map_or(Ok(usual.slow_start), slow_start)?,
        retry_budget: message.retry_budget.as_ref().map(budget).transpose()?,
        limits: message.limits.as_ref().map(limits).unwrap_or_default(),
        endpoint_limits: message.endpoint_limits.as_ref().map(limits).unwrap_or_default(),
        pool: message.pool.as_ref().map_or(usual.pool, pool),
        tls: message.tls.as_ref().map(tls).transpose()?.map(Arc::new),
        without_mesh_tls: message.without_mesh_tls,
        adaptive: message.adaptive.as_ref().map(adaptive).transpose()?,
        hedge: message.hedge.as_ref().map(hedge).transpose()?,
        retries_across_hops: message.retries_across_hops,
        ignores_deadlines: message.ignores_deadlines,
        bias: message.bias.as_ref().map(bias),
        tunnel: message.tunnel.as_ref().map(tunnel).transpose()?,
        proxy_protocol: match message.proxy_protocol {
            0 => None,
            1 => Some(ProxyVersion::V1),
            2 => Some(ProxyVersion::V2),
            value => return Err(InvalidResource::Unknown { field: "proxy_protocol", value }),
        },
        upgrade: match message.upgrade {
            1 => HttpUpgrade::Http2,
            2 => HttpUpgrade::Never,
            3 => HttpUpgrade::AsClient,
            _ => HttpUpgrade::Default,
        },
    })
}

fn picker(message: &wire::Picker) -> PickerKind {
    match *message {
        wire::Picker::Plain(1) => PickerKind::LeastRequest,
        wire::Picker::Plain(2) => PickerKind::PeakEwma,
        wire::Picker::Plain(3) => PickerKind::Random,
        wire::Picker::Plain(4) => PickerKind::Rendezvous,
        wire::Picker::Plain(_) => PickerKind::RoundRobin,
        wire::Picker::Ring(wire::Ring { size_min, size_max, load_max_percent }) => {
            PickerKind::RingHash(RingHashSettings { size_min, size_max, load_max_percent })
        }
        wire::Picker::Maglev(wire::Maglev { size, load_max_percent }) => {
            PickerKind::Maglev(MaglevSettings { size, load_max_percent })
        }
        wire::Picker::Loads(wire::LoadReport {
            blackout,
            expiration,
            update_period,
            error_penalty_percent,
        }) => PickerKind::WeightedByLoad(LoadReportSettings {
            blackout: time(blackout),
            expiration: time(expiration),
            update_period: time(update_period),
            error_penalty_percent,
        }),
    }
}

fn hash_key(message: &wire::HashKey) -> Result<HashKey, InvalidResource> {
    Ok(match message {
        wire::HashKey::Header(name) => {
            let name = FieldName::new(name).map_err(|_| InvalidResource::Name("header"))?;
            HashKey::Header(name)
        }
        wire::HashKey::Query(name) => HashKey::Query(name.as_str().into()),
        wire::HashKey::Cookie(message) => HashKey::Cookie(cookie(message)),
    })
}

pub(super) fn sticky(message: &wire::Affinity) -> Affinity {
    let word = match (message.is_header_of_backend, message.is_header_of_endpoint) {
        (true, _) => Word::Backend,
        (false, true) => Word::Endpoint,
        (false, false) => return Affinity::Cookie(cookie(message)),
    };
    Affinity::Header(SessionHeader { name: message.name.as_str().into(), word })
}

fn cookie(message: &wire::Affinity) -> Cookie {
    Cookie {
        name: message.name.as_str().into(),
        path: message.path.as_str().into(),
        domain: message.domain.as_str().into(),
        http_only: message.http_only,
        secure: message.secure,
        same_site: message.same_site.as_str().into(),
        max_age_secs: message.max_age_secs,
    }
}

fn locality(message: &wire::Locality) -> Locality {
    let share = |share: &wire::PlaceShare| (share.place.as_str().into(), share.percent);
    let distribute = message.distribute.iter().map(|entry| Distribute {
        from: entry.from.as_str().into(),
        to: entry.to.iter().map(share).collect(),
    });
    let failover =
        message.failover.iter().map(|entry| (entry.from.as_str().into(), entry.to.as_str().into()));
    Locality {
        distribute: distribute.collect(),
        order: match message.order {
            1 => LocalityOrder::SameZone,
            2 => LocalityOrder::Place,
            3 => LocalityOrder::Labels(texts(&message.labels)),
            _ => LocalityOrder::None,
        },
        failover: failover.collect(),
        zones_from: message.zones_from,
    }
}

fn outlier(message: &wire::Outlier) -> Result<OutlierSettings, InvalidResource> {
    let window = |message: &wire::Window| WindowTrigger {
        failures: message.failures,
        window: time(message.window),
    };
    Ok(OutlierSettings {
        consecutive: message.consecutive,
        consecutive_gateway: message.consecutive_gateway,
        consecutive_local: message.consecutive_local,
        in_window: message.in_window.as_ref().map(window),
        success_rate: message.success_rate.as_ref().map(success_rate).transpose()?,
        errors: status_set(&message.errors)?,
        split_local: message.split_local,
        ejection: EjectionSettings {
            base: time(message.base),
            max: time(message.max),
            growth: match message.growth {
                1 => Growth::Double,
                _ => Growth::Linear,
            },
            jitter_ratio: quantity("jitter_ratio", message.jitter_ratio)?,
            forgiven_after: time(message.forgiven_after),
            probation: message.probation,
        },
        ejected_ratio_max: quantity("ejected_ratio_max", message.ejected_ratio_max)?,
        usable_ratio_min: quantity("usable_ratio_min", message.usable_ratio_min)?,
    })
}

fn success_rate(message: &wire::SuccessRate) -> Result<SuccessRateTrigger, InvalidResource> {
    Ok(SuccessRateTrigger {
        ratio_min: quantity("ratio_min", message.ratio_min)?,
        window: time(message.window),
        requests_min: message.requests_min,
        errors: status_set(&message.errors)?,
    })
}

fn status_set(ranges: &[wire::StatusRange]) -> Result<StatusSet, InvalidResource> {
    Ok(statuses(ranges)?.into_iter().collect())
}

pub(super) fn statuses(ranges: &[wire::StatusRange]) -> Result<Vec<(u16, u16)>, InvalidResource> {
    let range = |range: &wire::StatusRange| {
        Ok((fitting("statuses", range.first)?, fitting("statuses", range.last)?))
    };
    ranges.iter().map(range).collect()
}

fn slow_start(message: &wire::SlowStart) -> Result<SlowStartSettings, InvalidResource> {
    Ok(SlowStartSettings {
        window: time(message.window),
        ratio_min: quantity("ratio_min", message.ratio_min)?,
        aggression: quantity("aggression", message.aggression)?,
    })
}

fn budget(message: &wire::Budget) -> Result<BudgetSettings, InvalidResource> {
    Ok(match &message.kind {
        None => BudgetSettings::DEFAULT,
        Some(wire::BudgetKind::Recent(recent)) => BudgetSettings::Recent(RecentBudget {
            ratio: quantity("ratio", recent.ratio)?,
            interval: time(recent.interval),
            retries_min: recent.retries_min,
            retries_min_interval: time(recent.retries_min_interval),
        }),
        Some(wire::BudgetKind::Active(active)) => BudgetSettings::Active(ActiveBudget {
            ratio: quantity("ratio", active.ratio)?,
            retries_min: active.retries_min,
            interval: time(active.interval),
        }),
    })
}

fn limits(message: &wire::Limits) -> LimitSettings {
    let wire::Limits { connections, pending, requests, retries } = *message;
    LimitSettings { connections, pending, requests, retries }
}

fn pool(message: &wire::Pool) -> PoolSettings {
    let probes = |message: wire::KeepAlive| KeepAlive {
        idle: time(message.idle),
        interval: time(message.interval),
        probes: message.probes,
    };
    let ping = |message: wire::Ping| (time(message.interval), time(message.timeout));
    PoolSettings {
        connect_timeout: time(message.connect_timeout),
        idle_per_endpoint_max: message.idle_per_endpoint_max,
        idle_timeout: time(message.idle_timeout),
        tcp_idle_timeout: message.tcp_idle_timeout.map(time),
        response_head_timeout: message.response_head_timeout.map(time),
        requests_per_connection_max: message.requests_per_connection_max,
        connection_age_max: message.connection_age_max.map(time),
        h2_streams_max: message.h2_streams_max,
        keep_alive: message.keep_alive.map(probes),
        h2_keep_alive: message.h2_keep_alive.map(ping),
    }
}

fn tls(message: &wire::Tls) -> Result<UpstreamTls, InvalidResource> {
    let name = |message: &wire::SubjectAltName| match &message.kind {
        Some(wire::SubjectAltNameKind::Dns(name)) => Ok(SubjectAltName::Dns(name.as_str().into())),
        Some(wire::SubjectAltNameKind::Uri(uri)) => Ok(SubjectAltName::Uri(uri.as_str().into())),
        // Without it, perhaps none would be asked for.
        None => Err(InvalidResource::Kind("subject_alt_name")),
    };
    let files = message.files.as_ref().map(tls_files).map(Arc::new);
    let roots_pem = message.roots_pem.as_deref().filter(|_| files.is_none());
    Ok(UpstreamTls {
        server_name: optional(message.server_name.as_ref()),
        roots_pem: roots_pem.map(Into::into),
        client: message.client.as_ref().map(certificate).map(Arc::new),
        insecure_skip_verify: message.insecure_skip_verify,
        subject_alt_names: message.subject_alt_names.iter().map(name).collect::<Result<_, _>>()?,
        min_version: if message.without_tls12 { TlsVersion::Tls13 } else { TlsVersion::Tls12 },
        max_version: if message.without_tls13 { TlsVersion::Tls12 } else { TlsVersion::Tls13 },
        files,
    })
}

fn tls_files(message: &wire::TlsFiles) -> TlsFiles {
    let client = optional(message.chain.as_ref()).zip(optional(message.key.as_ref()));
    TlsFiles { roots: optional(message.roots.as_ref()), client }
}

fn certificate(message: &wire::Certificate) -> Certificate {
    Certificate {
        origin: message.origin.as_str().into(),
        chain_pem: message.chain_pem.as_slice().into(),
        key_pem: message.key_pem.as_slice().into(),
        names: texts(&message.names),
    }
}

fn adaptive(message: &wire::Adaptive) -> Result<AdaptiveSettings, InvalidResource> {
    Ok(AdaptiveSettings {
        limit_initial: message.limit_initial,
        limit_min: message.limit_min,
        limit_max: message.limit_max,
        quantile: quantity("quantile", message.quantile)?,
        update_period: time(message.update_period),
        samples_min: message.samples_min,
        ideal_period: time(message.ideal_period),
        ideal_jitter_ratio: quantity("ideal_jitter_ratio", message.ideal_jitter_ratio)?,
        ideal_samples: message.ideal_samples,
        tolerance_ratio: quantity("tolerance_ratio", message.tolerance_ratio)?,
        smoothing: quantity("smoothing", message.smoothing)?,
    })
}

pub(super) fn hedge(message: &wire::Hedge) -> Result<HedgeSettings, InvalidResource> {
    Ok(HedgeSettings {
        quantile: quantity("quantile", message.quantile)?,
        window: time(message.window),
        samples_min: message.samples_min,
        delay_min: time(message.delay_min),
        delay_max: time(message.delay_max),
        budget_ratio: quantity("budget_ratio", message.budget_ratio)?,
        burst: message.burst,
    })
}

fn bias(message: &wire::Bias) -> BiasSettings {
    BiasSettings { penalty: time(message.penalty), retry_after_max: time(message.retry_after_max) }
}

fn tunnel(message: &wire::Tunnel) -> Result<Tunnel, InvalidResource> {
    Ok(Tunnel {
        post: message.post,
        host: message.host.as_str().into(),
        port: port_number(message.port)?,
    })
}
