//! Steps that hold or replace bodies, and connections that become another protocol's.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_message::ResponseHead;
use weft_message::h1::BodyFraming;
use weft_model::id::RouteId;
use weft_model::policy::{Buffering, Coding, Compress, ErrorPages, StepKind};
use weft_model::route::{Origin as Place, Rank, TcpMatcher, TcpRoute, TcpTls};
use weft_resilience::settings::OutlierSettings;
use weft_runtime::{task, time};

use super::harness::{
    Begun, Client, Http, Origin, SPOOL_BYTES_MAX, Setup, backend, backend_target, begin, finish,
    make_time_fly, matrix, pattern, reply, run, until,
};

const BUFFERING: Buffering = Buffering {
    request_bytes_max: Some(100_000),
    response_bytes_max: Some(100_000),
    request_memory_bytes: 1 << 20,
    response_memory_bytes: 1 << 20,
    retry: None,
};

#[test]
fn buffered_bodies_pass_within_their_bounds() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway =
            Setup::new(up, &[origin.addr]).step(StepKind::Buffering(BUFFERING)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = pattern(100_000);
        let answer = client.send("POST", "/", &body).await;
        assert!(answer.status == 200 && answer.body == body, "{down:?} to {up:?}");
        assert_eq!(answer.framing, BodyFraming::Length(100_000), "its length is known now");
        // In chunks, the bound is met when it is passed.
        let mut call = client.begin("POST", "/", &[], BodyFraming::Chunked).await;
        call.send(&pattern(100_001)).await;
        call.finish(None).await;
        let (head, ..) = call.head().await.expect("there is an answer");
        assert_eq!(head.status(), 413, "{down:?} to {up:?}");
        assert_eq!(gateway.reached("body_bytes"), 1.0);
        // A client that waits is told to go on before its body is held.
        let mut client = Client::connect(down, gateway.addr).await;
        let expect = [("expect", "100-continue")];
        let mut call = client.begin("POST", "/", &expect, BodyFraming::Length(4)).await;
        let (mut head, limits) = (ResponseHead::default(), weft_message::HeadLimits::DEFAULT);
        let method = weft_message::Method::Post;
        poll_fn(|cx| match &mut call.leg {
            weft_http::Leg::H1(conn) => {
                conn.poll_response(cx, &limits, &method, &mut head).map(drop)
            }
            weft_http::Leg::H2(stream) => stream.poll_interim(cx, &limits, &mut head).map(drop),
        })
        .await;
        assert_eq!(head.status(), 100);
        assert_eq!(origin.requests().len(), 1, "nothing goes on before the body is there");
        call.send(b"body").await;
        call.finish(None).await;
        assert_eq!(client.answer(call).await.body, b"body");
        assert_eq!(origin.field(1, "expect"), None);
    });
}

#[test]
fn buffered_bodies_beyond_their_memory_go_to_a_file() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let little =
            Buffering { request_memory_bytes: 1_000, response_memory_bytes: 1_000, ..BUFFERING };
        let gateway =
            Setup::new(up, &[origin.addr]).step(StepKind::Buffering(little)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        for (length, files) in [(1_000, 0.0), (1_001, 2.0), (100_000, 4.0)] {
            let body = pattern(length);
            let answer = client.send("POST", "/", &body).await;
            assert!(answer.status == 200 && answer.body == body, "{length}, {down:?} to {up:?}");
            assert_eq!(gateway.metric("weftway_spool_files_total"), files, "{length}");
        }
        gateway.until_idle().await;
        until("the end of the files", || gateway.metric("weftway_spool_bytes") == 0.0).await;
        // A client that leaves in the middle takes its file with it.
        let mut call = client.begin("POST", "/", &[], BodyFraming::Length(50_000)).await;
        call.send(&pattern(40_000)).await;
        until("a file", || gateway.metric("weftway_spool_bytes") > 0.0).await;
        drop((call, client));
        until("the end of the file", || gateway.metric("weftway_spool_bytes") == 0.0).await;
    });
}

