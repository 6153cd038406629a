//! Which certificate ends when, and what breaks then.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use weft_model::id::WorkloadName;

use crate::certificate::CaCertificate;
use crate::fingerprint::Fingerprint;
use crate::fleet::{LeafReport, ProxyReport};
use crate::issuer::Issuer;
use crate::lifetimes::Lifetimes;
use crate::renewal::renew_at;
use crate::rotation::{Phase, Rotation};
use crate::span::Span;
use crate::validity::{Validity, since};

/// Every certificate that is known of, the one that ends first at the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The certificates.
    pub entries: Vec<Entry>,
    /// When the whole mesh stands still unless somebody does something: the earliest end of what
    /// signs. For an alert.
    pub outage_at: SystemTime,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub holder: Holder,
    /// What it is for at the moment.
    pub duty: Duty,
    /// Its subject, or the identity that it names.
    pub subject: Box<str>,
    /// Its name; `None` for leaves, whose bytes only their proxies have.
    pub fingerprint: Option<Fingerprint>,
    /// The root that it chains to, itself for a root.
    pub root: Fingerprint,
    /// From when until when.
    pub validity: Validity,
    /// Since when it has been valid.
    pub age: Duration,
    /// How long it will be; zero once it has ended.
    pub left: Duration,
    /// What no longer works after its end.
    pub breaks: Breaks,
    /// What keeps that from happening.
    pub remedy: Remedy,
}

/// Whose certificate it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// A root.
    Root,
    /// An intermediate, or another certificate between a root and its leaves.
    Intermediate,
    /// A live proxy.
    Proxy(WorkloadName),
}

/// What a certificate is for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Duty {
    /// What is signed now is under it.
    Signing,
    /// It is trusted and will sign.
    Next,
    /// It is trusted and has signed.
    Previous,
    /// A proxy presents it.
    Presented,
}

/// What no longer works after the end of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Breaks {
    /// All connections between proxies.
    Mesh,
    /// Those from and to the proxies that present a certificate under it; so many.
    Proxies(usize),
    /// Those from and to one proxy.
    Proxy(WorkloadName),
    /// The rotation that is under way, which can then not go on.
    Rotation,
    /// Nothing.
    Nothing,
}

/// What keeps the end of a certificate from doing harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// It is renewed without anybody's doing, at this moment or a little earlier.
    Automatic(SystemTime),
    /// It should have been renewed at that moment: whose it is does not reach the authority.
    Overdue(SystemTime),
    /// The root must be rotated by then.
    RotateRoot(SystemTime),
    /// The operator must supply another intermediate by then, as the root's key is not here.
    SupplyIntermediate(SystemTime),
    /// The rotation that is under way must come to its end by then.
    FinishRotation(SystemTime),
}

// === impl Forecast ===

impl Forecast {
    pub(crate) fn new(
        rotation: &Rotation,
        lifetimes: &Lifetimes,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Self {
        let view = View { rotation, lifetimes, fleet, now };
        let mut entries = Vec::new();
        view.issuer(rotation.signing(), Duty::Signing, &mut entries);
        match rotation.phase() {
            Phase::Steady => {}
            Phase::Prepared { next, .. } => view.issuer(next, Duty::Next, &mut entries),
            Phase::Switched { previous, .. } => {
                view.issuer(previous, Duty::Previous, &mut entries);
            }
        }
        let leaves = fleet.iter().filter_map(|proxy| Some((proxy, proxy.leaf.as_ref()?)));
        entries.extend(leaves.map(|(proxy, leaf)| view.leaf(proxy, leaf)));
        entries.sort_by_key(|entry| entry.validity.not_after);
        Self { entries, outage_at: rotation.signing().not_after() }
    }

    /// How long until the whole mesh stands still unless somebody does something; zero when it
    /// does.
    pub fn time_to_outage(&self, now: SystemTime) -> Duration {
        since(now, self.outage_at)
    }
}

/// What a forecast is made from.
struct View<'a> {
    rotation: &'a Rotation,
    lifetimes: &'a Lifetimes,
    fleet: &'a [ProxyReport],
    now: SystemTime,
}

// === impl View ===

