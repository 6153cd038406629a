//! Which endpoint gets a call.

use std::time::Duration;

use super::locality::{LocalityLb, ZoneAwareLb};
use crate::istio::value::{Percent, any_duration, block, duration, spanned};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// Which endpoint gets a call.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadBalancer {
    /// How one is chosen; `None` for that of fewest requests.
    pub algorithm: Option<Spanned<Algorithm>>,
    /// What the places of caller and endpoint are to each other; `None` leaves it to MeshConfig.
    pub locality: Option<Spanned<LocalityLb>>,
    /// Whether zones are filled by the callers that they have.
    pub zone_aware: Option<Spanned<ZoneAwareLb>>,
    /// Whether new endpoints get fewer calls at first.
    pub warmup: Option<Spanned<Warmup>>,
}

/// How an endpoint is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Algorithm {
    /// One after the other (`ROUND_ROBIN`).
    RoundRobin,
    /// The one with fewer requests of two (`LEAST_REQUEST`, and `LEAST_CONN`, its old name).
    LeastRequest,
    /// By chance (`RANDOM`).
    Random,
    /// The one that the caller has dialled (`PASSTHROUGH`).
    Passthrough,
    /// The same one for what is alike.
    ConsistentHash(ConsistentHash),
}

/// Chooses the same endpoint for what is alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistentHash {
    /// What has to be alike; `None` for nothing, so that chance decides.
    pub key: Option<Spanned<HashKey>>,
    /// How the endpoint follows from it.
    pub algorithm: HashAlgorithm,
}

/// What has to be alike in requests that go to the same endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The value of a header, whose name is in lower case.
    Header(Box<str>),
    /// The value of a cookie.
    Cookie(HashCookie),
    /// The address of the caller.
    SourceIp,
    /// The value of a query parameter.
    QueryParameter(Box<str>),
}

/// A cookie that tells where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashCookie {
    /// Its name.
    pub name: Box<str>,
    /// Its `Path`.
    pub path: Option<Box<str>>,
    /// How long it lasts, zero for the browser's session. `None` sets no cookie: only what comes
    /// with the request counts.
    pub ttl: Option<Duration>,
    /// Its further attributes.
    pub attributes: Vec<CookieAttribute>,
}

/// An attribute of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieAttribute {
    /// Name, such as `SameSite`.
    pub name: Box<str>,
    /// Value; empty for those that have none, such as `Secure`.
    pub value: Box<str>,
}

/// How an endpoint follows from a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// By a ring (Ketama).
    Ring {
        /// The fewest places on it; 1024 by default.
        minimum_size: u64,
    },
    /// By a table (Maglev).
    Maglev {
        /// The places in it: a prime below 5,000,011; 65,537 by default.
        table_size: u64,
    },
}

/// How calls of a new endpoint grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Warmup {
    /// How long.
    pub duration: Duration,
    /// The share that it gets at first of what it will get; 10 by default.
    pub minimum_percent: Percent,
    /// How the share grows: by its time to the power of one by this; 1.0, the default, is linear.
    pub aggression: f64,
}

/// What [`HashAlgorithm::Ring`] has by default.
const RING_SIZE: u64 = 1024;

/// The most places on a ring (Envoy's own bound).
const RING_SIZE_MAX: u64 = 8 * 1024 * 1024;

/// The first table size that is too much (Envoy's own bound).
const TABLE_SIZE_END: u64 = 5_000_011;

/// What [`HashAlgorithm::Maglev`] has by default.
const TABLE_SIZE: u64 = 65_537;

/// What [`Warmup::minimum_percent`] is by default.
const WARMUP_PERCENT: f64 = 10.0;

/// What [`Warmup::aggression`] is by default.
const WARMUP_AGGRESSION: f64 = 1.0;

// === impl LoadBalancer ===

