use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use weft_model::backend::UpstreamTls;
use weft_model::calling::ProxyVersion;
use weft_net::BufferPool;
use weft_runtime::task;
use weft_testkit::{Certificates, Gate, Next, RawOrigin, Reserved, TcpOrigin};

use super::*;
use crate::testing::{ask_health, backend, check, local, with};

fn ask(backend: &PreparedBackend, check: &HealthCheck) -> Result<(), ProbeError> {
    local(ask_here(backend, check))
}

async fn ask_here(backend: &PreparedBackend, check: &HealthCheck) -> Result<(), ProbeError> {
    let buffers = Buffers::new(BufferPool::default());
    probe(&Asked::new(backend, check, backend.endpoints[0].addr, None), &buffers).await
}

fn get(statuses: &[(u16, u16)]) -> HealthCheck {
    let mut wanted = ask_health();
    if let Probe::Http { statuses: accepted, .. } = &mut wanted {
        *accepted = statuses.to_vec();
    }
    check(wanted)
}

#[test]
fn statuses() {
    let origin = RawOrigin::start("shop");
    let shop = backend("shop", &[origin.addr()]);
    for (status, statuses, passes) in [
        (200, &[][..], true),
        (302, &[], true),
        (404, &[], false),
        (503, &[], false),
        (404, &[(400, 404)], true),
        (200, &[(204, 204)], false),
    ] {
        origin.on_status("/health", status, "");
        let result = ask(&shop, &get(statuses));
        assert_eq!(result.is_ok(), passes, "{status} {statuses:?} {result:?}");
    }
}

#[test]
fn the_request_is_as_configured() {
    let origin = RawOrigin::start("shop");
    let shop = backend("shop", &[Reserved::forever()]);
    let mut check = check(Probe::Http {
        path: "/up?deep=1".into(),
        method: "HEAD".into(),
        host: Some("shop.example:8443".into()),
        headers: vec![("X-Probe".into(), "yes".into())],
        statuses: Vec::new(),
    });
    check.port = Some(origin.addr().port());
    ask(&shop, &check).unwrap();
    let requests = origin.requests_for("/up");
    let request = requests.first().expect("it came to the other port");
    assert_eq!((&*request.method, &*request.target), ("HEAD", "/up?deep=1"));
    assert_eq!(request.header("host"), Some("shop.example:8443"));
    assert_eq!(request.header("x-probe"), Some("yes"));
}

#[test]
fn without_a_host_the_address_is_sent() {
    let origin = RawOrigin::start("shop");
    origin.on_status("/health", 200, "");
    ask(&backend("shop", &[origin.addr()]), &get(&[])).unwrap();
    let host = origin.addr().to_string();
    assert_eq!(origin.requests_for("/health")[0].header("host"), Some(&*host));
}

#[test]
fn a_silent_endpoint_fails_in_time() {
    let origin = RawOrigin::start("shop");
    let gate = Gate::new();
    let held = gate.clone();
    origin.on("/health", move |x| {
        x.wait(&held);
        Ok(Next::Close)
    });
    let mut check = get(&[]);
    check.timeout = Duration::from_millis(50);
    let result = ask(&backend("shop", &[origin.addr()]), &check);
    gate.open();
    assert!(matches!(result, Err(ProbeError::Timeout)), "{result:?}");
}

#[test]
fn a_broken_answer_fails() {
    let origin = RawOrigin::start("shop");
    let shop = backend("shop", &[origin.addr()]);
    for answer in ["", "HTTP/1.1 200", "SSH-2.0-OpenSSH\r\n\r\n"] {
        origin.on_raw("/health", answer, Next::Close);
        let result = ask(&shop, &get(&[]));
        assert!(matches!(result, Err(ProbeError::Head(_))), "{answer:?} {result:?}");
    }
}

#[test]
fn tcp_needs_a_connection_only() {
    let origin = TcpOrigin::start("db");
    let tcp = check(Probe::Tcp);
    ask(&backend("db", &[origin.addr()]), &tcp).unwrap();
    let result = ask(&backend("db", &[Reserved::forever()]), &tcp);
    assert!(matches!(result, Err(ProbeError::Connect(ConnectError::Tcp(_)))), "{result:?}");
}

#[test]
fn tls_is_that_of_the_backend() {
    let authority = Certificates::new("authority");
    let leaf = authority.leaf(&["shop.example"]);
    let origin = RawOrigin::builder("shop").tls(&leaf).start();
    origin.on_status("/health", 200, "");
    let verified = |roots: &Certificates| {
        let tls = UpstreamTls {
            server_name: Some("shop.example".into()),
            roots_pem: Some(roots.pem().as_bytes().into()),
            ..UpstreamTls::default()
        };
        let mut shop = backend("shop", &[origin.addr()]);
        shop.tls = Some(Arc::new(ClientTls::build(&tls, Some(UpstreamProtocol::Auto)).unwrap()));
        ask(&shop, &get(&[]))
    };
    verified(&authority).unwrap();
    let result = verified(&Certificates::new("somebody else"));
    assert!(matches!(result, Err(ProbeError::Connect(ConnectError::Tls(_)))), "{result:?}");
}

