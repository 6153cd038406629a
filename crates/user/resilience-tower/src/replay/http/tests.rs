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
    let (hedged, _) = replay.keep(first);
    assert_eq!(tried(&hedged), [7]);
}
