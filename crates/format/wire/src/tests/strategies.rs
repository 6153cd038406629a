//! Arbitrary traffic, as far as proxies of the mesh are told of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use weft_message::{FieldName, Method, Scheme};
use weft_model::backend::{
    Backend, Endpoint, Endpoints, HostHeader, SubjectAltName, UpstreamProtocol, UpstreamTls,
};
use weft_model::calling::{
    Audience, Calling, CallingFor, Distribute, HashKey, HttpUpgrade, KeepAlive, Locality,
    LocalityOrder, PoolSettings, ProxyVersion, Source, Subset, Tunnel,
};
use weft_model::id::{BackendId, PolicyId, RouteId, ServiceName};
use weft_model::listener::Certificate;
use weft_model::mesh::{Egress, Peer, Traffic};
use weft_model::outcome::Reason;
use weft_model::policy::{
    Abort, AnswerDiff, Cors, Fault, FixedAnswer, HeaderEdits, IpAllowList, IpStrategy,
    LocalRateLimit, PathRewrite, Redirect, Refusal, RetryPolicy, Rewrite, SourceCriterion, Step,
    StepKind,
};
use weft_model::route::{
    Choice, HostMatch, Matcher, Origin, PathMatch, Rank, Route, RouteSet, Routed, StickyCookie,
    Target, TcpMatcher, TcpRoute, TcpTls, Timeouts, Weighted,
};
use weft_model::text::{Pattern, TextMatch};
use weft_resilience::settings::{
    ActiveBudget, AdaptiveSettings, BackoffSettings, BiasSettings, BudgetSettings,
    EjectionSettings, Growth, HedgeSettings, LimitSettings, LoadReportSettings, MaglevSettings,
    OutlierSettings, PickerKind, RateSettings, RecentBudget, RingHashSettings, SlowStartSettings,
    StatusSet, SuccessRateTrigger, WindowTrigger,
};

pub(super) fn text() -> impl Strategy<Value = Box<str>> {
    "[a-z]{0,6}".prop_map(Into::into)
}

fn texts() -> impl Strategy<Value = Vec<Box<str>>> {
    vec(text(), 0..3)
}

/// What may be left out in any message, or be zero.
fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(Duration::ZERO), any::<u64>().prop_map(Duration::from_nanos)]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), 0.0..100.0_f64]
}

pub(super) fn labels() -> impl Strategy<Value = Box<[(Box<str>, Box<str>)]>> {
    vec((text(), text()), 0..3).prop_map(Into::into)
}

pub(super) fn network() -> impl Strategy<Value = IpNet> {
    (any::<IpAddr>(), 0..=32_u8).prop_map(|(ip, prefix)| IpNet::new(ip, prefix).unwrap())
}

pub(super) fn refusal() -> impl Strategy<Value = Refusal> {
    let reason = prop_oneof![Just(Reason::NoRoute), Just(Reason::InvalidBackend)];
    (reason, text()).prop_map(|(reason, detail)| Refusal { reason, detail: detail.into() })
}

fn audience() -> impl Strategy<Value = Audience> {
    (texts(), labels())
        .prop_map(|(namespaces, labels)| Audience { namespaces: namespaces.into(), labels })
}

fn ports() -> impl Strategy<Value = Box<[u16]>> {
    vec(1_u16.., 0..3).prop_map(Into::into)
}

fn field_name() -> impl Strategy<Value = FieldName> {
    prop_oneof!["[a-z]{1,4}", Just("content-type".to_owned())]
        .prop_map(|name| FieldName::new(&name).unwrap())
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let text = prop_oneof!["[a-z]{0,4}", Just("^/v[0-9]+/.*$".to_owned())];
    (text, any::<bool>()).prop_map(|(text, anchored)| match anchored {
        true => Pattern::anchored(&text).unwrap(),
        false => Pattern::new(&text).unwrap(),
    })
}

fn text_match() -> impl Strategy<Value = TextMatch> {
    prop_oneof![
        text().prop_map(TextMatch::Exact),
        pattern().prop_map(TextMatch::Regex),
        Just(TextMatch::Present),
    ]
}

