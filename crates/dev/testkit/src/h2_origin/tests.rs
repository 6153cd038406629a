use super::*;
use crate::{Certificates, H2Client, H2Request, TlsDial};

#[test]
fn echoes_over_both_kinds_of_connection() {
    let plain = H2Origin::start("one");
    let client = H2Client::connect(plain.addr());
    let echo = client.request(H2Request::post("a.test", "/x?y", "abc").trailer("sum", "3")).echo();
    assert_eq!((&*echo.backend, &*echo.target, &*echo.host), ("one", "/x?y", "a.test"));
    assert_eq!(echo.body.as_deref(), Some("abc"));
    assert_eq!(echo.trailers, [("sum".to_owned(), "3".to_owned())]);

    let authority = Certificates::new("test");
    let tls = H2Origin::start_tls("two", &authority.leaf(&["a.test"]));
    let dial = TlsDial::http1("a.test", authority.roots());
    let client = H2Client::connect_tls(tls.addr(), &dial);
    assert_eq!(client.get("a.test", "/").echo().backend, "two");
}

#[test]
fn serves_grpc_of_all_kinds() {
    let origin = H2Origin::start("one");
    let client = H2Client::connect(origin.addr());
    for (method, sent, expected) in [
        ("Unary", vec!["a"], vec!["a"]),
        ("ServerStream", vec!["a"], vec!["a 1", "a 2", "a 3"]),
        ("ClientStream", vec!["a", "b"], vec!["a,b"]),
        ("Bidi", vec!["a", "b"], vec!["a", "b"]),
    ] {
        let reply = client.grpc("a.test", &format!("/weft.test.Echo/{method}"), &sent);
        assert_eq!((reply.status, reply.has_trailers), (Some(0), true), "{method}");
        let expected: Vec<Vec<u8>> = expected.into_iter().map(|text| text.into()).collect();
        assert_eq!(reply.messages, expected, "{method}");
    }
    let reply = client.grpc("a.test", "/weft.test.Echo/Fail", &[]);
    assert_eq!((reply.status, reply.has_trailers), (Some(7), false));
}

#[test]
fn notices_a_client_that_gives_up() {
    let origin = H2Origin::start("one");
    let client = H2Client::connect(origin.addr());
    let stream = client.open(H2Request::grpc("a.test", "/weft.test.Echo/Hang"));
    origin.wait_for("the stream", |streams| streams.len() == 1);
    stream.reset();
    origin.wait_for("the reset", |streams| streams[0].is_reset);
}