impl View<'_> {
    fn issuer(&self, issuer: &Issuer, duty: Duty, entries: &mut Vec<Entry>) {
        let root = issuer.root().certificate();
        let breaks = match duty {
            Duty::Previous => self.breaks_of_previous(root.fingerprint()),
            Duty::Next => Breaks::Rotation,
            Duty::Signing | Duty::Presented => Breaks::Mesh,
        };
        for found in issuer.certificates() {
            let (holder, remedy) = if found == root {
                (Holder::Root, self.remedy_of_root(root, duty))
            } else {
                (Holder::Intermediate, self.remedy_of_intermediate(issuer, found, duty))
            };
            entries.push(Entry {
                holder,
                duty,
                subject: found.subject().into(),
                fingerprint: Some(found.fingerprint()),
                root: root.fingerprint(),
                validity: found.validity(),
                age: found.validity().age(self.now),
                left: found.validity().left(self.now),
                breaks: breaks.clone(),
                remedy,
            });
        }
    }

    fn leaf(&self, proxy: &ProxyReport, leaf: &LeafReport) -> Entry {
        let Validity { not_before, not_after } = leaf.validity;
        let latest = renew_at(not_before, not_after, 1.0);
        Entry {
            holder: Holder::Proxy(proxy.proxy.clone()),
            duty: Duty::Presented,
            subject: leaf.identity.as_str().into(),
            fingerprint: None,
            root: leaf.root,
            validity: leaf.validity,
            age: leaf.validity.age(self.now),
            left: leaf.validity.left(self.now),
            breaks: Breaks::Proxy(proxy.proxy.clone()),
            remedy: if self.now <= latest {
                Remedy::Automatic(latest)
            } else {
                Remedy::Overdue(latest)
            },
        }
    }

    fn breaks_of_previous(&self, root: Fingerprint) -> Breaks {
        let leaves = self.fleet.iter().filter_map(|proxy| proxy.live_leaf(self.now));
        match leaves.filter(|leaf| leaf.root == root).count() {
            0 => Breaks::Nothing,
            count => Breaks::Proxies(count),
        }
    }

    fn remedy_of_root(&self, root: &CaCertificate, duty: Duty) -> Remedy {
        let end = root.validity().not_after;
        if duty != Duty::Signing || !matches!(self.rotation.phase(), Phase::Steady) {
            return Remedy::FinishRotation(end);
        }
        // From then on intermediates would get shorter lives than they should have. A root that
        // does not live much longer than they do is used for most of its own life.
        let shortening = end.checked_sub(self.lifetimes.intermediate).unwrap_or(UNIX_EPOCH);
        let latest = renew_at(root.validity().not_before, end, 1.0);
        Remedy::RotateRoot(shortening.max(latest))
    }

    fn remedy_of_intermediate(&self, issuer: &Issuer, found: &CaCertificate, duty: Duty) -> Remedy {
        let end = found.validity().not_after;
        if duty != Duty::Signing {
            return Remedy::FinishRotation(end);
        }
        let is_own = found == issuer.intermediate().certificate();
        match self.rotation.renew_intermediate_at() {
            Some(at) if is_own && self.now <= at => Remedy::Automatic(at),
            Some(at) if is_own => Remedy::Overdue(at),
            _ if issuer.root().has_key() => Remedy::RotateRoot(end),
            _ => Remedy::SupplyIntermediate(end),
        }
    }
}

// === impl Breaks ===

impl fmt::Display for Breaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mesh => f.write_str("all connections between proxies"),
            Self::Proxies(1) => f.write_str("connections of 1 proxy"),
            Self::Proxies(count) => write!(f, "connections of {count} proxies"),
            Self::Proxy(proxy) => write!(f, "connections of {proxy}"),
            Self::Rotation => f.write_str("the rotation that is under way"),
            Self::Nothing => f.write_str("nothing"),
        }
    }
}

// === impl Remedy ===

impl Remedy {
    /// What is to be done and by when, as seen from `now`.
    pub fn describe(&self, now: SystemTime) -> String {
        match *self {
            Self::Automatic(at) => format!("renewed by itself within {}", Span(since(now, at))),
            Self::Overdue(at) => {
                let ago = Span(since(at, now));
                format!("should have been renewed {ago} ago: is the authority reached?")
            }
            Self::RotateRoot(by) => format!("rotate the root {}", Due { by, now }),
            Self::SupplyIntermediate(by) => {
                format!("supply another intermediate {}", Due { by, now })
            }
            Self::FinishRotation(by) => format!("finish the rotation {}", Due { by, now }),
        }
    }
}

struct Due {
    by: SystemTime,
    now: SystemTime,
}

// === impl Due ===

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match since(self.now, self.by) {
            Duration::ZERO => f.write_str("now"),
            left => write!(f, "within {}", Span(left)),
        }
    }
}