fn host_match() -> impl Strategy<Value = HostMatch> {
    prop_oneof![
        text().prop_map(HostMatch::Exact),
        text().prop_map(HostMatch::OneLabel),
        text().prop_map(HostMatch::AnyLabels),
        pattern().prop_map(HostMatch::Regex),
        Just(HostMatch::Any),
    ]
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    prop_oneof![
        text().prop_map(PathMatch::Exact),
        text().prop_map(PathMatch::Prefix),
        text().prop_map(PathMatch::Segments),
        pattern().prop_map(PathMatch::Regex),
    ]
}

fn method() -> impl Strategy<Value = Method> {
    prop_oneof![Just(Method::Get), Just(Method::Patch), Just(Method::Other("LOCK".into()))]
}

fn matcher() -> BoxedStrategy<Matcher> {
    let leaf = prop_oneof![
        host_match().prop_map(Matcher::Host),
        path_match().prop_map(Matcher::Path),
        method().prop_map(Matcher::Method),
        (field_name(), text_match()).prop_map(|(name, text)| Matcher::Header(name, text)),
        (text(), text_match()).prop_map(|(name, text)| Matcher::Query(name, text)),
        network().prop_map(Matcher::ClientIp),
        text_match().prop_map(Matcher::Authority),
        prop_oneof![Just(Scheme::Http), Just(Scheme::Https)].prop_map(Matcher::Scheme),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Matcher::All),
            vec(inner.clone(), 0..3).prop_map(Matcher::Any),
            inner.prop_map(|not| Matcher::Not(Box::new(not))),
        ]
    })
    .boxed()
}

fn tcp_matcher() -> BoxedStrategy<TcpMatcher> {
    let leaf = prop_oneof![
        host_match().prop_map(TcpMatcher::Sni),
        network().prop_map(TcpMatcher::ClientIp),
        text().prop_map(TcpMatcher::Alpn),
        network().prop_map(TcpMatcher::Destination),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(TcpMatcher::All),
            vec(inner.clone(), 0..3).prop_map(TcpMatcher::Any),
            inner.prop_map(|not| TcpMatcher::Not(Box::new(not))),
        ]
    })
    .boxed()
}

fn sticky() -> BoxedStrategy<StickyCookie> {
    let flags = (any::<bool>(), any::<bool>(), any::<i64>());
    (text(), text(), text(), text(), flags)
        .prop_map(|(name, path, domain, same_site, (http_only, secure, max_age_secs))| {
            StickyCookie { name, path, domain, http_only, secure, same_site, max_age_secs }
        })
        .boxed()
}

fn statuses() -> impl Strategy<Value = Vec<(u16, u16)>> {
    vec((100..600_u16, 100..600_u16), 0..3)
}

fn status_set() -> impl Strategy<Value = StatusSet> {
    statuses().prop_map(|ranges| ranges.into_iter().collect())
}

fn retry() -> BoxedStrategy<RetryPolicy> {
    let backoff = (time(), time(), number(), time());
    let backoff = backoff.prop_map(|(initial_interval, interval_min, factor, interval_max)| {
        BackoffSettings { initial_interval, interval_min, factor, interval_max }
    });
    let counts = (any::<u32>(), of(time()), of(time()), any::<u64>());
    let lists = (statuses(), vec(any::<u32>(), 0..3));
    (backoff, counts, lists, any::<[bool; 6]>())
        .prop_map(|(backoff, counts, lists, flags)| {
            let (attempts, timeout, attempt_timeout, body_bytes_max) = counts;
            let (statuses, grpc_statuses) = lists;
            let [
                on_unreached,
                on_network_error,
                on_timeout,
                non_idempotent,
                same_endpoint,
                elsewhere,
            ] = flags;
            RetryPolicy {
                attempts,
                backoff,
                timeout,
                attempt_timeout,
                statuses,
                grpc_statuses,
                body_bytes_max,
                on_unreached,
                on_network_error,
                on_timeout,
                non_idempotent,
                same_endpoint,
                elsewhere,
            }
        })
        .boxed()
}

fn path_rewrite() -> impl Strategy<Value = PathRewrite> {
    prop_oneof![
        text().prop_map(PathRewrite::Full),
        (text(), text())
            .prop_map(|(matched, replacement)| PathRewrite::Prefix { matched, replacement }),
        (pattern(), text())
            .prop_map(|(pattern, replacement)| PathRewrite::Regex { pattern, replacement }),
    ]
}

