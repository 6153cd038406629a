//! Who speaks what is found out without anybody having to wait.

use tokio::io::AsyncWriteExt as _;
use weft_model::mesh::Protocol;

use super::super::harness::{
    Client, Destined, Http, Origin, Proxy, TcpApp, endpoint, read_exactly, run_bounded, service,
    until,
};
use super::{PAYMENTS, PAYMENTS_ADDR, authority};

async fn plain(app: std::net::SocketAddr) -> Proxy {
    Proxy::start(&authority(), "front", &[payments(app)], &[]).await
}

fn payments(app: std::net::SocketAddr) -> Destined {
    service(PAYMENTS, PAYMENTS_ADDR, Protocol::Detect, &[endpoint(app, None)])
}

/// How many detections took longer than a second, which nothing here should.
fn slow(proxy: &Proxy) -> f64 {
    let series = |le| {
        proxy.metric(&format!(
            "weftway_protocol_detection_duration_seconds_bucket{{direction=\"outbound\",le=\"{le}\"}}"
        ))
    };
    series("+Inf") - series("1")
}

#[test]
fn a_server_that_speaks_first_is_not_waited_for() {
    run_bounded(async {
        let app = TcpApp::start("5.7.0-mysql").await;
        let ours = plain(app.addr).await;
        for _ in 0..3 {
            let mut stream = ours.dial(PAYMENTS_ADDR).await;
            assert_eq!(read_exactly(&mut stream, 11).await, "5.7.0-mysql");
        }
        assert_eq!(ours.detected("outbound", "tcp_server_first"), 3.0);
        assert_eq!(slow(&ours), 0.0);
    });
}

#[test]
fn a_server_of_requests_is_dialled_early_once() {
    run_bounded(async {
        let app = Origin::echo(Http::One).await;
        let ours = plain(app.addr).await;
        for calls in 1..=3 {
            let mut client = Client::over(Http::One, ours.dial(PAYMENTS_ADDR).await).await;
            assert_eq!(client.get("/").await.status, 200);
            assert_eq!(ours.detected("outbound", "http1"), f64::from(calls));
        }
        // The early one, and the one that all requests went by.
        assert!(app.connections() <= 2, "{}", app.connections());
    });
}

#[test]
fn a_server_of_http2_that_begins_gets_requests() {
    run_bounded(async {
        // SETTINGS leave it as soon as it has accepted.
        let app = Origin::echo(Http::Two).await;
        let ours = plain(app.addr).await;
        let stream = ours.dial(PAYMENTS_ADDR).await;
        until("the early connection", || app.connections() == 1).await;
        // While another is served, they arrive.
        for stream in [ours.dial(PAYMENTS_ADDR).await, stream] {
            let mut client = Client::over(Http::Two, stream).await;
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(ours.detected("outbound", "http2"), 2.0);
        let route =
            format!("weftway_requests_total{{route=\"outbound/{PAYMENTS}\",status=\"2xx\"}}");
        assert_eq!(ours.metric(&route), 2.0);
    });
}

#[test]
fn what_was_learned_wrongly_is_learned_again() {
    run_bounded(async {
        let web = Origin::echo(Http::One).await;
        let mail = TcpApp::start("220 ready\r\n").await;
        let mut ours = plain(web.addr).await;
        let mut client = Client::over(Http::One, ours.dial(PAYMENTS_ADDR).await).await;
        assert_eq!(client.get("/").await.status, 200);
        // Now it is a mail server, whose clients wait.
        ours.apply(2, &[payments(mail.addr)], &[]).await;
        let greeted = "220 ready\r\n";
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        assert_eq!(read_exactly(&mut stream, greeted.len()).await, greeted);
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        assert_eq!(read_exactly(&mut stream, greeted.len()).await, greeted);
        assert_eq!(ours.detected("outbound", "tcp_server_first"), 2.0);
        // And a web server again.
        ours.apply(3, &[payments(web.addr)], &[]).await;
        let mut client = Client::over(Http::One, ours.dial(PAYMENTS_ADDR).await).await;
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(ours.detected("outbound", "http1"), 2.0);
    });
}

#[test]
fn the_first_bytes_of_a_client_tell() {
    let check = |bytes: &'static [u8], outcome: &'static str| {
        run_bounded(async move {
            let app = TcpApp::start("").await;
            let ours = plain(app.addr).await;
            let mut stream = ours.dial(PAYMENTS_ADDR).await;
            // In two parts, of which the first could be many things.
            stream.write_all(&bytes[..1]).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(&bytes[1..]).await.unwrap();
            until(outcome, || ours.detected("outbound", outcome) == 1.0).await;
            if outcome.starts_with("tcp") {
                until("the bytes", || app.seen() == bytes).await;
            }
        });
    };
    check(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "http1");
    check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2");
    check(b"*1\r\n$4\r\nPING\r\n", "tcp_client_first");
    check(b"\x00\x00\x00\x08\x04\xd2\x16\x2f", "tcp_client_first");
    check(b"HELO mail.example\r\n", "tcp_client_first");
    check(b"GETEX key\r\n", "tcp_client_first");
}

#[test]
fn a_few_bytes_that_stop_are_passed_on_unless_they_may_become_a_request() {
    run_bounded(async {
        let app = TcpApp::start("").await;
        let ours = plain(app.addr).await;
        let mut opcode = ours.dial(PAYMENTS_ADDR).await;
        opcode.write_all(b"x").await.unwrap();
        assert_eq!(read_exactly(&mut opcode, 1).await, "x");
        let mut request = ours.dial(PAYMENTS_ADDR).await;
        request.write_all(b"GE").await.unwrap();
        let answer = "HTTP/1.1 408 ";
        assert_eq!(read_exactly(&mut request, answer.len()).await, answer);
        assert_eq!(app.seen(), b"x");
    });
}

#[test]
fn a_client_that_says_nothing_and_listens_is_heard_out() {
    run_bounded(async {
        use tokio::io::AsyncReadExt as _;
        let app = TcpApp::start("").await;
        let ours = plain(app.addr).await;
        let mut stream = ours.dial(PAYMENTS_ADDR).await;
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(app.connections(), 1);
    });
}
