//! How many connections and requests there may be.

use std::time::Duration;

use super::foreign_http2;
use crate::istio::value::{any_duration, block, count, duration, spanned};
use crate::read::Reader;
use crate::resource::Spanned;

/// How many connections and requests there may be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionPool {
    /// Of any protocol.
    pub tcp: Option<Spanned<TcpPool>>,
    /// Of HTTP.
    pub http: Option<Spanned<HttpPool>>,
}

/// Bounds for connections. What is `None` has no bound, unless something else is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpPool {
    /// How many connections.
    pub max_connections: Option<Spanned<u32>>,
    /// How long connecting may take; `None` for that of MeshConfig, 10 s.
    pub connect_timeout: Option<Spanned<Duration>>,
    /// Asks the kernel to probe idle connections; `None` leaves it to MeshConfig.
    pub keepalive: Option<Spanned<TcpKeepalive>>,
    /// How long a connection may last.
    pub max_connection_duration: Option<Spanned<Duration>>,
    /// How long a connection may be idle; 1 h by default, zero for no bound.
    pub idle_timeout: Option<Spanned<Duration>>,
}

/// Probes of idle connections. What is `None` is as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpKeepalive {
    /// How many may stay without answer.
    pub probes: Option<u32>,
    /// After how long the first is sent.
    pub time: Option<Duration>,
    /// How long after one the next is sent.
    pub interval: Option<Duration>,
}

/// Bounds for requests. What is `None` has no bound, unless something else is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpPool {
    /// How many requests may wait for a connection.
    pub max_pending_requests: Option<Spanned<u32>>,
    /// How many requests there may be at once, whatever the version of HTTP.
    pub max_requests: Option<Spanned<u32>>,
    /// How many requests one connection takes; 1 switches keep-alive off.
    pub max_requests_per_connection: Option<Spanned<u32>>,
    /// How many tries after the first there may be at once.
    pub max_retries: Option<Spanned<u32>>,
    /// How long a connection may have no request; 1 h by default.
    pub idle_timeout: Option<Spanned<Duration>>,
    /// Whether calls in HTTP/1.1 are made in HTTP/2; `None` leaves it to MeshConfig.
    pub h2_upgrade: Option<Spanned<H2Upgrade>>,
    /// Whether calls are made in the caller's version of HTTP.
    pub uses_client_protocol: Option<Spanned<bool>>,
    /// How many streams of one HTTP/2 connection there may be at once.
    pub max_concurrent_streams: Option<Spanned<u32>>,
    /// Pings on HTTP/2 connections.
    pub http2_keepalive: Option<Spanned<Http2Keepalive>>,
}

/// Whether calls in HTTP/1.1 are made in HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum H2Upgrade {
    /// They are not (`DO_NOT_UPGRADE`).
    Never,
    /// They are (`UPGRADE`).
    Always,
}

/// Pings on HTTP/2 connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// How often.
    pub interval: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
}

// === impl ConnectionPool ===

impl ConnectionPool {
    /// Reads a connection pool.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        foreign_http2(reader);
        let pool = Self {
            tcp: block(reader, "tcp", TcpPool::read),
            http: block(reader, "http", HttpPool::read),
        };
        if !["tcp", "http"].into_iter().any(|name| reader.take(name).is_some()) {
            reader.error("a connection pool needs `tcp` or `http`", None);
        }
        Some(pool)
    }
}

/// Takes a bound. Zero is none in Istio, which not everyone expects.
fn bound(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<u32>> {
    let count = count(reader, name)?;
    if *count == 0 {
        let fix = Some("write at least 1, or remove it".into());
        reader.warn(format!("`{name}: 0` is no bound in Istio, nor is it here"), fix);
        return None;
    }
    Some(count)
}

// === impl TcpPool ===

impl TcpPool {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        Some(Self {
            max_connections: bound(reader, "maxConnections"),
            connect_timeout: spanned(reader, "connectTimeout", duration),
            keepalive: block(reader, "tcpKeepalive", TcpKeepalive::read),
            max_connection_duration: spanned(reader, "maxConnectionDuration", duration),
            idle_timeout: spanned(reader, "idleTimeout", any_duration),
        })
    }
}

// === impl TcpKeepalive ===

impl TcpKeepalive {
    /// Reads `tcpKeepalive`.
    pub(crate) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let duration = |name| reader.take(name).and_then(|field| duration(&field));
        let probes = reader.int("probes", 0, u32::MAX.into()).map(|probes| probes as u32);
        Some(Self {
            probes: probes.filter(|probes| *probes > 0),
            time: duration("time"),
            interval: duration("interval"),
        })
    }
}

// === impl HttpPool ===

impl HttpPool {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        foreign_http2(reader);
        let pool = Self {
            max_pending_requests: bound(reader, "http1MaxPendingRequests"),
            max_requests: bound(reader, "http2MaxRequests"),
            // Zero is the way to say that there is none.
            max_requests_per_connection: count(reader, "maxRequestsPerConnection")
                .filter(|count| **count > 0),
            max_retries: bound(reader, "maxRetries"),
            idle_timeout: spanned(reader, "idleTimeout", duration),
            h2_upgrade: H2Upgrade::take(reader),
            uses_client_protocol: spanned(reader, "useClientProtocol", |field| field.bool()),
            max_concurrent_streams: bound(reader, "maxConcurrentStreams"),
            http2_keepalive: block(reader, "http2KeepAlive", Http2Keepalive::read),
        };
        let upgrades = pool.h2_upgrade.as_ref().is_some_and(|one| **one == H2Upgrade::Always);
        let keeps = pool.uses_client_protocol.as_ref().is_some_and(|keeps| **keeps);
        if upgrades && keeps {
            let message = "`h2UpgradePolicy: UPGRADE` and `useClientProtocol` exclude each other";
            reader.error(message, Some("keep one of them".into()));
        }
        Some(pool)
    }
}

// === impl H2Upgrade ===

impl H2Upgrade {
    /// Takes `h2UpgradePolicy`.
    pub(crate) fn take(reader: &Reader<'_, '_>) -> Option<Spanned<Self>> {
        let choices = [
            ("DEFAULT", None),
            ("DO_NOT_UPGRADE", Some(Self::Never)),
            ("UPGRADE", Some(Self::Always)),
        ];
        spanned(reader, "h2UpgradePolicy", |field| field.choice(&choices)?)
    }
}

// === impl Http2Keepalive ===

impl Http2Keepalive {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let duration = |name| reader.require(name).and_then(|field| duration(&field));
        let (interval, timeout) = (duration("interval"), duration("timeout"));
        Some(Self { interval: interval?, timeout: timeout? })
    }
}