impl LoadBalancer {
    pub(super) fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let simple = spanned(reader, "simple", simple);
        let hash = block(reader, "consistentHash", |hash| {
            Some(Algorithm::ConsistentHash(ConsistentHash::read(hash)?))
        });
        if simple.is_some() && hash.is_some() {
            let fix = Some("keep one of them".into());
            reader.error("`simple` and `consistentHash` exclude each other", fix);
        }
        let locality = block(reader, "localityLbSetting", LocalityLb::read);
        let zone_aware = block(reader, "zoneAwareLbSetting", ZoneAwareLb::read);
        if locality.is_some() && zone_aware.is_some() {
            let fix = Some("keep one of them".into());
            reader.error("`localityLbSetting` and `zoneAwareLbSetting` exclude each other", fix);
        }
        let warmup = Warmup::take(reader);
        let simple = simple.and_then(|simple| {
            let at = simple.at;
            simple.value.map(|algorithm| Spanned::new(algorithm, at))
        });
        Some(Self { algorithm: simple.or(hash), locality, zone_aware, warmup })
    }
}

/// One of the words for an algorithm; `Some(None)` for the default.
#[expect(clippy::option_option, reason = "the outer one is for what could not be read")]
fn simple(field: &Field<'_, '_>) -> Option<Option<Algorithm>> {
    let algorithm = field.choice(&[
        ("UNSPECIFIED", None),
        ("LEAST_CONN", Some(Algorithm::LeastRequest)),
        ("LEAST_REQUEST", Some(Algorithm::LeastRequest)),
        ("RANDOM", Some(Algorithm::Random)),
        ("PASSTHROUGH", Some(Algorithm::Passthrough)),
        ("ROUND_ROBIN", Some(Algorithm::RoundRobin)),
    ])?;
    if field.string().as_deref() == Some("LEAST_CONN") {
        let fix = Some("write LEAST_REQUEST".into());
        field.warn("`LEAST_CONN` is the old name of `LEAST_REQUEST`", fix);
    }
    Some(algorithm)
}

// === impl ConsistentHash ===

impl ConsistentHash {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let key = HashKey::take(reader)?;
        let ring = block(reader, "ringHash", |ring| {
            Some(HashAlgorithm::Ring { minimum_size: ring_size(ring)?.unwrap_or(RING_SIZE) })
        });
        let maglev = block(reader, "maglev", |maglev| {
            Some(HashAlgorithm::Maglev { table_size: table_size(maglev)? })
        });
        let old = ring_size(reader)?;
        if old.is_some() {
            let fix = "write ringHash: {minimumRingSize: N}".into();
            let message = "`minimumRingSize` at this place is the old way to size a ring";
            reader.warn(message, Some(fix));
        }
        let said = usize::from(ring.is_some())
            + usize::from(maglev.is_some())
            + usize::from(old.is_some());
        if said > 1 {
            let fix = Some("keep one of them".into());
            reader.error("`ringHash`, `maglev` and `minimumRingSize` exclude each other", fix);
        }
        let algorithm = ring.or(maglev).map(|algorithm| algorithm.value);
        let minimum_size = old.unwrap_or(RING_SIZE);
        Some(Self { key, algorithm: algorithm.unwrap_or(HashAlgorithm::Ring { minimum_size }) })
    }
}

/// Takes `minimumRingSize`; zero is as if it were not there.
#[expect(clippy::option_option, reason = "the outer one is for what could not be read")]
fn ring_size(reader: &Reader<'_, '_>) -> Option<Option<u64>> {
    let Some(field) = reader.take("minimumRingSize") else { return Some(None) };
    let size = field.int(0, RING_SIZE_MAX as i64)? as u64;
    Some(Some(size).filter(|size| *size > 0))
}

fn table_size(reader: &Reader<'_, '_>) -> Option<u64> {
    let Some(field) = reader.take("tableSize") else { return Some(TABLE_SIZE) };
    let size = field.int(2, TABLE_SIZE_END as i64 - 1)? as u64;
    if !is_prime(size) {
        let fix = Some(format!("write {TABLE_SIZE}, or another prime"));
        field.error(format!("{size} is no prime"), fix);
        return None;
    }
    Some(size)
}

fn is_prime(number: u64) -> bool {
    let mut factors = (2..).take_while(|factor| factor * factor <= number);
    number > 1 && factors.all(|factor| !number.is_multiple_of(factor))
}