fn edits() -> BoxedStrategy<HeaderEdits> {
    let headers = || vec((field_name(), text()), 0..3);
    (headers(), headers(), vec(field_name(), 0..3))
        .prop_map(|(set, add, remove)| HeaderEdits { set, add, remove })
        .boxed()
}

fn cors() -> BoxedStrategy<Cors> {
    let lists = (texts(), texts(), texts(), texts());
    (lists, vec(pattern(), 0..2), of(any::<i64>()), any::<[bool; 3]>())
        .prop_map(|(lists, allow_origin_patterns, max_age_secs, flags)| {
            let (allow_origins, allow_methods, allow_headers, expose_headers) = lists;
            let [allow_credentials, always_vary, answer_all_preflights] = flags;
            Cors {
                allow_origins,
                allow_origin_patterns,
                allow_methods,
                allow_headers,
                expose_headers,
                allow_credentials,
                max_age_secs,
                always_vary,
                answer_all_preflights,
            }
        })
        .boxed()
}

fn strategy() -> impl Strategy<Value = IpStrategy> {
    (any::<u32>(), vec(network(), 0..2), of(any::<u8>()))
        .prop_map(|(depth, excluded, ipv6_subnet)| IpStrategy { depth, excluded, ipv6_subnet })
}

fn source() -> impl Strategy<Value = SourceCriterion> {
    prop_oneof![
        strategy().prop_map(SourceCriterion::Ip),
        field_name().prop_map(SourceCriterion::Header),
        Just(SourceCriterion::Host),
        Just(SourceCriterion::All),
    ]
}

fn rate() -> impl Strategy<Value = RateSettings> {
    (any::<u64>(), time(), any::<u64>()).prop_map(|(average, period, burst)| RateSettings {
        average,
        period,
        burst,
    })
}

fn local_limit() -> BoxedStrategy<LocalRateLimit> {
    (of(rate()), of(rate()), vec((texts(), rate()), 0..2))
        .prop_map(|(total, identity, overrides)| LocalRateLimit { total, identity, overrides })
        .boxed()
}

fn fault() -> impl Strategy<Value = Fault> {
    let abort = prop_oneof![any::<u16>().prop_map(Abort::Http), any::<u32>().prop_map(Abort::Grpc)];
    (of((time(), any::<u32>())), of((abort, any::<u32>())))
        .prop_map(|(delay, abort)| Fault { delay, abort })
}

fn hedge() -> BoxedStrategy<HedgeSettings> {
    let times = (time(), time(), time());
    (times, number(), number(), any::<u32>(), any::<u32>())
        .prop_map(|((window, delay_min, delay_max), quantile, budget_ratio, samples_min, burst)| {
            HedgeSettings {
                quantile,
                window,
                samples_min,
                delay_min,
                delay_max,
                budget_ratio,
                burst,
            }
        })
        .boxed()
}

fn step_kind() -> BoxedStrategy<StepKind> {
    let redirect = (of(text()), of(text()), of(1_u16..), of(path_rewrite()), any::<u16>());
    let redirect = redirect.prop_map(|(scheme, host, port, path, status)| {
        StepKind::Redirect(Redirect { scheme, host, port, path, status })
    });
    let allow_list = (vec(network(), 0..2), strategy(), any::<u16>());
    let allow_list = allow_list.prop_map(|(ranges, strategy, reject_status)| {
        StepKind::IpAllowList(IpAllowList { ranges, strategy, reject_status })
    });
    let compared = (any::<u32>(), any::<[bool; 3]>());
    let compared = compared.prop_map(|(parts_per_million, [status, headers, body])| AnswerDiff {
        parts_per_million,
        status,
        headers,
        body,
    });
    let mirror = (any::<u32>(), text(), of(compared));
    let mirror = mirror.prop_map(|(parts_per_million, backend, compared)| StepKind::Mirror {
        parts_per_million,
        backend: BackendId::new(backend),
        compared,
    });
    let answer = (any::<u16>(), vec(any::<u8>(), 0..4));
    let answer = answer
        .prop_map(|(status, body)| StepKind::Respond(FixedAnswer { status, body: body.into() }));
    prop_oneof![
        (of(text()), of(path_rewrite()))
            .prop_map(|(host, path)| StepKind::Rewrite(Rewrite { host, path })),
        redirect,
        edits().prop_map(StepKind::RequestHeaders),
        edits().prop_map(StepKind::ResponseHeaders),
        cors().prop_map(StepKind::Cors),
        allow_list,
        (rate(), source()).prop_map(|(settings, source)| StepKind::RateLimit { settings, source }),
        (any::<u32>(), source()).prop_map(|(amount, source)| StepKind::InFlight { amount, source }),
        retry().prop_map(StepKind::Retry),
        mirror,
        fault().prop_map(StepKind::Fault),
        local_limit().prop_map(|limit| StepKind::LocalRateLimit(Box::new(limit))),
        hedge().prop_map(StepKind::Hedge),
        answer,
        refusal().prop_map(StepKind::Refuse),
    ]
    .boxed()
}

