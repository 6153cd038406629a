//! Whatever is done in whatever order: no two live proxies ever refuse each other.

use std::collections::BTreeSet;
use std::time::SystemTime;

use proptest::prelude::{Just, Strategy, prop_oneof, proptest};
use weft_model::id::WorkloadName;

use super::{DAY, HOUR, Issuer, Rotation, Step, issuer, now, root_of};
use crate::fixtures::identity;
use crate::fleet::{LeafReport, ProxyReport};
use crate::validity::Validity;

const PROXIES: usize = 4;

#[derive(Debug, Clone)]
enum Event {
    /// A connected proxy takes the bundle of the moment.
    TakeBundle(usize),
    /// A connected proxy takes a certificate, and the bundle with it.
    Renew(usize),
    /// A proxy is cut off from the control plane, or back.
    CutOff(usize, bool),
    Take(Step),
    Pass(u32),
}

struct Mesh {
    now: SystemTime,
    rotation: Rotation,
    spare: Vec<Issuer>,
    proxies: Vec<ProxyReport>,
    is_cut_off: [bool; PROXIES],
}

// === impl Mesh ===

impl Mesh {
    fn new(issuers: &[Issuer]) -> Self {
        let mut spare = issuers.to_vec();
        let rotation = Rotation::new(spare.pop().unwrap());
        let proxy = |index| ProxyReport {
            proxy: WorkloadName::new(format!("shop/{index}")),
            trusts: BTreeSet::new(),
            leaf: None,
            reported_at: now(),
        };
        let proxies = (0..PROXIES).map(proxy).collect();
        Self { now: now(), rotation, spare, proxies, is_cut_off: [false; PROXIES] }
    }

    fn apply(&mut self, event: &Event) {
        match *event {
            Event::TakeBundle(index) if !self.is_cut_off[index] => self.take_bundle(index),
            Event::Renew(index) if !self.is_cut_off[index] => {
                self.take_bundle(index);
                self.proxies[index].leaf = Some(LeafReport {
                    identity: identity("payments"),
                    root: root_of(self.rotation.signing()),
                    validity: Validity::new(self.now, self.now + DAY),
                });
            }
            Event::TakeBundle(_) | Event::Renew(_) => {}
            Event::CutOff(index, is_cut_off) => self.is_cut_off[index] = is_cut_off,
            Event::Take(step) => self.take(step),
            Event::Pass(hours) => self.now += hours * HOUR,
        }
    }

    fn take_bundle(&mut self, index: usize) {
        self.proxies[index].trusts = self.rotation.bundle().fingerprints().collect();
    }

    /// Refusals are as good as steps here.
    fn take(&mut self, step: Step) {
        let Self { now, rotation, spare, proxies, .. } = self;
        let _ = match step {
            Step::Prepare => match spare.first() {
                Some(next) => rotation.prepare(next.clone(), *now).map(|()| drop(spare.remove(0))),
                None => Ok(()),
            },
            Step::Switch => rotation.switch(proxies, *now),
            Step::Retire => rotation.retire(proxies, *now),
            Step::Cancel => rotation.cancel(proxies, *now),
            Step::Revert => rotation.revert(proxies, *now),
            Step::ReplaceIntermediate => {
                let same = rotation.signing().intermediate().clone();
                rotation.replace_intermediate(same, proxies, *now)
            }
        };
    }

    #[track_caller]
    fn check(&self) {
        let live = || {
            let leaf = |proxy: &ProxyReport| {
                let leaf = proxy.leaf.clone()?;
                leaf.validity.contains(self.now).then_some(leaf)
            };
            self.proxies.iter().filter_map(move |proxy| Some((proxy, leaf(proxy)?)))
        };
        for (proxy, leaf) in live() {
            for (other, _) in live() {
                assert!(
                    other.trusts.contains(&leaf.root),
                    "{} refuses {}, which presents {}",
                    other.proxy,
                    proxy.proxy,
                    leaf.root.short()
                );
            }
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    let steps = prop_oneof![
        Just(Step::Prepare),
        Just(Step::Switch),
        Just(Step::Retire),
        Just(Step::Cancel),
        Just(Step::Revert),
        Just(Step::ReplaceIntermediate),
    ];
    prop_oneof![
        3 => (0..PROXIES).prop_map(Event::TakeBundle),
        3 => (0..PROXIES).prop_map(Event::Renew),
        1 => (0..PROXIES, proptest::bool::ANY).prop_map(|(index, cut)| Event::CutOff(index, cut)),
        4 => steps.prop_map(Event::Take),
        1 => (1..30_u32).prop_map(Event::Pass),
    ]
}

proptest! {
    #[test]
    fn no_two_live_proxies_ever_refuse_each_other(
        events in proptest::collection::vec(event(), 1..80),
    ) {
        thread_local! {
            static ISSUERS: Vec<Issuer> = (0..5).map(|_| issuer()).collect();
        }
        let mut mesh = ISSUERS.with(|issuers| Mesh::new(issuers));
        for event in &events {
            mesh.apply(event);
            mesh.check();
        }
    }
}

/// One that reaches nobody holds a rotation up for the rest of its certificate's life, and no
/// longer.
#[test]
fn a_proxy_that_is_cut_off_holds_up_for_a_day_at_most() {
    let issuers: Vec<Issuer> = (0..2).map(|_| issuer()).collect();
    let mut mesh = Mesh::new(&issuers);
    for index in 0..PROXIES {
        mesh.apply(&Event::Renew(index));
    }
    mesh.apply(&Event::CutOff(0, true));
    mesh.apply(&Event::Take(Step::Prepare));
    for index in 0..PROXIES {
        mesh.apply(&Event::TakeBundle(index));
    }
    mesh.apply(&Event::Take(Step::Switch));
    assert_eq!(mesh.rotation.phase().as_str(), "prepared");
    mesh.apply(&Event::Pass(23));
    mesh.apply(&Event::Take(Step::Switch));
    assert_eq!(mesh.rotation.phase().as_str(), "prepared");
    mesh.apply(&Event::Pass(2));
    mesh.apply(&Event::Take(Step::Switch));
    assert_eq!(mesh.rotation.phase().as_str(), "switched");
    mesh.check();
}