// === impl HashKey ===

impl HashKey {
    /// Takes what has to be alike, of which there may be one thing only; `Some(None)` for none.
    #[expect(clippy::option_option, reason = "the outer one is for what could not be read")]
    fn take(reader: &Reader<'_, '_>) -> Option<Option<Spanned<Self>>> {
        let text = |name, make: fn(Box<str>) -> Self| {
            spanned(reader, name, |field| field.non_empty_string().map(make))
        };
        let errors = reader.sink().error_count();
        let keys = [
            text("httpHeaderName", |name| Self::Header(name.to_ascii_lowercase().into())),
            block(reader, "httpCookie", |cookie| Some(Self::Cookie(HashCookie::read(cookie)?))),
            spanned(reader, "useSourceIp", |field| field.bool()?.then_some(Self::SourceIp)),
            text("httpQueryParameterName", Self::QueryParameter),
        ];
        if reader.sink().error_count() > errors {
            return None;
        }
        let mut keys = keys.into_iter().flatten();
        let first = keys.next();
        if keys.next().is_some() {
            let message = "`httpHeaderName`, `httpCookie`, `useSourceIp` and \
                           `httpQueryParameterName` exclude each other";
            reader.error(message, Some("keep one of them".into()));
            return None;
        }
        if first.is_none() {
            let fix = Some("write `httpHeaderName`, `httpCookie` or `useSourceIp: true`".into());
            reader.warn("nothing says what has to be alike, so chance decides", fix);
        }
        Some(first)
    }
}

// === impl HashCookie ===

impl HashCookie {
    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let path = reader.string("path").filter(|path| !path.is_empty());
        let ttl = spanned(reader, "ttl", any_duration).map(|ttl| ttl.value);
        let attributes = reader.list("attributes", |item| {
            item.nested(|attribute| {
                let value = attribute.string_or_empty("value");
                let name = attribute.require_string("name")?;
                Some(CookieAttribute { name, value })
            })
        });
        for (index, attribute) in attributes.iter().enumerate() {
            if attributes[..index].iter().any(|other| other.name == attribute.name) {
                reader.error(format!("`{}` is there already", attribute.name), None);
            }
        }
        let name = reader.require_string("name")?;
        Some(Self { name, path, ttl, attributes })
    }
}

// === impl Warmup ===

impl Warmup {
    /// Takes `warmup`, and `warmupDurationSecs` of before there was more to say.
    fn take(reader: &Reader<'_, '_>) -> Option<Spanned<Self>> {
        let old = reader.take("warmupDurationSecs").and_then(|field| {
            let fix = "write warmup: {duration: …}".into();
            field.warn("`warmupDurationSecs` is the old name of `warmup`", Some(fix));
            let duration = duration(&field)?;
            let warmup = Self {
                duration,
                minimum_percent: Percent::new(WARMUP_PERCENT)?,
                aggression: WARMUP_AGGRESSION,
            };
            Some(Spanned::new(warmup, field.key_at()))
        });
        let warmup = block(reader, "warmup", Self::read);
        if old.is_some() && warmup.is_some() {
            reader.warn("`warmupDurationSecs` has no effect beside `warmup`", None);
        }
        warmup.or(old)
    }

    fn read(reader: &Reader<'_, '_>) -> Option<Self> {
        let percent = reader.take("minimumPercent").map(|field| Percent::read(&field));
        let aggression = reader.take("aggression").map(|field| aggression(&field));
        let duration = duration(&reader.require("duration")?)?;
        Some(Self {
            duration,
            minimum_percent: percent.unwrap_or_else(|| Percent::new(WARMUP_PERCENT))?,
            aggression: aggression.unwrap_or(Some(WARMUP_AGGRESSION))?,
        })
    }
}

fn aggression(field: &Field<'_, '_>) -> Option<f64> {
    let value = field.number()?;
    if value <= 0.0 {
        field.error(format!("{value} is out of range: must be above 0"), None);
        return None;
    }
    Some(value)
}
