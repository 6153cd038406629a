//! One root takes over from another, and nobody notices.
//!
//! ```text
//!            prepare               switch               retire
//!   steady ----------> prepared ------------> switched ----------> steady
//!     ^   <----------           <------------
//!            cancel                revert
//!
//!   trusted:  old       old, new              old, new              new
//!   signs:    old       old                   new                   new
//! ```
//!
//! Two proxies refuse each other when one presents a certificate under a root that the other does
//! not accept. So a root signs only when every live proxy accepts it, and is dropped only when no
//! live proxy presents a certificate under it. Each step is checked against what the live proxies
//! themselves have reported, and refused with their names while it would strand one of them.

#[cfg(test)]
mod tests;

use std::fmt;
use std::time::{Duration, SystemTime};

use weft_model::id::WorkloadName;

use crate::bundle::TrustBundle;
use crate::fingerprint::Fingerprint;
use crate::fleet::ProxyReport;
use crate::issuer::{Intermediate, Issuer, NoRootKey, Unusable};
use crate::renewal::renew_at;
use crate::span::Span;

/// Proxies that an error names; the rest are counted.
const NAMED_MAX: usize = 10;

/// What signs, what is trusted beside it, and how far the one has taken the place of the other.
#[derive(Debug, Clone)]
pub struct Rotation {
    signing: Issuer,
    phase: Phase,
    bundle: TrustBundle,
}

/// How far a rotation has come.
#[derive(Debug, Clone)]
pub enum Phase {
    /// There is none: what signs is all that is trusted.
    Steady,
    /// A new root is trusted and does not sign yet.
    Prepared {
        /// What will sign.
        next: Issuer,
        /// Since when.
        since: SystemTime,
    },
    /// The new root signs, and the old one is still trusted.
    Switched {
        /// What has signed.
        previous: Issuer,
        /// Since when.
        since: SystemTime,
    },
}

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// A new root is trusted beside the old one, which goes on signing.
    Prepare,
    /// The new root signs.
    Switch,
    /// The old root is no longer trusted.
    Retire,
    /// The new root is dropped before it has signed.
    Cancel,
    /// The old root signs again.
    Revert,
    /// Another intermediate signs, under the same root.
    ReplaceIntermediate,
}

/// A step that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRotation {
    /// It does not follow on the phase of now.
    #[error("cannot {step} now: {phase}")]
    OutOfOrder {
        /// What was asked for.
        step: Step,
        /// What the phase is, and what can follow it.
        phase: &'static str,
    },
    /// The new root is the one that signs already.
    #[error("root {} is the one that signs already", .0.short())]
    SameRoot(Fingerprint),
    /// The new intermediate is under another root.
    #[error(
        "the intermediate is under root {}, but {} signs: for another root, prepare a rotation",
        .found.short(), .signing.short()
    )]
    OtherRoot {
        /// Its root.
        found: Fingerprint,
        /// The root of now.
        signing: Fingerprint,
    },
    /// What would sign is not valid now.
    #[error("what would sign then is not valid now")]
    Unusable(#[from] Unusable),
    /// There is nothing here to sign an intermediate with.
    #[error("no new intermediate can be made")]
    NoRootKey(#[from] NoRootKey),
    /// A new intermediate would end no later than the one of now.
    #[error("a new intermediate would end with the root, as the one of now does: rotate the root")]
    NothingGained,
    /// Live proxies would refuse each other.
    #[error(transparent)]
    Stranded(#[from] Stranded),
}

/// The live proxies that a step would strand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Stranded {
    /// The step.
    pub step: Step,
    /// Which, and why; never empty.
    pub proxies: Vec<Hindrance>,
}

/// A live proxy that a step would strand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// Which.
    pub proxy: WorkloadName,
    /// Why.
    pub why: Why,
    /// How long ago it was heard of. Long ago means that it is cut off: the step waits until it is
    /// back, is known to be gone, or its certificate has ended.
    pub reported_ago: Duration,
}

/// Why a proxy would be stranded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It would refuse others: it does not accept the root that would sign.
    DoesNotTrust(Fingerprint),
    /// It would be refused: its certificate is under the root that would be dropped.
    PresentsOld {
        /// That root.
        root: Fingerprint,
        /// How long its certificate is valid, at most.
        left: Duration,
    },
}

// === impl Rotation ===

impl Rotation {
    /// That issuer, and nothing else.
    pub fn new(signing: Issuer) -> Self {
        Self::from_parts(signing, Phase::Steady)
    }

    pub(crate) fn from_parts(signing: Issuer, phase: Phase) -> Self {
        let other = match &phase {
            Phase::Steady => None,
            Phase::Prepared { next: other, .. } | Phase::Switched { previous: other, .. } => {
                Some(other.root().certificate().clone())
            }
        };
        let bundle = [signing.root().certificate().clone()].into_iter().chain(other).collect();
        Self { signing, phase, bundle }
    }