#[test]
fn a_body_for_which_there_is_no_room_is_refused() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let unbounded =
            Buffering { request_bytes_max: None, request_memory_bytes: 1_000, ..BUFFERING };
        let gateway =
            Setup::new(up, &[origin.addr]).step(StepKind::Buffering(unbounded)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = pattern(SPOOL_BYTES_MAX as usize + 2_000);
        let mut call = client.begin("POST", "/", &[], BodyFraming::Chunked).await;
        let mut answer = std::pin::pin!(async {
            for piece in body.chunks(64 << 10) {
                call.send(piece).await;
            }
            call.head().await.expect("there is an answer").0.status()
        });
        assert_eq!(answer.as_mut().await, 503, "{down:?} to {up:?}");
        assert_eq!(gateway.failures("no_room"), 1.0);
        assert_eq!(gateway.metric("weftway_spool_refused_total"), 1.0);
        until("the end of the file", || gateway.metric("weftway_spool_bytes") == 0.0).await;
        assert!(origin.requests().is_empty());
    });
}

#[test]
fn buffered_answers_to_head_keep_their_length() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let _origin = task::spawn("origin", async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("it accepts");
                let _ = stream.read(&mut [0; 1 << 10]).await.expect("it is read");
                let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n";
                stream.write_all(wire).await.expect("it is sent");
            }
        });
        let gateway =
            Setup::new(Http::One, &[addr]).step(StepKind::Buffering(BUFFERING)).start().await;
        let mut client = Client::connect(Http::One, gateway.addr).await;
        let answer = client.send("HEAD", "/", b"").await;
        assert_eq!(answer.declared, BodyFraming::Length(1234));
    });
}

#[test]
fn a_buffered_answer_that_breaks_counts_against_its_endpoint() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { head, mut leg, .. } = begun;
            let is_large = head.path() == "/large";
            let length = if is_large { 100_001 } else { 10 };
            let mut head = ResponseHead::default();
            head.set_status(200);
            begin(&mut leg, &mut head, BodyFraming::Length(length));
            let body = pattern(if is_large { 100_001 } else { 5 });
            let mut sent = 0;
            while sent < body.len() {
                sent += poll_fn(|cx| leg.poll_send(cx, &body[sent..])).await.ok()?;
            }
            poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
            None
        })
        .await;
        let outlier = OutlierSettings {
            consecutive: Some(1),
            ejected_ratio_max: 1.0,
            ..OutlierSettings::NONE
        };
        let gateway = Setup::new(up, &[origin.addr])
            .calling(|calling| calling.outlier = Some(outlier))
            .step(StepKind::Buffering(BUFFERING))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let ejections = "weftway_upstream_ejections_total{backend=\"one\",trigger=\"consecutive\"}";
        // What is too large for us is as it should be for all others.
        for _ in 0..2 {
            assert_eq!(client.get("/large").await.status, 500, "{down:?} to {up:?}");
        }
        assert_eq!(gateway.metric(ejections), 0.0, "{down:?} to {up:?}");
        assert_eq!(client.get("/broken").await.status, 502, "{down:?} to {up:?}");
        assert_eq!(gateway.metric(ejections), 1.0, "{down:?} to {up:?}");
    });
}

#[test]
fn a_client_that_leaves_ends_a_buffered_answer_too() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { mut leg, .. } = begun;
            let mut head = ResponseHead::default();
            head.set_status(200);
            begin(&mut leg, &mut head, BodyFraming::Chunked);
            poll_fn(|cx| leg.poll_send(cx, b"part")).await.ok()?;
            poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
            poll_fn(|cx| leg.poll_gone(cx)).await;
            None
        })
        .await;
        let gateway =
            Setup::new(up, &[origin.addr]).step(StepKind::Buffering(BUFFERING)).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let call = client.begin("GET", "/", &[], BodyFraming::None).await;
        until("the request", || origin.requests().len() == 1).await;
        drop((call, client));
        gateway.until_idle().await;
    });
}