pub(super) fn steps() -> BoxedStrategy<Arc<[Arc<Step>]>> {
    let step =
        (text(), step_kind()).prop_map(|(id, kind)| Arc::new(Step { id: PolicyId::new(id), kind }));
    vec(step, 0..3).prop_map(Into::into).boxed()
}

fn target() -> BoxedStrategy<Target> {
    let leaf = prop_oneof![
        text().prop_map(|id| Target::Backend(BackendId::new(id))),
        refusal().prop_map(Target::Refuse),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        let choice = (text(), any::<u32>(), steps(), inner);
        let choice =
            choice.prop_map(|(name, weight, steps, target)| Choice { name, weight, steps, target });
        (vec(choice, 0..3), of(sticky()))
            .prop_map(|(choices, sticky)| Target::Weighted(Arc::new(Weighted { choices, sticky })))
    })
    .boxed()
}

fn rank() -> impl Strategy<Value = Rank> {
    let parts = (any::<u8>(), any::<i64>(), any::<u64>(), any::<u64>(), any::<u32>());
    parts.prop_map(|(dialect, major, minor, detail, tie)| Rank {
        dialect,
        major,
        minor,
        detail,
        tie,
    })
}

fn origin() -> impl Strategy<Value = Origin> {
    (text(), text(), text(), text()).prop_map(|(kind, name, file, rule)| Origin {
        kind,
        name,
        file,
        rule,
    })
}

fn timeouts() -> BoxedStrategy<Timeouts> {
    (of(time()), of(time()), of(time()), of(time()), of(retry()))
        .prop_map(|(request, attempt, response, idle, retry)| Timeouts {
            request,
            attempt,
            response,
            idle,
            retry,
        })
        .boxed()
}

fn route() -> BoxedStrategy<Route> {
    (text(), origin(), rank(), matcher(), steps(), target(), timeouts())
        .prop_map(|(id, origin, rank, matcher, steps, target, timeouts)| Route {
            id: RouteId::new(id),
            origin,
            rank,
            matcher,
            steps,
            target,
            timeouts,
        })
        .boxed()
}

fn tcp_route() -> BoxedStrategy<TcpRoute> {
    let tls = prop_oneof![Just(TcpTls::Plain), Just(TcpTls::Passthrough)];
    let bounds = (of(any::<u32>()), vec(network(), 0..2));
    (text(), origin(), rank(), tcp_matcher(), tls, bounds, target())
        .prop_map(|(id, origin, rank, matcher, tls, (in_flight_max, allow), target)| TcpRoute {
            id: RouteId::new(id),
            origin,
            rank,
            matcher,
            tls,
            in_flight_max,
            allow,
            target,
        })
        .boxed()
}

fn routed<T: std::fmt::Debug>(route: impl Strategy<Value = T>) -> impl Strategy<Value = Routed<T>> {
    (audience(), ports(), route).prop_map(|(audience, ports, route)| Routed {
        audience,
        ports,
        route: Arc::new(route),
    })
}

