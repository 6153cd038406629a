use http::header::RETRY_AFTER;

use super::*;
use crate::tests::{ms, secs};

fn fields(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

#[test]
fn the_attempt_is_read_from_either_field() {
    let check = |pairs: &[(HeaderName, &'static str)], attempt| {
        let hop = Hop::of(&fields(pairs));
        assert_eq!((hop.attempt(), hop.is_retry()), (attempt, attempt > 1), "{pairs:?}");
    };
    check(&[], 1);
    check(&[(ATTEMPT, "1")], 1);
    check(&[(ATTEMPT, " 3 ")], 3);
    check(&[(ATTEMPT, "0")], 1);
    check(&[(ATTEMPT, "many")], 1);
    check(&[(PREVIOUS_ATTEMPTS, "1")], 2);
    check(&[(ATTEMPT, "2"), (PREVIOUS_ATTEMPTS, "4294967295")], u32::MAX);
}

#[test]
fn an_answer_forbids_retries_by_either_field() {
    let check = |pairs: &[(HeaderName, &'static str)], forbids| {
        assert_eq!(forbids_retry(&fields(pairs)), forbids, "{pairs:?}");
        let mut answer = HeaderMap::new();
        pass_back(&fields(pairs), &mut answer);
        assert_eq!(forbids_retry(&answer), forbids, "{pairs:?} passed back");
    };
    check(&[], false);
    check(&[(RETRIED, "1")], true);
    check(&[(PUSHBACK, "250")], false);
    check(&[(PUSHBACK, "-1")], true);
    check(&[(PUSHBACK, "soon")], true);
    check(&[(RETRY_AFTER, "3")], false);
    check(&[(RETRY_AFTER, "soon")], true);
}

#[tokio::test(start_paused = true)]
async fn the_time_left_is_read_from_either_field_and_shrinks() {
    let check = async |pairs: &[(HeaderName, &'static str)], expected: Option<Duration>| {
        let hop = Hop::of(&fields(pairs));
        tokio::time::advance(ms(400)).await;
        assert_eq!(hop.time_left(), expected, "{pairs:?}");
    };
    check(&[], None).await;
    check(&[(EXPECTED_TIMEOUT, "1000")], Some(ms(600))).await;
    check(&[(EXPECTED_TIMEOUT, "300")], Some(ms(0))).await;
    check(&[(EXPECTED_TIMEOUT, "0")], None).await;
    check(&[(EXPECTED_TIMEOUT, "1000"), (GRPC_TIMEOUT, "700m")], Some(ms(300))).await;
    check(&[(GRPC_TIMEOUT, "2S")], Some(ms(1_600))).await;
    check(&[(GRPC_TIMEOUT, "1M")], Some(secs(60) - ms(400))).await;
    check(&[(GRPC_TIMEOUT, "1H")], Some(secs(3_600) - ms(400))).await;
    check(&[(GRPC_TIMEOUT, "500000u")], Some(ms(100))).await;
    check(&[(GRPC_TIMEOUT, "99999999n")], Some(ms(0))).await;
    for wrong in ["", "S", "1", "1X", "123456789m", "-1S", "1.5S", "+1S"] {
        check(&[(GRPC_TIMEOUT, wrong)], None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_left_is_handed_on_and_never_grows() {
    let check = async |inbound: &[_], own: &[_], expected: &[(HeaderName, &'static str)]| {
        let hop = Hop::of(&fields(inbound));
        tokio::time::advance(ms(400)).await;
        let mut outbound = fields(own);
        hop.carry(&mut outbound);
        outbound.remove(ATTEMPT);
        assert_eq!(outbound, fields(expected), "{inbound:?} {own:?}");
    };
    let expected = |value| (EXPECTED_TIMEOUT, value);
    let grpc = |value| (GRPC_TIMEOUT, value);
    check(&[], &[], &[]).await;
    check(&[expected("1000")], &[], &[expected("600")]).await;
    check(&[expected("100")], &[], &[expected("1")]).await;
    check(&[expected("1000")], &[expected("250")], &[expected("250")]).await;
    check(&[expected("1000")], &[expected("5000")], &[expected("600")]).await;
    check(&[grpc("1S")], &[], &[expected("600"), grpc("600m")]).await;
    check(&[expected("1000")], &[grpc("5S")], &[expected("600"), grpc("600m")]).await;
    check(&[grpc("99999999S")], &[], &[expected("99999998600"), grpc("99999998S")]).await;
}