#[test]
fn error_pages_replace_answers_or_leave_them_as_they_are() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let status = if begun.head.path() == "/bad" { 500 } else { 200 };
            reply(begun.leg, status, b"the original").await
        })
        .await;
        let pages = Origin::start(up, |begun| async move {
            let path = begun.head.path_and_query().to_owned();
            if path.starts_with("/pages/500") {
                return reply(begun.leg, 200, path.as_bytes()).await;
            }
            None
        })
        .await;
        let step = |query: &str| {
            StepKind::Errors(Box::new(ErrorPages {
                statuses: vec![(500, 599)],
                rewrites: Vec::new(),
                target: backend_target("pages"),
                query: query.into(),
                request_headers: None,
            }))
        };
        for (query, body) in
            [("/pages/{status}", &b"/pages/500"[..]), ("/nowhere/{status}", b"the original")]
        {
            let gateway = Setup::new(up, &[origin.addr])
                .backend(backend("pages", up, &[pages.addr]))
                .step(step(query))
                .start()
                .await;
            let mut client = Client::connect(down, gateway.addr).await;
            let answer = client.get("/bad").await;
            assert_eq!((answer.status, &answer.body[..]), (500, body), "{down:?} to {up:?}");
            assert_eq!(client.get("/").await.body, b"the original");
            gateway.until_idle().await;
        }
    });
}

#[test]
fn compressed_answers_stream() {
    for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
        matrix(|down, up| async move {
            let origin = Origin::start(up, |begun| async move {
                let Begun { mut leg, .. } = begun;
                let mut head = ResponseHead::default();
                head.set_status(200);
                head.fields.append("content-type", b"text/plain").expect("valid");
                begin(&mut leg, &mut head, BodyFraming::Chunked);
                poll_fn(|cx| leg.poll_send(cx, b"event 1")).await.ok()?;
                poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
                // The client has the first part before there is a second.
                poll_fn(|cx| leg.poll_gone(cx)).await;
                None
            })
            .await;
            let compress = Compress {
                codings: vec![coding],
                default: None,
                body_bytes_min: 0,
                excluded_types: Vec::new(),
                included_types: Vec::new(),
            };
            let gateway =
                Setup::new(up, &[origin.addr]).step(StepKind::Compress(compress)).start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let accept = [("accept-encoding", "gzip, br, zstd")];
            let mut call = client.begin("GET", "/", &accept, BodyFraming::None).await;
            let (head, ..) = call.head().await.expect("there is an answer");
            assert!(head.fields.contains("content-encoding"), "{coding:?}");
            let event = poll_fn(|cx| call.leg.poll_body(cx)).await.expect("it is read");
            assert_eq!(event, weft_http::BodyEvent::Data);
            drop((call, client));
            gateway.until_idle().await;
        });
    }
}

/// Accepts one connection and gives it, with what came on it until `end`.
async fn accept(listener: &TcpListener, end: &str) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.expect("it accepts");
    stream.set_nodelay(true).expect("it is open");
    let text = read_until(&mut stream, end).await;
    (stream, text)
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut byte = [0];
        let count = stream.read(&mut byte).await.expect("it is read");
        assert!(count > 0, "it ended after {text:?}");
        text.push(char::from(byte[0]));
    }
    text
}

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[test]
fn an_upgraded_connection_carries_bytes_both_ways_early_ones_too() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let gateway = Setup::new(Http::One, &[addr]).start().await;
        let mut client = TcpStream::connect(gateway.addr).await.expect("it accepts");
        client.set_nodelay(true).expect("it is open");
        client.write_all(UPGRADE.as_bytes()).await.expect("it is sent");
        let (mut server, head) = accept(&listener, "\r\n\r\n").await;
        assert!(head.to_lowercase().contains("upgrade: websocket\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                      Upgrade: websocket\r\n\r\nearly from the server";
        server.write_all(answer.as_bytes()).await.expect("it is sent");
        let head = read_until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(read_until(&mut client, "server").await, "early from the server");
        client.write_all(b"from the client").await.expect("it is sent");
        assert_eq!(read_until(&mut server, "client").await, "from the client");
        // One side ends; the other may go on.
        client.shutdown().await.expect("it is open");
        assert_eq!(server.read(&mut [0]).await.expect("it is read"), 0);
        server.write_all(b"late").await.expect("it is sent");
        drop(server);
        let mut rest = String::new();
        client.read_to_string(&mut rest).await.expect("it is read");
        assert_eq!(rest, "late");
        gateway.until_idle().await;
        gateway.until_closed().await;
    });
}

