//! Arbitrary traffic, as far as proxies of the mesh are told of it.

mod calling;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use weft_message::{FieldName, Method, Scheme};
use weft_model::backend::{Backend, Endpoint, Endpoints, HostHeader, UpstreamProtocol};
use weft_model::calling::Audience;
use weft_model::id::{BackendId, PolicyId, RouteId, ServiceName};
use weft_model::mesh::{Egress, Peer, Traffic};
use weft_model::outcome::Reason;
use weft_model::policy::{
    Abort, AnswerDiff, Cors, Fact, Fault, FixedAnswer, HeaderEdits, IpAllowList, IpStrategy,
    LocalRateLimit, MadeHeader, MessagePart, PathRewrite, Redirect, Refusal, RetryPolicy, Rewrite,
    SourceCriterion, Step, StepKind, ValuePart,
};
use weft_model::route::{
    Affinity, Bound, Choice, Cookie, HostMatch, Matcher, Origin, PathMatch, Rank, Route, RouteSet,
    Routed, SessionHeader, Target, TcpMatcher, TcpRoute, TcpTls, Timeouts, Weighted, Word,
};
use weft_model::text::{Pattern, TextMatch};
use weft_resilience::settings::{BackoffSettings, HedgeSettings, RateSettings, StatusSet};

pub(super) use calling::calling;
use calling::{calling_for, some_calling};

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

fn cookie() -> BoxedStrategy<Cookie> {
    let flags = (any::<bool>(), any::<bool>(), any::<i64>());
    (text(), text(), text(), text(), flags)
        .prop_map(|(name, path, domain, same_site, (http_only, secure, max_age_secs))| Cookie {
            name,
            path,
            domain,
            http_only,
            secure,
            same_site,
            max_age_secs,
        })
        .boxed()
}

fn sticky() -> BoxedStrategy<Affinity> {
    let word = prop_oneof![Just(Word::Backend), Just(Word::Endpoint)];
    let header = (text(), word).prop_map(|(name, word)| SessionHeader { name, word });
    prop_oneof![cookie().prop_map(Affinity::Cookie), header.prop_map(Affinity::Header)].boxed()
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
    (backoff, counts, lists, any::<[bool; 7]>())
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
                by_default,
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
                by_default,
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
    let part = prop_oneof![
        text().prop_map(ValuePart::Text),
        Just(ValuePart::Fact(Fact::ClientAddr)),
        Just(ValuePart::Fact(Fact::ClientIp)),
        Just(ValuePart::Fact(Fact::LocalPort)),
        Just(ValuePart::Fact(Fact::Protocol)),
        Just(ValuePart::Fact(Fact::Status)),
        (field_name(), of(any::<u32>())).prop_map(|(name, bytes_max)| {
            let parts = vec![MessagePart::Path, MessagePart::Field(name)];
            ValuePart::Fact(Fact::Named { parts, bytes_max })
        }),
    ];
    let made = (field_name(), any::<bool>(), vec(part, 0..3))
        .prop_map(|(name, adds, parts)| MadeHeader { name, adds, parts });
    (headers(), headers(), vec(made, 0..2), vec(field_name(), 0..3))
        .prop_map(|(set, add, made, remove)| HeaderEdits { set, add, made, remove })
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
    let bound = prop_oneof![
        Just(Bound::Request),
        Just(Bound::Response),
        Just(Bound::Idle),
        Just(Bound::Retry),
    ];
    let inherited = vec((bound, calling::source()), 0..3);
    (of(time()), of(time()), of(time()), of(time()), of(retry()), inherited)
        .prop_map(|(request, attempt, response, idle, retry, inherited)| Timeouts {
            request,
            attempt,
            response,
            idle,
            retry,
            inherited: inherited.into(),
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
