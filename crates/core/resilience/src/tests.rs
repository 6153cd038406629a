use std::mem::size_of;

use super::*;

/// What holds for a whole process can be shared by its threads.
const fn shared<T: Send + Sync>() {}

/// What belongs to a worker can at least be made elsewhere.
const fn movable<T: Send>() {}

const _: () = {
    shared::<adaptive::AdaptiveLimit>();
    shared::<adaptive::AdaptivePermit>();
    shared::<breaker::Breaker>();
    shared::<bucket::ClientBuckets>();
    shared::<bucket::KeyedBuckets>();
    shared::<bucket::TokenBucket>();
    shared::<hedge::Hedge>();
    shared::<inflight::InFlight>();
    shared::<inflight::KeyedInFlight>();
    shared::<inflight::KeyedPermit>();
    shared::<inflight::Permit>();
    shared::<limits::Limits>();
    shared::<load::ReportedLoad>();
    shared::<outlier::EndpointHealth>();
    shared::<outlier::Outlier>();
    shared::<retry::Active>();
    shared::<retry::RetryBudget>();
    shared::<window::Histogram>();
    movable::<idle::LearnedIdle>();
    movable::<pick::Picker>();
    movable::<rng::Rng>();
};

#[test]
fn what_each_endpoint_has_stays_small() {
    // Per endpoint and process, then per endpoint and worker.
    assert!(size_of::<outlier::EndpointHealth>() <= 320);
    assert!(size_of::<load::PeakEwma>() <= 48);
    assert!(size_of::<idle::LearnedIdle>() <= 64);
}