#[test]
fn a_proxy_header_speaks_for_no_client() {
    let origin = TcpOrigin::start("behind");
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let wanted = &*behalf::header(Some(version), None);
        let shop = with(backend("shop", &[origin.addr()]), |settings| {
            Arc::make_mut(&mut settings.calling).proxy_protocol = Some(version);
        });
        // The origin greets, which is no HTTP.
        assert!(ask(&shop, &get(&[])).is_err());
        let header = weft_net::proxy_protocol::parse(wanted).unwrap();
        let weft_net::proxy_protocol::Parsed::Complete { consumed, header } = header else {
            panic!("{wanted:?} is no whole header");
        };
        assert_eq!((consumed, header.relayed), (wanted.len(), None));
        weft_testkit::wait::until_true("the header", || {
            origin.received().iter().any(|bytes| bytes.starts_with(wanted))
        });
    }
}

/// A server of the health protocol that answers every question with `status` in a message, or only
/// with a `grpc-status`.
async fn grpc_server(status: Result<u8, &'static str>) -> (std::net::SocketAddr, Question) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let asked = Question::default();
    let seen = asked.clone();
    task::spawn("grpc", async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut connection = h2::server::handshake(tcp).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let seen = seen.clone();
            task::spawn("grpc-stream", async move {
                let path = request.uri().path().to_owned();
                let mut body = request.into_body();
                while let Some(Ok(data)) = body.data().await {
                    seen.borrow_mut().1.extend_from_slice(&data);
                }
                seen.borrow_mut().0 = path;
                let head = http::Response::builder().header("content-type", "application/grpc");
                let trailer = |code: &str| {
                    let value = http::HeaderValue::from_str(code).unwrap();
                    http::HeaderMap::from_iter([(
                        http::HeaderName::from_static("grpc-status"),
                        value,
                    )])
                };
                match status {
                    Ok(status) => {
                        let head = head.body(()).unwrap();
                        let mut send = respond.send_response(head, false).unwrap();
                        let message = Bytes::from(vec![0, 0, 0, 0, 2, 0x08, status]);
                        send.send_data(message, false).unwrap();
                        send.send_trailers(trailer("0")).unwrap();
                    }
                    Err(code) => {
                        let head = head.header("grpc-status", code).body(()).unwrap();
                        respond.send_response(head, true).unwrap();
                    }
                }
            });
        }
    });
    (addr, asked)
}

/// Path and body of the last question.
type Question = std::rc::Rc<std::cell::RefCell<(String, Vec<u8>)>>;

#[test]
fn grpc_health_protocol() {
    let wanted = check(Probe::Grpc { service: "shop.Cart".into() });
    local(async {
        for (status, passes) in
            [(Ok(1), true), (Ok(0), false), (Ok(2), false), (Err("12"), false), (Err("0"), false)]
        {
            let (addr, asked) = grpc_server(status).await;
            let result = ask_here(&backend("shop", &[addr]), &wanted).await;
            assert_eq!(result.is_ok(), passes, "{status:?} {result:?}");
            let (path, body) = asked.take();
            assert_eq!(path, "/grpc.health.v1.Health/Check");
            assert_eq!(body, b"\0\0\0\0\x0b\x0a\x09shop.Cart");
        }
    });
}

#[test]
fn grpc_over_http1_fails() {
    let origin = RawOrigin::start("shop");
    let wanted = check(Probe::Grpc { service: "".into() });
    assert!(ask(&backend("shop", &[origin.addr()]), &wanted).is_err());
}

#[test]
fn messages_of_the_health_protocol() {
    assert_eq!(grpc_question(""), [0, 0, 0, 0, 0]);
    let long = grpc_question(&"s".repeat(200));
    assert_eq!(long[..8], [0, 0, 0, 0, 203, 0x0a, 0xc8, 0x01]);
    for (message, status) in [
        (&b""[..], Some(0)),
        (b"\x08\x01", Some(1)),
        (b"\x08\x02\x08\x01", Some(1)),
        (b"\x12\x02ab\x08\x01", Some(1)),
        (b"\x08\x81\x01", Some(129)),
        (b"\x08", None),
        (b"\x12\x7fab", None),
        (b"\x0b", None),
        (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", None),
    ] {
        assert_eq!(serving_status(message), status, "{message:?}");
    }
}