fn route_set() -> BoxedStrategy<RouteSet> {
    let http = of(vec(routed(route()), 0..3).prop_map(Into::into));
    let tcp = of(vec(routed(tcp_route()), 0..3).prop_map(Into::into));
    (audience(), ports(), http, tcp)
        .prop_map(|(audience, ports, http, tcp)| RouteSet { audience, ports, http, tcp })
        .boxed()
}

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
        sticky().prop_map(HashKey::Cookie),
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
    (vec(distribute, 0..2), order, vec((text(), text()), 0..3))
        .prop_map(|(distribute, order, failover)| Locality { distribute, order, failover })
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
    (of(text()), of(bytes()), of(certificate), any::<bool>(), vec(name, 0..3))
        .prop_map(|(server_name, roots_pem, client, insecure_skip_verify, subject_alt_names)| {
            UpstreamTls {
                server_name,
                roots_pem: roots_pem.map(Into::into),
                client: client.map(Arc::new),
                insecure_skip_verify,
                subject_alt_names,
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

pub(super) fn calling() -> BoxedStrategy<Calling> {
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
fn some_calling() -> impl Strategy<Value = Arc<Calling>> {
    prop_oneof![Just(Calling::default()), calling()].prop_map(Arc::new)
}

fn calling_for() -> BoxedStrategy<CallingFor> {
    let subset = (text(), labels()).prop_map(|(name, labels)| Subset { name, labels });
    let source = (text(), text(), text(), any::<u32>())
        .prop_map(|(setting, document, file, line)| Source { setting, document, file, line });
    (audience(), of(1_u16..), of(subset), some_calling(), vec(source, 0..2))
        .prop_map(|(audience, port, subset, calling, sources)| CallingFor {
            audience,
            port,
            subset,
            calling,
            sources: sources.into(),
        })
        .boxed()
}

fn endpoints() -> BoxedStrategy<Endpoints> {
    let peer = || {
        (any::<IpAddr>(), 1_u16..).prop_map(|(ip, port)| Peer {
            addr: SocketAddr::new(ip, port),
            identity: super::identity(),
        })
    };
    let known = (any::<IpAddr>(), 1_u16.., 1_u32.., of(text()), any::<u8>(), of(peer())).prop_map(
        |(ip, port, weight, locality, tier, peer)| Endpoint {
            addr: SocketAddr::new(ip, port),
            weight,
            locality,
            tier,
            peer: peer.map(Arc::new),
        },
    );
    prop_oneof![
        (text(), 1_u16.., of(text())).prop_map(|(name, port, subset)| Endpoints::Service {
            name: ServiceName::new(name),
            port,
            subset,
        }),
        (text(), 1_u16..).prop_map(|(name, port)| Endpoints::Dns { name, port }),
        vec(known, 0..3).prop_map(|known| Endpoints::Static(known.into())),
        Just(Endpoints::Dialled),
        peer().prop_map(|peer| Endpoints::DialledThrough(Arc::new(peer))),
    ]
    .boxed()
}

fn backend() -> BoxedStrategy<Backend> {
    let protocol = prop_oneof![
        Just(UpstreamProtocol::Auto),
        Just(UpstreamProtocol::Http1),
        Just(UpstreamProtocol::Http2),
        Just(UpstreamProtocol::AsClient),
    ];
    let host = prop_oneof![
        Just(HostHeader::Pass),
        Just(HostHeader::Endpoint),
        text().prop_map(HostHeader::Set),
    ];
    (text(), endpoints(), protocol, host, of(time()), some_calling())
        .prop_map(|(id, endpoints, protocol, host, termination_delay, calling)| Backend {
            id: BackendId::new(id),
            endpoints,
            protocol,
            health_check: None,
            host,
            termination_delay,
            calling,
        })
        .boxed()
}

pub(super) fn traffic() -> BoxedStrategy<Traffic> {
    let lines = vec((text(), any::<u32>()), 0..3);
    (vec(calling_for(), 0..3), vec(route_set(), 0..3), vec(backend(), 0..3), lines)
        .prop_map(|(calling, routing, backends, lines)| Traffic {
            calling: calling.into(),
            routing: routing.into(),
            backends: backends
                .into_iter()
                .map(|backend| (backend.id.clone(), Arc::new(backend)))
                .collect(),
            lines: lines.into_iter().map(|(id, line)| (RouteId::new(id), line)).collect(),
        })
        .boxed()
}

pub(super) fn egress() -> impl Strategy<Value = Egress> {
    (text(), text(), of(1_u16..), any::<bool>())
        .prop_map(|(namespace, host, port, excluded)| Egress { namespace, host, port, excluded })
}
