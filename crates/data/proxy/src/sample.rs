//! Recent requests, as they came, for whoever asks what became of them, and what would become of
//! them under another configuration.
//!
//! Each worker has a ring of a few hundred. In it is every request that has an id, and of the others
//! so many each second, oldest out first. A sample has the head that routing saw, without body and
//! without the values of fields that hold secrets; what is longer than usual is cut off. Memory is
//! taken as it is needed and used again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use weft_message::{Known, RequestHead, secret};
use weft_model::Generation;
use weft_model::id::{BackendId, ListenerId, RouteId};
use weft_model::listener::Direction;
use weft_model::outcome::Reason;
use weft_resilience::bucket::{Admission, TokenBucket};
use weft_resilience::settings::RateSettings;
use weft_runtime::time;

use crate::exchange::Exchange;
use crate::request::Scope;

#[cfg(test)]
mod tests;

/// Requests kept for each worker.
pub const KEPT_PER_WORKER: usize = 256;

/// So many are kept to be used again.
const SPARE_MAX: usize = 64;

/// Samples of requests without an id, for each worker: enough to see what there is, and no more than
/// a thousandth of its time. The first ones fill the ring.
const RATE: RateSettings =
    RateSettings { average: 10, period: Duration::from_secs(1), burst: KEPT_PER_WORKER as u64 };

/// What of a path or query is kept, bytes.
const TARGET_BYTES_MAX: usize = 1 << 10;

/// What of a value is kept, bytes.
const VALUE_BYTES_MAX: usize = 256;

/// What of a head is kept, bytes. Fields beyond are left out.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// The recent requests of all workers.
#[derive(Debug, Clone, Default)]
pub struct Samples(Arc<Mutex<Vec<Arc<Ring>>>>);

/// A request and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// When its head was there.
    pub at: SystemTime,
    /// The listener that has served it.
    pub listener: ListenerId,
    /// Whether it came by TLS that ended here.
    pub tls: bool,
    /// Which way it went, in a mesh.
    pub direction: Option<Direction>,
    /// The service or workload that it was meant for, in a mesh; else empty.
    pub service: Box<str>,
    /// Who has sent it.
    pub client: SocketAddr,
    /// Where its connection was made to.
    pub local: SocketAddr,
    /// The identity that its sender has proved, in a mesh.
    pub peer: Option<Box<str>>,
    /// The head, without secrets.
    pub head: RequestHead,
    /// `x-request-id`, if it has one.
    pub request_id: Option<Box<str>>,
    /// The configuration it was served by.
    pub generation: Generation,
    /// The route that took it.
    pub route: Option<RouteId>,
    /// The backend that it was sent to last.
    pub backend: Option<BackendId>,
    /// The endpoint that it was sent to last.
    pub upstream: Option<SocketAddr>,
    /// The status of the answer, 0 for none.
    pub status: u16,
    /// How it ended.
    pub reason: Reason,
    /// Why, in words.
    pub detail: Option<Arc<str>>,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether a second try was sent beside a slow one.
    pub hedged: bool,
    /// From its head to the end of its answer.
    pub duration: Duration,
    /// From the last attempt to the head of its answer.
    pub upstream_duration: Option<Duration>,
}

/// The samples of one worker; locked for moments, by it and by who asks.
#[derive(Debug, Default)]
struct Ring(Mutex<VecDeque<Box<Draft>>>);

/// One worker's end.
#[derive(Debug)]
pub(crate) struct Sampler {
    ring: Arc<Ring>,
    rate: TokenBucket,
    /// Those that fell out, to be used again.
    #[expect(clippy::vec_box, reason = "they move between requests by pointer")]
    spare: RefCell<Vec<Box<Draft>>>,
}

/// A sample while its request is under way, and in the ring.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// The backend that it was sent to last.
    pub(crate) backend: Option<BackendId>,
    head: RequestHead,
    service: String,
    peer: String,
    place: Option<Place>,
    end: Option<End>,
}

/// Where a request came.
#[derive(Debug)]
struct Place {
    started: Instant,
    listener: ListenerId,
    tls: bool,
    direction: Option<Direction>,
    client: SocketAddr,
    local: SocketAddr,
}

/// What became of a request.
#[derive(Debug)]
struct End {
    generation: Generation,
    route: Option<RouteId>,
    upstream: Option<SocketAddr>,
    status: u16,
    reason: Reason,
    detail: Option<Arc<str>>,
    attempts: u32,
    hedged: bool,
    duration: Duration,
    upstream_duration: Option<Duration>,
}

// === impl Samples ===

impl Samples {
    /// All there are, the latest first.
    pub fn recent(&self) -> Vec<Sample> {
        let mut samples = self.matching(|_| true);
        samples.sort_by_key(|sample| std::cmp::Reverse(sample.at));
        samples
    }

    /// Those with that `x-request-id`, the latest first: a workload that is called may pass it on.
    pub fn find(&self, request_id: &str) -> Vec<Sample> {
        let is_it = |draft: &Draft| draft.request_id() == Some(request_id);
        let mut samples = self.matching(is_it);
        samples.sort_by_key(|sample| std::cmp::Reverse(sample.at));
        samples
    }

    /// One worker's end. `epoch` is not later than its first request.
    pub(crate) fn sampler(&self, epoch: Instant) -> Sampler {
        let ring = Arc::new(Ring::default());
        // Taken when a worker begins, and by who asks.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(ring.clone());
        Sampler { ring, rate: TokenBucket::new(RATE, epoch), spare: RefCell::default() }
    }