#[test]
fn a_refused_upgrade_stays_http() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        let mut client = TcpStream::connect(gateway.addr).await.expect("it accepts");
        // What follows is a request like any other.
        let wire = format!("{UPGRADE}GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        client.write_all(wire.as_bytes()).await.expect("it is sent");
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("it is read");
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
        assert_eq!(origin.requests(), ["GET /ws", "GET /next"]);
        // HTTP/2 by way of an upgrade would be requests that nobody looks at.
        for protocols in ["h2c", "websocket, H2C"] {
            let wire = format!(
                "GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings, close\r\n\
                 Upgrade: {protocols}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
            );
            let mut client = TcpStream::connect(gateway.addr).await.expect("it accepts");
            client.write_all(wire.as_bytes()).await.expect("it is sent");
            let mut text = String::new();
            client.read_to_string(&mut text).await.expect("it is read");
            assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
            let last = origin.requests().len() - 1;
            assert_eq!(origin.field(last, "upgrade"), None, "{protocols}");
        }
    });
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_refused() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let gateway = Setup::new(Http::One, &[addr]).start().await;
        for request in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            // Whose body has not come whole, so that bytes of it could be taken for the protocol's.
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\
             Content-Length: 5\r\n\r\n",
        ] {
            let mut client = TcpStream::connect(gateway.addr).await.expect("it accepts");
            client.write_all(request.as_bytes()).await.expect("it is sent");
            let (mut server, _) = accept(&listener, "\r\n\r\n").await;
            let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                          Upgrade: x\r\n\r\n";
            server.write_all(answer.as_bytes()).await.expect("it is sent");
            let head = read_until(&mut client, "\r\n\r\n").await;
            assert!(head.starts_with("HTTP/1.1 502 "), "{request:?} gave {head}");
        }
    });
}

#[test]
fn an_upstream_that_goes_on_after_its_answer_harms_nobody() {
    for wire in [
        "HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\
         \r\nevil",
    ] {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
            let addr = listener.local_addr().expect("it is bound");
            let _origin = task::spawn("origin", async move {
                loop {
                    let (mut stream, _) = accept(&listener, "\r\n\r\n").await;
                    stream.write_all(wire.as_bytes()).await.expect("it is sent");
                    task::spawn("held", async move {
                        time::sleep(Duration::from_secs(5)).await;
                        drop(stream);
                    });
                }
            });
            let gateway = Setup::new(Http::One, &[addr]).start().await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            for _ in 0..3 {
                let answer = client.get("/").await;
                assert!(!answer.body.windows(4).any(|four| four == b"evil"), "{wire:?}");
            }
        });
    }
}