    /// What signs.
    pub fn signing(&self) -> &Issuer {
        &self.signing
    }

    /// How far it has come.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The roots that every proxy must accept now.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// Trusts a new root beside the old one, which goes on signing. Strands nobody, so no proxy is
    /// asked.
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::OutOfOrder`], [`RefusedRotation::SameRoot`] and
    /// [`RefusedRotation::Unusable`].
    pub fn prepare(&mut self, next: Issuer, now: SystemTime) -> Result<(), RefusedRotation> {
        let Phase::Steady = self.phase else { return Err(self.out_of_order(Step::Prepare)) };
        if root_of(&next) == root_of(&self.signing) {
            return Err(RefusedRotation::SameRoot(root_of(&next)));
        }
        next.check_usable(now)?;
        *self = Self::from_parts(self.signing.clone(), Phase::Prepared { next, since: now });
        Ok(())
    }

    /// Lets the new root sign. Proxies should renew at once then; what they present until they have
    /// is still accepted.
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::OutOfOrder`], [`RefusedRotation::Unusable`], and
    /// [`RefusedRotation::Stranded`] while a live proxy does not accept the new root.
    pub fn switch(
        &mut self,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Result<(), RefusedRotation> {
        let Phase::Prepared { next, .. } = &self.phase else {
            return Err(self.out_of_order(Step::Switch));
        };
        next.check_usable(now)?;
        check(Step::Switch, fleet, now, |proxy| lacks(proxy, root_of(next)))?;
        let previous = self.signing.clone();
        *self = Self::from_parts(next.clone(), Phase::Switched { previous, since: now });
        Ok(())
    }

    /// Trusts the new root alone, and forgets the old one with its key.
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::OutOfOrder`], and [`RefusedRotation::Stranded`] while a live proxy
    /// presents a certificate under the old root or does not accept the new one.
    pub fn retire(
        &mut self,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Result<(), RefusedRotation> {
        let Phase::Switched { previous, .. } = &self.phase else {
            return Err(self.out_of_order(Step::Retire));
        };
        let (old, new) = (root_of(previous), root_of(&self.signing));
        check(Step::Retire, fleet, now, |proxy| {
            presents(proxy, old, now).or_else(|| lacks(proxy, new))
        })?;
        *self = Self::new(self.signing.clone());
        Ok(())
    }

    /// Drops the new root before it has signed.
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::OutOfOrder`], and [`RefusedRotation::Stranded`] while a live proxy
    /// presents a certificate under it, which is so after [`Self::revert`].
    pub fn cancel(
        &mut self,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Result<(), RefusedRotation> {
        let Phase::Prepared { next, .. } = &self.phase else {
            return Err(self.out_of_order(Step::Cancel));
        };
        let (old, new) = (root_of(next), root_of(&self.signing));
        check(Step::Cancel, fleet, now, |proxy| {
            presents(proxy, old, now).or_else(|| lacks(proxy, new))
        })?;
        *self = Self::new(self.signing.clone());
        Ok(())
    }

    /// Lets the old root sign again; the new one is as prepared.
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::OutOfOrder`], [`RefusedRotation::Unusable`], and
    /// [`RefusedRotation::Stranded`] while a live proxy does not accept the old root.
    pub fn revert(
        &mut self,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Result<(), RefusedRotation> {
        let Phase::Switched { previous, .. } = &self.phase else {
            return Err(self.out_of_order(Step::Revert));
        };
        previous.check_usable(now)?;
        check(Step::Revert, fleet, now, |proxy| lacks(proxy, root_of(previous)))?;
        let next = self.signing.clone();
        *self = Self::from_parts(previous.clone(), Phase::Prepared { next, since: now });
        Ok(())
    }

    /// Lets another intermediate sign, under the same root. What the old one has signed stays
    /// accepted, as its holders present the old one along with it.
    ///
    /// # Errors
    ///
    /// [`RefusedRotation::OtherRoot`], [`RefusedRotation::Unusable`], and
    /// [`RefusedRotation::Stranded`] while a live proxy accepts the old intermediate and not the
    /// root, so that it would refuse what the new one signs.
    pub fn replace_intermediate(
        &mut self,
        intermediate: Intermediate,
        fleet: &[ProxyReport],
        now: SystemTime,
    ) -> Result<(), RefusedRotation> {
        let root = root_of(&self.signing);
        let found = intermediate.root();
        let new = Issuer::new(self.signing.root().clone(), intermediate)
            .ok_or(RefusedRotation::OtherRoot { found, signing: root })?;
        new.check_usable(now)?;
        let trusts_any = |proxy: &ProxyReport, issuer: &Issuer| {
            issuer.certificates().any(|found| proxy.trusts.contains(&found.fingerprint()))
        };
        check(Step::ReplaceIntermediate, fleet, now, |proxy| {
            let is_lost = trusts_any(proxy, &self.signing) && !trusts_any(proxy, &new);
            is_lost.then_some(Why::DoesNotTrust(root))
        })?;
        *self = Self::from_parts(new, self.phase.clone());
        Ok(())
    }

    /// When [`crate::Authority::renew_intermediate`] should be called, at 60 % of the
    /// intermediate's life; `None` when it would be refused, because the root's key is not here or
    /// the root ends first.
    pub fn renew_intermediate_at(&self) -> Option<SystemTime> {
        let root = self.signing.root();
        let own = self.signing.intermediate().certificate().validity();
        let can_gain = own.not_after < root.certificate().validity().not_after;
        (root.has_key() && can_gain).then(|| renew_at(own.not_before, own.not_after, 0.5))
    }

    fn out_of_order(&self, step: Step) -> RefusedRotation {
        let phase = match self.phase {
            Phase::Steady => "no rotation is under way; prepare one",
            Phase::Prepared { .. } => {
                "a new root is trusted and does not sign yet; switch or cancel"
            }
            Phase::Switched { .. } => {
                "the new root signs and the old one is trusted; retire or revert"
            }
        };
        RefusedRotation::OutOfOrder { step, phase }
    }
}

// === impl Phase ===

impl Phase {
    /// `steady`, `prepared` or `switched`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Prepared { .. } => "prepared",
            Self::Switched { .. } => "switched",
        }
    }
}

// === impl Step ===

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "prepare",
            Self::Switch => "switch",
            Self::Retire => "retire",
            Self::Cancel => "cancel",
            Self::Revert => "revert",
            Self::ReplaceIntermediate => "replace the intermediate",
        })
    }
}

// === impl Stranded ===

impl fmt::Display for Stranded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, proxies } = self;
        let count = proxies.len();
        write!(f, "cannot {step} yet: it would strand {count} live ")?;
        f.write_str(if count == 1 { "proxy: " } else { "proxies: " })?;
        for (index, proxy) in proxies.iter().take(NAMED_MAX).enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{proxy}")?;
        }
        if count > NAMED_MAX {
            write!(f, "; and {} more", count - NAMED_MAX)?;
        }
        let any = |is: fn(&Why) -> bool| proxies.iter().any(|proxy| is(&proxy.why));
        f.write_str(". Wait until ")?;
        match (
            any(|why| matches!(why, Why::DoesNotTrust(_))),
            any(|why| matches!(why, Why::PresentsOld { .. })),
        ) {
            (true, true) => f.write_str("they have taken the new bundle and renewed"),
            (true, false) => f.write_str("they have taken the new bundle"),
            (false, _) => f.write_str("they have renewed"),
        }?;
        f.write_str(", which connected ones do at once, or are gone")
    }
}

impl fmt::Display for Hindrance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proxy, why, reported_ago } = self;
        match why {
            Why::DoesNotTrust(root) => write!(f, "{proxy} does not accept root {}", root.short())?,
            Why::PresentsOld { root, left } => {
                let (root, left) = (root.short(), Span(*left));
                write!(f, "{proxy} presents a certificate under root {root}, for {left} at most")?;
            }
        }
        write!(f, " (heard of {} ago)", Span(*reported_ago))
    }
}

fn root_of(issuer: &Issuer) -> Fingerprint {
    issuer.root().certificate().fingerprint()
}

fn lacks(proxy: &ProxyReport, root: Fingerprint) -> Option<Why> {
    (!proxy.trusts.contains(&root)).then_some(Why::DoesNotTrust(root))
}

fn presents(proxy: &ProxyReport, root: Fingerprint, now: SystemTime) -> Option<Why> {
    let leaf = proxy.live_leaf(now).filter(|leaf| leaf.root == root)?;
    Some(Why::PresentsOld { root, left: leaf.validity.left(now) })
}

/// Asks every live proxy why the step would strand it.
fn check(
    step: Step,
    fleet: &[ProxyReport],
    now: SystemTime,
    why: impl Fn(&ProxyReport) -> Option<Why>,
) -> Result<(), Stranded> {
    let hindrance = |proxy: &ProxyReport| {
        proxy.live_leaf(now)?;
        let (name, reported_ago) = (proxy.proxy.clone(), proxy.reported_ago(now));
        Some(Hindrance { proxy: name, why: why(proxy)?, reported_ago })
    };
    let proxies: Vec<Hindrance> = fleet.iter().filter_map(hindrance).collect();
    if proxies.is_empty() { Ok(()) } else { Err(Stranded { step, proxies }) }
}
