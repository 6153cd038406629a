use ::http::HeaderValue;
use bytes::Bytes;
use http_body_util::Full;

use super::*;

fn request(method: &str, fields: &[(HeaderName, &'static str)]) -> Request<Full<Bytes>> {
    let mut req = Request::new(Full::default());
    *req.method_mut() = method.parse().unwrap();
    for (name, value) in fields {
        req.headers_mut().insert(name.clone(), HeaderValue::from_static(value));
    }
    req
}

#[test]
fn only_requests_that_are_safe_to_repeat_are_repeated() {
    let check = |replay: HttpReplay, method, fields: &[(HeaderName, &'static str)], expected| {
        let (_, kept) = replay.keep(request(method, fields));
        assert_eq!(kept.err(), expected, "{method} {fields:?}");
    };
    let default = HttpReplay::new();
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        check(default, method, &[], None);
    }
    for method in ["POST", "PATCH", "CONNECT", "LOCK"] {
        check(default, method, &[], Some(Stop::NotRepeatable));
    }
    check(default.any_method(), "POST", &[], None);
    check(default, "POST", &[(IDEMPOTENCY_KEY, "7")], None);
    check(default, "GET", &[(hop::ATTEMPT, "1")], None);
    check(default, "GET", &[(hop::ATTEMPT, "2")], Some(Stop::RetryOfRetry));
}

/// Endpoints that attempts went to.
fn tried<B>(req: &Request<B>) -> Vec<u64> {
    req.extensions().get::<Tried>().unwrap().with(<[u64]>::to_vec)
}

#[test]
fn a_body_that_cannot_be_copied_is_sent_once() {
    let copies = std::cell::Cell::new(2);
    let replay = HttpReplay::new().cloned_by(|body: &Full<Bytes>| {
        copies.set(copies.get() - 1);
        (copies.get() > 0).then(|| body.clone())
    });
    // The first copy is made, the second is not; then not even a first.
    let (_, kept) = replay.keep(request("GET", &[]));
    assert!(replay.again(&kept.unwrap()).is_none());
    let (req, kept) = replay.keep(request("GET", &[(hop::ATTEMPT, "1")]));
    assert_eq!(kept.err(), Some(Stop::NotRepeatable));
    assert_eq!(req.headers()[hop::ATTEMPT], "1");
}

#[test]
fn attempts_carry_their_number_and_share_what_was_tried() {
    let replay = HttpReplay::new();
    let (mut first, kept) = replay.keep(request("GET", &[]));
    let mut second = replay.again(kept.as_ref().unwrap()).unwrap();
    replay.number(&mut first, 1);
    replay.number(&mut second, 2);
    assert_eq!(first.headers()[hop::ATTEMPT], "1");
    assert_eq!(second.headers()[hop::ATTEMPT], "2");

    first.extensions().get::<Tried>().unwrap().add(7);
    assert_eq!(tried(&second), [7]);
    // A hedge inside of a retry goes on with the same list.
    let (hedged, _) = replay.keep_beside(first);
    assert_eq!(tried(&hedged), [7]);
}

#[test]
fn an_attempt_may_be_sent_twice_at_one_time_but_is_not_retried_itself() {
    let replay = HttpReplay::new();
    let (_, kept) = replay.keep(request("GET", &[]));
    let second = || {
        let mut second = replay.again(kept.as_ref().unwrap()).unwrap();
        replay.number(&mut second, 2);
        second
    };
    assert_eq!(replay.keep_beside(second()).1.err(), None);
    assert_eq!(replay.keep(second()).1.err(), Some(Stop::RetryOfRetry));
    // What another caller has numbered is neither.
    let foreign = || request("GET", &[(hop::ATTEMPT, "2")]);
    assert_eq!(replay.keep_beside(foreign()).1.err(), Some(Stop::RetryOfRetry));
    let post = || request("POST", &[]);
    assert_eq!(replay.keep_beside(post()).1.err(), Some(Stop::NotRepeatable));
    assert_eq!(replay.any_method().keep_beside(post()).1.err(), None);
}

#[cfg(feature = "tonic")]
#[test]
fn attempts_of_grpc_are_told_apart_in_the_same_way() {
    use tonic::body::Body;

    use crate::replay::GrpcReplay;

    let replay = GrpcReplay::new();
    let (_, kept) = replay.keep(Request::post("/").body(Body::empty()).unwrap());
    let second = || {
        let mut second = replay.again(kept.as_ref().unwrap()).unwrap();
        replay.number(&mut second, 2);
        second
    };
    assert_eq!(replay.keep_beside(second()).1.err(), None);
    assert_eq!(replay.keep(second()).1.err(), Some(Stop::RetryOfRetry));
    let foreign = Request::post("/").header(hop::ATTEMPT, "2").body(Body::empty()).unwrap();
    assert_eq!(replay.keep_beside(foreign).1.err(), Some(Stop::RetryOfRetry));
}
