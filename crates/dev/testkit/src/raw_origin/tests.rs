use super::*;
use crate::{RawClient, TlsDial};

#[test]
fn echoes_what_it_got() {
    let origin = RawOrigin::start("one");
    let mut client = RawClient::connect(origin.addr());
    let head = "POST /a?b=c HTTP/1.1\r\nHost: x\r\nA: 1\r\na: 2\r\nContent-Length: 3\r\n\r\n";
    let echo = client.request(format!("{head}abc")).echo();
    assert_eq!((&*echo.backend, &*echo.target, &*echo.host), ("one", "/a?b=c", "x"));
    assert_eq!(echo.headers_named("a").collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(echo.body.as_deref(), Some("abc"));
    let [request] = &origin.requests()[..] else { panic!("one request") };
    assert_eq!(request.head_text(), head);
    assert_eq!(origin.connections()[0].bytes, format!("{head}abc").into_bytes());
}

#[test]
fn reads_chunks_and_trailers() {
    let origin = RawOrigin::start("one");
    let mut client = RawClient::connect(origin.addr());
    let echo = client
        .request(
            "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n\
             2\r\nde\r\n0\r\nSum: 5\r\n\r\n",
        )
        .echo();
    assert_eq!(echo.body.as_deref(), Some("abcde"));
    assert_eq!(echo.trailers, [("Sum".to_owned(), "5".to_owned())]);
}

#[test]
fn follows_a_script() {
    let origin = RawOrigin::start("one");
    origin.on_raw(
        "/raw",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nT: v\r\n\r\n",
        Next::Close,
    );
    let mut client = RawClient::connect(origin.addr());
    let response = client.request("GET /raw HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((response.status, &*response.body), (200, &b"x"[..]));
    assert_eq!(response.trailers, [("T".to_owned(), "v".to_owned())]);
    assert!(client.closed().is_empty());
    origin.wait_for("the end", |_, connections| connections[0].is_closed);
}

#[test]
fn closes_when_idle() {
    let origin = RawOrigin::builder("one").idle_close(Duration::from_millis(20)).start();
    let mut client = RawClient::connect(origin.addr());
    client.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").echo();
    assert!(client.closed().is_empty());
    assert!(!origin.connections()[0].closed_by_peer);
}

#[test]
fn a_reset_is_one() {
    let origin = RawOrigin::start("one");
    origin.on("/reset", |_| Ok(Next::Reset));
    let mut client = RawClient::connect(origin.addr());
    client.send("GET /reset HTTP/1.1\r\nHost: x\r\n\r\n");
    let error = client.try_response(false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn speaks_tls_and_names_the_server() {
    let authority = crate::Certificates::new("test");
    let origin = RawOrigin::builder("one").tls(&authority.leaf(&["a.test"])).start();
    let dial = TlsDial::http1("a.test", authority.roots());
    let mut client = RawClient::connect_tls(origin.addr(), &dial);
    client.request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
    assert_eq!(origin.connections()[0].server_name.as_deref(), Some("a.test"));
    let wrong = TlsDial::http1("b.test", authority.roots());
    assert!(RawClient::try_connect_tls(origin.addr(), &wrong).is_err());
}

#[test]
fn upgrades_to_an_echo() {
    let origin = RawOrigin::start("one");
    origin.on("/ws", |x| x.upgrade_and_echo("websocket"));
    let mut client = RawClient::connect(origin.addr());
    let response = client.request(
        "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly",
    );
    assert_eq!(response.status, 101);
    assert_eq!(client.read_exact(5).unwrap(), b"early");
    client.send("late");
    assert_eq!(client.read_exact(4).unwrap(), b"late");
}
