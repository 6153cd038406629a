//! Arbitrary settings of calling.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use weft_model::backend::{SubjectAltName, TlsFiles, UpstreamTls};
use weft_model::calling::{
    Calling, CallingFor, Distribute, HashKey, HttpUpgrade, KeepAlive, Locality, LocalityOrder,
    PoolSettings, ProxyVersion, Source, Subset, Tunnel,
};
use weft_model::listener::{Certificate, TlsVersion};
use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BiasSettings, BudgetSettings, EjectionSettings, Growth,
    LimitSettings, LoadReportSettings, MaglevSettings, OutlierSettings, PickerKind, RecentBudget,
    RingHashSettings, SlowStartSettings, SuccessRateTrigger, WindowTrigger,
};

use super::{
    audience, cookie, field_name, hedge, labels, number, status_set, sticky, text, texts, time,
};

fn picker() -> BoxedStrategy<PickerKind> {
    let ring = (any::<u32>(), any::<u32>(), of(any::<u32>()));
    let loads = (time(), time(), time(), any::<u32>());
    prop_oneof![
        Just(PickerKind::RoundRobin),
        Just(PickerKind::LeastRequest),
        Just(PickerKind::PeakEwma),
        Just(PickerKind::Random),
        Just(PickerKind::Rendezvous),
        ring.prop_map(|(size_min, size_max, load_max_percent)| {
            PickerKind::RingHash(RingHashSettings { size_min, size_max, load_max_percent })
        }),
        (any::<u32>(), of(any::<u32>())).prop_map(|(size, load_max_percent)| {
            PickerKind::Maglev(MaglevSettings { size, load_max_percent })
        }),
        loads.prop_map(|(blackout, expiration, update_period, error_penalty_percent)| {
            PickerKind::WeightedByLoad(LoadReportSettings {
                blackout,
                expiration,
                update_period,
                error_penalty_percent,
            })
        }),
    ]
    .boxed()
}

fn hash_key() -> impl Strategy<Value = HashKey> {
    prop_oneof![
        Just(HashKey::ClientAddr),
        field_name().prop_map(HashKey::Header),
        text().prop_map(HashKey::Query),
        cookie().prop_map(HashKey::Cookie),
    ]
}

fn locality() -> BoxedStrategy<Locality> {
    let distribute = (text(), vec((text(), any::<u32>()), 0..3));
    let distribute = distribute.prop_map(|(from, to)| Distribute { from, to });
    let order = prop_oneof![
        Just(LocalityOrder::None),
        Just(LocalityOrder::SameZone),
        Just(LocalityOrder::Place),
        texts().prop_map(LocalityOrder::Labels),
    ];
    (vec(distribute, 0..2), order, vec((text(), text()), 0..3), any::<u32>())
        .prop_map(|(distribute, order, failover, zones_from)| Locality {
            distribute,
            order,
            failover,
            zones_from,
        })
        .boxed()
}

fn outlier() -> BoxedStrategy<OutlierSettings> {
    let counts = (of(any::<u32>()), of(any::<u32>()), of(any::<u32>()));
    let window = (any::<u32>(), time());
    let window = window.prop_map(|(failures, window)| WindowTrigger { failures, window });
    let rate = (number(), time(), any::<u32>(), status_set()).prop_map(
        |(ratio_min, window, requests_min, errors)| SuccessRateTrigger {
            ratio_min,
            window,
            requests_min,
            errors,
        },
    );
    let growth = prop_oneof![Just(Growth::Linear), Just(Growth::Double)];
    let ejection = (time(), time(), growth, number(), time(), any::<bool>()).prop_map(
        |(base, max, growth, jitter_ratio, forgiven_after, probation)| EjectionSettings {
            base,
            max,
            growth,
            jitter_ratio,
            forgiven_after,
            probation,
        },
    );
    let ratios = (number(), number(), any::<bool>());
    (counts, of(window), of(rate), status_set(), ejection, ratios)
        .prop_map(|(counts, in_window, success_rate, errors, ejection, ratios)| {
            let (consecutive, consecutive_gateway, consecutive_local) = counts;
            let (ejected_ratio_max, usable_ratio_min, split_local) = ratios;
            OutlierSettings {
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
            }
        })
        .boxed()
}

fn budget() -> impl Strategy<Value = BudgetSettings> {
    prop_oneof![
        (number(), time(), any::<u32>(), time()).prop_map(
            |(ratio, interval, retries_min, retries_min_interval)| {
                BudgetSettings::Recent(RecentBudget {
                    ratio,
                    interval,
                    retries_min,
                    retries_min_interval,
                })
            }
        ),
        (number(), any::<u32>(), time()).prop_map(|(ratio, retries_min, interval)| {
            BudgetSettings::Active(ActiveBudget { ratio, retries_min, interval })
        }),
    ]
}

fn limits() -> impl Strategy<Value = LimitSettings> {
    let one = || of(any::<u32>());
    (one(), one(), one(), one()).prop_map(|(connections, pending, requests, retries)| {
        LimitSettings { connections, pending, requests, retries }
    })
}

fn pool() -> BoxedStrategy<PoolSettings> {
    let times = (time(), time(), of(time()), of(time()), of(time()));
    let keep_alive = (time(), time(), any::<u32>())
        .prop_map(|(idle, interval, probes)| KeepAlive { idle, interval, probes });
    (times, any::<[u32; 3]>(), of(keep_alive), of((time(), time())))
        .prop_map(|(times, counts, keep_alive, h2_keep_alive)| {
            let (connect_timeout, idle_timeout, tcp_idle_timeout, head, age) = times;
            let [idle_per_endpoint_max, requests_per_connection_max, h2_streams_max] = counts;
            PoolSettings {
                connect_timeout,
                idle_per_endpoint_max,
                idle_timeout,
                tcp_idle_timeout,
                response_head_timeout: head,
                requests_per_connection_max,
                connection_age_max: age,
                h2_streams_max,
                keep_alive,
                h2_keep_alive,
            }
        })
        .boxed()
}

