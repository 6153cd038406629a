use proptest::prelude::{prop_assert_eq, proptest};

use super::*;
use crate::virtual_clock::{ms, secs, start};

fn per_sec(rate: u64) -> RateSettings {
    RateSettings { average: rate, period: secs(1), burst: rate }
}

/// The example of Linkerd's documentation: 100 for all, 20 for each, 25 and 10 for two groups.
fn buckets(all: u64, epoch: Instant) -> ClientBuckets {
    let overrides =
        [(vec!["special.emojivoto", "other.emojivoto"], per_sec(25)), (vec!["slow"], per_sec(10))];
    ClientBuckets::new(Some(per_sec(all)), Some(per_sec(20)), overrides, epoch, [1, 2])
}

/// How many of 200 at one moment pass.
fn passing(buckets: &ClientBuckets, client: Option<&str>, now: Instant) -> usize {
    (0..200).filter(|_| buckets.take(client, now).is_ok()).count()
}

#[test]
fn each_client_has_a_bucket_and_those_of_a_group_share_one() {
    let epoch = start();
    let buckets = buckets(100_000, epoch);
    for at in [0, 1] {
        for (client, rate) in [
            (Some("web"), 20),
            (Some("mobile"), 20),
            (Some("special.emojivoto"), 25),
            (Some("other.emojivoto"), 0),
            (Some("slow"), 10),
            (None, 20),
        ] {
            assert_eq!(passing(&buckets, client, epoch + secs(at)), rate, "{client:?}");
            assert_eq!(passing(&buckets, client, epoch + secs(at)), 0, "{client:?}");
        }
    }
}

#[test]
fn the_rate_for_all_holds_for_everybody() {
    let epoch = start();
    let buckets = buckets(30, epoch);
    assert_eq!(passing(&buckets, Some("special.emojivoto"), epoch), 25);
    // The 175 that were refused had taken what was left for others.
    assert_eq!(passing(&buckets, Some("web"), epoch), 0);
    let exceeded = buckets.take(Some("web"), epoch).unwrap_err();
    assert_eq!(exceeded, Exceeded::Total { retry_after: secs(1) / 30 + Duration::from_nanos(1) });
}

#[test]
fn refusals_say_which_rate_and_how_long() {
    let epoch = start();
    let buckets = buckets(100_000, epoch);
    let refusal = |client| {
        passing(&buckets, client, epoch);
        buckets.take(client, epoch).unwrap_err()
    };
    assert_eq!(refusal(Some("web")), Exceeded::Client { retry_after: ms(50) });
    assert_eq!(refusal(None), Exceeded::Client { retry_after: ms(50) });
    assert_eq!(refusal(Some("slow")), Exceeded::Override { retry_after: ms(100) });
}

#[test]
fn rates_that_are_not_set_do_not_limit() {
    let epoch = start();
    let none: [([&str; 0], RateSettings); 0] = [];
    let free = ClientBuckets::new(None, None, none, epoch, [1, 2]);
    assert_eq!(passing(&free, Some("web"), epoch), 200);
    let named = ClientBuckets::new(None, None, [(["slow"], per_sec(1))], epoch, [1, 2]);
    assert_eq!(passing(&named, Some("slow"), epoch), 1);
    assert_eq!(passing(&named, None, epoch), 200);
}

#[test]
fn the_first_of_two_overrides_holds() {
    let epoch = start();
    let overrides = [(["slow"], per_sec(1)), (["slow"], per_sec(50))];
    let buckets = ClientBuckets::new(None, None, overrides, epoch, [1, 2]);
    assert_eq!(passing(&buckets, Some("slow"), epoch), 1);
}

proptest! {
    /// Against one bucket for each, made by hand.
    #[test]
    fn buckets_agree_with_one_for_each(
        events in proptest::collection::vec((0usize..4, 0u64..80), 0..300),
    ) {
        let epoch = start();
        let machine = buckets(40, epoch);
        let all = TokenBucket::new(per_sec(40), epoch);
        let names = [Some("web"), Some("slow"), Some("other.emojivoto"), None];
        let each = [20, 10, 25, 20].map(|rate| TokenBucket::new(per_sec(rate), epoch));
        let mut now = epoch;
        for (client, wait) in events {
            now += ms(wait);
            let passes = all.try_take(now) == Admission::Pass
                && each[client].try_take(now) == Admission::Pass;
            prop_assert_eq!(machine.take(names[client], now).is_ok(), passes);
        }
    }
}