#[test]
fn an_http2_upstream_whose_304_has_a_body_harms_nobody() {
    for down in [Http::One, Http::Two] {
        run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
            let addr = listener.local_addr().expect("it is bound");
            let _origin = task::spawn("origin", async move {
                let (stream, _) = listener.accept().await.expect("it accepts");
                let mut server = h2::server::handshake(stream).await.expect("it speaks HTTP/2");
                while let Some(Ok((request, mut respond))) = server.accept().await {
                    let status = if request.uri().path() == "/304" { 304 } else { 200 };
                    let head = http::Response::builder().status(status).body(()).expect("valid");
                    let mut body = respond.send_response(head, false).expect("it is sent");
                    let data = bytes::Bytes::from_static(b"HTTP/1.1 200 OK\r\n\r\n");
                    body.send_data(data, true).expect("it is sent");
                }
            });
            let gateway = Setup::new(Http::Two, &[addr]).start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("GET", "/304", &[], BodyFraming::None).await;
            match call.answer().await {
                Ok(answer) => {
                    assert_eq!((answer.status, answer.body.len()), (304, 0));
                    if down == Http::One {
                        client.take_back(call);
                        assert!(client.closed().await, "nobody can tell what would come next");
                    }
                }
                Err(error) => assert!(down == Http::Two, "{error}"),
            }
            until("the record", || gateway.failures("upstream_protocol") == 1.0).await;
            let mut client = Client::connect(down, gateway.addr).await;
            assert_eq!(client.get("/").await.status, 200);
        });
    }
}

fn tcp_route(target: &str) -> TcpRoute {
    TcpRoute {
        id: RouteId::new("tcp"),
        origin: Place::default(),
        rank: Rank::default(),
        matcher: TcpMatcher::All(Vec::new()),
        tls: TcpTls::Plain,
        in_flight_max: Some(1),
        allow: Vec::new(),
        target: backend_target(target),
    }
}

#[test]
fn a_tcp_route_relays_and_lets_one_side_end_first() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let mut setup = Setup::new(Http::One, &[addr]);
        setup.tcp = vec![tcp_route("one")];
        let gateway = setup.start().await;
        let mut client = TcpStream::connect(gateway.addr).await.expect("it accepts");
        // The server may be the first to speak.
        let (mut server, _) = listener.accept().await.expect("it accepts");
        server.write_all(b"220 hello").await.expect("it is sent");
        assert_eq!(read_until(&mut client, "hello").await, "220 hello");
        // One at a time, as the route says.
        let mut second = TcpStream::connect(gateway.addr).await.expect("the kernel accepts");
        assert_eq!(second.read(&mut [0]).await.unwrap_or(0), 0);
        let body = pattern(1 << 20);
        let sending = async {
            client.write_all(&body).await.expect("it is sent");
            client.shutdown().await.expect("it is open");
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.expect("it is read");
            answer
        };
        let serving = async {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.expect("it is read");
            server.write_all(&all).await.expect("it is sent");
            drop(server);
        };
        let (answer, ()) = tokio::join!(sending, serving);
        assert!(answer == body);
        drop(client);
        gateway.until_closed().await;
        let mut third = TcpStream::connect(gateway.addr).await.expect("it accepts");
        let (mut server, _) = listener.accept().await.expect("the place is free again");
        server.write_all(b"x").await.expect("it is sent");
        third.read_exact(&mut [0]).await.expect("it is read");
    });
}

#[test]
fn a_tcp_connection_on_which_nothing_moves_ends() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let mut setup = Setup::new(Http::One, &[addr]);
        setup.tcp = vec![tcp_route("one")];
        let gateway = setup.start().await;
        let client = TcpStream::connect(gateway.addr).await.expect("it accepts");
        let (server, _) = listener.accept().await.expect("it accepts");
        make_time_fly();
        let start = time::now();
        gateway.until_closed().await;
        assert!(time::now() - start > Duration::from_secs(3_600));
        drop((client, server));
    });
}

#[test]
fn a_head_of_trailers_and_a_finish_are_enough() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { mut leg, .. } = begun;
            let mut head = ResponseHead::default();
            head.set_status(200);
            head.fields.append("content-type", b"application/grpc").expect("valid");
            begin(&mut leg, &mut head, BodyFraming::Chunked);
            let mut trailers = weft_message::Fields::new();
            trailers.append("grpc-status", b"12").expect("valid");
            finish(&mut leg, Some(&trailers)).await?;
            Some(leg)
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let answer = client.get("/service/method").await;
        let trailers = answer.trailers.expect("there are some");
        assert_eq!(trailers.get_str("grpc-status"), Some("12"), "{down:?} to {up:?}");
    });
}