fn tls() -> BoxedStrategy<UpstreamTls> {
    let bytes = || vec(any::<u8>(), 0..4);
    let certificate = (text(), bytes(), bytes(), texts());
    let certificate = certificate.prop_map(|(origin, chain_pem, key_pem, names)| Certificate {
        origin,
        chain_pem: chain_pem.into(),
        key_pem: key_pem.into(),
        names,
    });
    let name =
        prop_oneof![text().prop_map(SubjectAltName::Dns), text().prop_map(SubjectAltName::Uri),];
    let versions = prop_oneof![
        Just((TlsVersion::Tls12, TlsVersion::Tls13)),
        Just((TlsVersion::Tls12, TlsVersion::Tls12)),
        Just((TlsVersion::Tls13, TlsVersion::Tls13)),
    ];
    let files = of((of(text()), of((text(), text()))));
    let files =
        files.prop_map(|files| files.map(|(roots, client)| Arc::new(TlsFiles { roots, client })));
    let names = (vec(name, 0..3), versions, files);
    (of(text()), of(bytes()), of(certificate), any::<bool>(), names)
        .prop_map(|(server_name, roots_pem, client, skips, (names, versions, files))| {
            let (min_version, max_version) = versions;
            UpstreamTls {
                server_name,
                // Authorities come from one place.
                roots_pem: roots_pem.filter(|_| files.is_none()).map(Into::into),
                client: client.map(Arc::new),
                insecure_skip_verify: skips,
                subject_alt_names: names,
                min_version,
                max_version,
                files,
            }
        })
        .boxed()
}

fn adaptive() -> BoxedStrategy<AdaptiveSettings> {
    let numbers = (number(), number(), number(), number());
    (any::<[u32; 5]>(), numbers, time(), time())
        .prop_map(|(counts, numbers, update_period, ideal_period)| {
            let [limit_initial, limit_min, limit_max, samples_min, ideal_samples] = counts;
            let (quantile, ideal_jitter_ratio, tolerance_ratio, smoothing) = numbers;
            AdaptiveSettings {
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
            }
        })
        .boxed()
}

pub(in super::super) fn calling() -> BoxedStrategy<Calling> {
    let choice = (picker(), hash_key(), of(sticky()), of(locality()), any::<[bool; 4]>());
    let slow_start = (time(), number(), number()).prop_map(|(window, ratio_min, aggression)| {
        SlowStartSettings { window, ratio_min, aggression }
    });
    let bias = (time(), time())
        .prop_map(|(penalty, retry_after_max)| BiasSettings { penalty, retry_after_max });
    let guards = (of(outlier()), slow_start, of(budget()), of(adaptive()), of(hedge()), of(bias));
    let tunnel =
        (any::<bool>(), text(), 1_u16..).prop_map(|(post, host, port)| Tunnel { post, host, port });
    let proxy_protocol = prop_oneof![Just(ProxyVersion::V1), Just(ProxyVersion::V2)];
    let upgrade = prop_oneof![
        Just(HttpUpgrade::Default),
        Just(HttpUpgrade::Http2),
        Just(HttpUpgrade::Never),
        Just(HttpUpgrade::AsClient),
    ];
    let wires = (limits(), limits(), pool(), of(tls()), of(tunnel), of(proxy_protocol), upgrade);
    (choice, guards, wires)
        .prop_map(|(choice, guards, wires)| {
            let (picker, key, sticky, locality, flags) = choice;
            let [as_dialled, without_mesh_tls, retries_across_hops, ignores_deadlines] = flags;
            let (outlier, slow_start, retry_budget, adaptive, hedge, bias) = guards;
            let (limits, endpoint_limits, pool, tls, tunnel, proxy_protocol, upgrade) = wires;
            Calling {
                picker,
                as_dialled,
                key,
                sticky,
                locality: locality.map(Arc::new),
                outlier,
                slow_start,
                retry_budget,
                limits,
                endpoint_limits,
                pool,
                tls: tls.map(Arc::new),
                without_mesh_tls,
                adaptive,
                hedge,
                retries_across_hops,
                ignores_deadlines,
                bias,
                tunnel,
                proxy_protocol,
                upgrade,
            }
        })
        .boxed()
}

/// The one without any settings too, which travels as nothing.
pub(super) fn some_calling() -> impl Strategy<Value = Arc<Calling>> {
    prop_oneof![Just(Calling::default()), calling()].prop_map(Arc::new)
}

pub(super) fn source() -> impl Strategy<Value = Source> {
    (text(), text(), text(), any::<u32>()).prop_map(|(setting, document, file, line)| Source {
        setting,
        document,
        file,
        line,
    })
}

pub(super) fn calling_for() -> BoxedStrategy<CallingFor> {
    let subset = (text(), labels()).prop_map(|(name, labels)| Subset { name, labels });
    (audience(), of(1_u16..), of(subset), some_calling(), vec(source(), 0..2))
        .prop_map(|(audience, port, subset, calling, sources)| CallingFor {
            audience,
            port,
            subset,
            calling,
            sources: sources.into(),
        })
        .boxed()
}
