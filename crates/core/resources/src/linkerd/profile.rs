//! ServiceProfile.

use std::time::Duration;

use crate::problem::Pos;
use crate::read::{Field, Path, Reader};
use crate::resource::Spanned;

/// What is said of a service by its name: the ServiceProfile `web.shop.svc.cluster.local` is about
/// the Service `web` of the namespace `shop`. It holds for all callers when it is in the namespace
/// of the service, and else for those of its own namespace.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceProfile {
    /// Classes of requests; the first that takes a request counts.
    pub routes: Vec<ProfileRoute>,
    /// The bound on retries of all its routes together; the defaults where it is not written.
    pub retry_budget: RetryBudget,
    /// Where calls go instead.
    pub destinations: Vec<Destination>,
}

/// A class of requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRoute {
    /// Its name.
    pub name: Box<str>,
    /// Takes a request when this holds.
    pub condition: RequestCondition,
    /// What answers mean; the first that fits counts. Without one, 5xx is a failure.
    pub response_classes: Vec<ResponseClass>,
    /// Whether failures are sent again.
    pub is_retryable: bool,
    /// From the request to the end of the answer, retries included; 10 s when absent.
    pub timeout: Option<Duration>,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestCondition {
    /// Each of them holds.
    All(Vec<RequestCondition>),
    /// One of them holds.
    Any(Vec<RequestCondition>),
    /// It does not hold.
    Not(Box<RequestCondition>),
    /// All of the path fits a pattern.
    Path(Spanned<Box<str>>),
    /// The method.
    Method(Box<str>),
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseClass {
    /// The answers.
    pub condition: ResponseCondition,
    /// Whether they are failures.
    pub is_failure: bool,
    /// Where it is written.
    pub at: Pos,
}

/// A condition on answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseCondition {
    /// Each of them holds.
    All(Vec<ResponseCondition>),
    /// One of them holds.
    Any(Vec<ResponseCondition>),
    /// It does not hold.
    Not(Box<ResponseCondition>),
    /// The status is between these, both included.
    Status {
        /// The least.
        min: u16,
        /// The greatest.
        max: u16,
    },
}

/// A bound on retries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Retries per request, 0 or more.
    pub retry_ratio: f64,
    /// Retries per second that are always allowed.
    pub retries_min_per_sec: u32,
    /// Requests count for this long.
    pub ttl: Duration,
}

/// Where calls go instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Host and port, such as `web-v2.shop.svc.cluster.local:8080`.
    pub authority: Box<str>,
    /// Share among its siblings, in thousandths.
    pub weight: u64,
    /// Where it is written.
    pub at: Pos,
}

/// The time for a route that says nothing.
pub const TIMEOUT: Duration = Duration::from_secs(10);

// === impl RetryBudget ===

impl RetryBudget {
    /// Linkerd's: a fifth of the requests, and always 10 per second, over 10 s.
    pub const DEFAULT: Self =
        Self { retry_ratio: 0.2, retries_min_per_sec: 10, ttl: Duration::from_secs(10) };
}

/// Reads a ServiceProfile.
pub(super) fn read(reader: &Reader<'_, '_>) -> Option<ServiceProfile> {
    reader.require("spec")?.nested(|spec| {
        spec.ignored("opaquePorts", "the annotation config.linkerd.io/opaque-ports says them");
        let routes = spec.list("routes", |item| item.nested(route));
        let retry_budget = spec.nested("retryBudget", retry_budget);
        let destinations = spec.list("dstOverrides", |item| item.nested(destination));
        let retry_budget = retry_budget.unwrap_or(RetryBudget::DEFAULT);
        Some(ServiceProfile { routes, retry_budget, destinations })
    })
}

fn route(reader: &Reader<'_, '_>) -> Option<ProfileRoute> {
    let name = reader.string_or_empty("name");
    let condition = reader.require("condition").and_then(|field| request_condition(&field, None));
    let response_classes = reader.list("responseClasses", |item| item.nested(response_class));
    let is_retryable = reader.bool_or("isRetryable", false);
    let timeout = reader.take("timeout").filter(|field| !is_empty_text(field));
    let timeout = timeout.and_then(|field| field.duration());
    let condition = condition?;
    Some(ProfileRoute { name, condition, response_classes, is_retryable, timeout, at: reader.at() })
}

/// Go writes what was not said as an empty text.
fn is_empty_text(field: &Field<'_, '_>) -> bool {
    field.node().as_scalar().is_some_and(|scalar| scalar.text.is_empty())
}