    fn matching(&self, is_meant: impl Fn(&Draft) -> bool) -> Vec<Sample> {
        let present = (time::now(), time::wall());
        let rings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = |ring: &Arc<Ring>| -> Vec<Sample> {
            let drafts = ring.0.lock().unwrap_or_else(PoisonError::into_inner);
            let meant = drafts.iter().filter(|draft| is_meant(draft));
            meant.filter_map(|draft| draft.sample(present)).collect()
        };
        rings.iter().flat_map(samples).collect()
    }
}

// === impl Sampler ===

impl Sampler {
    /// A sample of the request in `x`, if there is to be one.
    fn draft(&self, scope: &Scope<'_>, x: &Exchange, started: Instant) -> Option<Box<Draft>> {
        let is_wanted = x.req.fields.contains(Known::XRequestId)
            || self.rate.try_take(started) == Admission::Pass;
        if !is_wanted {
            return None;
        }
        let mut draft = self.spare.borrow_mut().pop().unwrap_or_default();
        draft.fill(scope, x, started);
        Some(draft)
    }

    /// Puts a sample in the ring; another one falls out when it is full.
    fn keep(&self, draft: Box<Draft>) {
        let oldest = {
            let mut drafts = self.ring.0.lock().unwrap_or_else(PoisonError::into_inner);
            drafts.push_back(draft);
            if drafts.len() > KEPT_PER_WORKER { drafts.pop_front() } else { None }
        };
        // What a burst of requests has taken is given back.
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.extend(oldest);
        }
    }
}

// === impl Draft ===

impl Draft {
    fn fill(&mut self, scope: &Scope<'_>, x: &Exchange, started: Instant) {
        let conn = scope.conn;
        copy_head(&x.req, &mut self.head);
        self.backend = None;
        self.end = None;
        self.service.clear();
        self.peer.clear();
        if let Some(meant) = conn.meant() {
            self.service.push_str(&meant.name);
            let peer = meant.peer.as_ref().map(|peer| peer.caller.identity().as_str());
            self.peer.push_str(peer.unwrap_or_default());
        }
        self.place = Some(Place {
            started,
            listener: conn.listener.clone(),
            tls: conn.tls.is_some(),
            direction: conn.meant().map(|meant| meant.direction),
            client: conn.client,
            local: conn.local,
        });
    }

    fn request_id(&self) -> Option<&str> {
        self.head.fields.get_str(Known::XRequestId)
    }

    fn sample(&self, (now, wall): (Instant, SystemTime)) -> Option<Sample> {
        let Self { backend, head, service, peer, place, end } = self;
        let Place { started, listener, tls, direction, client, local } = place.as_ref()?;
        let End { generation, route, upstream, status, reason, .. } = end.as_ref()?;
        let End { detail, attempts, hedged, duration, upstream_duration, .. } = end.as_ref()?;
        Some(Sample {
            at: wall - now.saturating_duration_since(*started),
            listener: listener.clone(),
            tls: *tls,
            direction: *direction,
            service: service.as_str().into(),
            client: *client,
            local: *local,
            peer: (!peer.is_empty()).then(|| peer.as_str().into()),
            head: head.clone(),
            request_id: self.request_id().map(Into::into),
            generation: *generation,
            route: route.clone(),
            backend: backend.clone(),
            upstream: *upstream,
            status: *status,
            reason: *reason,
            detail: detail.clone(),
            attempts: *attempts,
            hedged: *hedged,
            duration: *duration,
            upstream_duration: *upstream_duration,
        })
    }
}

// === functions ===

/// Takes a sample of a request whose head is as it came.
pub(crate) fn begin(scope: &Scope<'_>, x: &mut Exchange) {
    if let Some(started) = x.record.started {
        x.sample = scope.conn.worker.sampler.draft(scope, x, started);
    }
}

/// Keeps the sample of a request that has ended, if there is one.
pub(crate) fn end(scope: &Scope<'_>, x: &mut Exchange, reason: Reason, duration: Duration) {
    let Some(mut draft) = x.sample.take() else { return };
    let record = &x.record;
    let upstream_duration = record.upstream_started.zip(record.response_head);
    draft.end = Some(End {
        generation: x.plan.as_ref().map(|plan| plan.shared.generation).unwrap_or_default(),
        route: x.route.as_ref().map(|route| route.route.id.clone()),
        upstream: record.upstream,
        status: record.status,
        reason,
        detail: record.detail.clone(),
        attempts: record.attempts,
        hedged: record.hedged,
        duration,
        upstream_duration: upstream_duration
            .map(|(sent, head)| head.saturating_duration_since(sent)),
    });
    scope.conn.worker.sampler.keep(draft);
}

/// Copies a head without its secrets. Memory is used again.
fn copy_head(from: &RequestHead, to: &mut RequestHead) {
    to.clear();
    to.set_method(from.method().clone());
    to.set_version(from.version());
    to.set_scheme(from.scheme());
    // What was valid is; a path that was cut within an escape is left out.
    let _ = to.set_authority(from.authority());
    let _ = to.set_path(cut(from.path(), TARGET_BYTES_MAX));
    let query = from.query().map(secret::shown_query);
    let _ = to.set_query(query.as_deref().map(|query| cut(query, TARGET_BYTES_MAX)));
    for (name, value) in from.fields.iter() {
        let value = secret::shown(name, value);
        let value = &value[..value.len().min(VALUE_BYTES_MAX)];
        if to.fields.size_bytes() + name.len() + value.len() <= HEAD_BYTES_MAX {
            let _ = to.fields.append(name, value);
        }
    }
}

fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