fn response_class(reader: &Reader<'_, '_>) -> Option<ResponseClass> {
    let is_failure = reader.bool_or("isFailure", false);
    let condition = response_condition(&reader.require("condition")?, None)?;
    Some(ResponseClass { condition, is_failure, at: reader.at() })
}

/// Reads a condition. One within another is read as the outermost, at `shape`.
fn request_condition(field: &Field<'_, '_>, shape: Option<Path<'_>>) -> Option<RequestCondition> {
    let shape = shape.unwrap_or(*field.path());
    field.nested_as(&shape, |reader| {
        let inner = |field: &Field<'_, '_>| request_condition(field, Some(shape));
        let all = reader.take("all").map(|field| RequestCondition::All(field.list(inner)));
        let any = reader.take("any").map(|field| RequestCondition::Any(field.list(inner)));
        let not = reader.take("not").map(|field| inner(&field));
        let not = not.map(|inner| inner.map(|inner| RequestCondition::Not(Box::new(inner))));
        let path = reader.take("pathRegex").map(|field| field.spanned_string());
        let path = path.map(|text| text.map(RequestCondition::Path));
        let method = reader.take("method").map(|field| field.non_empty_string());
        let method = method.map(|text| text.map(RequestCondition::Method));
        let parts = [all.map(Some), any.map(Some), not, path, method];
        together(reader, parts.into_iter().flatten().collect(), RequestCondition::All)
    })
}

fn response_condition(field: &Field<'_, '_>, shape: Option<Path<'_>>) -> Option<ResponseCondition> {
    let shape = shape.unwrap_or(*field.path());
    field.nested_as(&shape, |reader| {
        let inner = |field: &Field<'_, '_>| response_condition(field, Some(shape));
        let all = reader.take("all").map(|field| ResponseCondition::All(field.list(inner)));
        let any = reader.take("any").map(|field| ResponseCondition::Any(field.list(inner)));
        let not = reader.take("not").map(|field| inner(&field));
        let not = not.map(|inner| inner.map(|inner| ResponseCondition::Not(Box::new(inner))));
        let status = reader.take("status").map(|field| field.nested(statuses));
        let parts = [all.map(Some), any.map(Some), not, status];
        together(reader, parts.into_iter().flatten().collect(), ResponseCondition::All)
    })
}

/// The parts of one condition, all of which must hold; `None` for one that could not be read.
fn together<T>(reader: &Reader<'_, '_>, parts: Vec<Option<T>>, all: fn(Vec<T>) -> T) -> Option<T> {
    if parts.is_empty() {
        reader.error("a condition is needed", None);
        return None;
    }
    let mut parts: Vec<T> = parts.into_iter().collect::<Option<_>>()?;
    if parts.len() == 1 { parts.pop() } else { Some(all(parts)) }
}

/// A range of statuses; a bound that is absent is no bound.
fn statuses(reader: &Reader<'_, '_>) -> Option<ResponseCondition> {
    let bound = |name, absent: u16| match reader.take(name) {
        // Go writes what was not said as 0.
        Some(field) => match field.int(0, 599)? {
            0 => Some(absent),
            status if status < 100 => {
                field.error(format!("{status} is not a status"), None);
                None
            }
            status => Some(status as u16),
        },
        None => Some(absent),
    };
    let (min, max) = (bound("min", 100), bound("max", 599));
    let (min, max) = (min?, max?);
    if min > max {
        reader.error("`min` is greater than `max`", None);
        return None;
    }
    Some(ResponseCondition::Status { min, max })
}

fn retry_budget(reader: &Reader<'_, '_>) -> Option<RetryBudget> {
    let ratio = reader.require("retryRatio").and_then(|field| {
        let ratio = field.number()?;
        if !(0.0..=1000.0).contains(&ratio) {
            field.error(format!("{ratio} is out of range: must be between 0 and 1000"), None);
            return None;
        }
        Some(ratio)
    });
    let least = reader.require("minRetriesPerSecond");
    let least = least.and_then(|field| field.int(0, u32::MAX.into()));
    let ttl = reader.require("ttl").and_then(|field| {
        let ttl = field.duration()?;
        let (min, max) = (Duration::from_secs(1), Duration::from_secs(60));
        if !(min..=max).contains(&ttl) {
            field.error("must be between 1s and 60s", None);
            return None;
        }
        Some(ttl)
    });
    Some(RetryBudget { retry_ratio: ratio?, retries_min_per_sec: least? as u32, ttl: ttl? })
}

fn destination(reader: &Reader<'_, '_>) -> Option<Destination> {
    let authority = reader.require_string("authority");
    let weight = reader.require("weight").and_then(|field| field.quantity_thousandths());
    Some(Destination { authority: authority?, weight: weight?, at: reader.at() })
}
