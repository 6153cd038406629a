//! Bounds: nothing waits for ever, nothing that moves is cut, nothing is held after its end.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_http::BodyEvent;
use weft_message::ResponseHead;
use weft_message::h1::BodyFraming;
use weft_model::policy::{IpStrategy, SourceCriterion, StepKind};
use weft_runtime::time;

use super::harness::{
    Begun, Client, Http, Origin, Setup, begin, finish, make_time_fly, make_time_walk, matrix,
    pattern, reply, run, until,
};

/// Never answers; waits until it is let go.
async fn silent(http: Http) -> Origin {
    Origin::start(http, |begun| async move {
        let Begun { mut leg, .. } = begun;
        poll_fn(|cx| leg.poll_gone(cx)).await;
        None
    })
    .await
}

#[test]
fn a_request_body_that_stops_is_a_timeout() {
    for sent in [&b""[..], b"part"] {
        matrix(|down, up| async move {
            let origin = silent(up).await;
            let gateway = Setup::new(up, &[origin.addr]).start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("POST", "/", &[], BodyFraming::Length(10)).await;
            call.send(sent).await;
            until("the request", || origin.requests().len() == 1).await;
            make_time_fly();
            let (head, ..) = call.head().await.expect("there is an answer");
            assert_eq!(head.status(), 408, "{down:?} to {up:?}");
            assert_eq!(gateway.reached("body_idle_timeout"), 1.0);
            assert_eq!(gateway.failures("body_timeout"), 1.0);
            gateway.until_idle().await;
        });
    }
}

#[test]
fn a_request_body_that_is_not_taken_is_the_upstreams_fault() {
    matrix(|down, up| async move {
        let origin = silent(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = vec![b'x'; 16 << 20];
        let framing = BodyFraming::Length(body.len() as u64);
        let mut call = client.begin("POST", "/", &[], framing).await;
        let mut sent = 0;
        // Until nothing more is taken.
        while let Ok(count) = time::timeout(
            Duration::from_millis(200),
            poll_fn(|cx| call.leg.poll_send(cx, &body[sent..])),
        )
        .await
        {
            sent += count.expect("it is sent");
        }
        make_time_fly();
        let (head, ..) = call.head().await.expect("there is an answer");
        assert_eq!(head.status(), 504, "{down:?} to {up:?}");
        gateway.until_idle().await;
    });
}

#[test]
fn an_upstream_that_does_not_answer_is_a_timeout_where_one_is_set() {
    matrix(|down, up| async move {
        let origin = silent(up).await;
        for (reason, setup) in [
            (
                "upstream_timeout",
                Setup::new(up, &[origin.addr]).calling(|calling| {
                    calling.pool.response_head_timeout = Some(Duration::from_secs(7));
                }),
            ),
            (
                "upstream_timeout",
                Setup::new(up, &[origin.addr])
                    .change_route(|route| route.timeouts.attempt = Some(Duration::from_secs(7))),
            ),
            (
                "request_timeout",
                Setup::new(up, &[origin.addr])
                    .change_route(|route| route.timeouts.request = Some(Duration::from_secs(7))),
            ),
        ] {
            let gateway = setup.start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let before = origin.requests().len();
            let mut call = client.begin("GET", "/", &[], BodyFraming::None).await;
            until("the request", || origin.requests().len() > before).await;
            make_time_fly();
            let start = time::now();
            let (head, ..) = call.head().await.expect("there is an answer");
            let waited = time::now() - start;
            assert_eq!(head.status(), 504, "{down:?} to {up:?}");
            // The way through the kernel takes some of the time that flies.
            assert!(waited > Duration::from_secs(6) && waited < Duration::from_secs(30));
            assert_eq!(gateway.failures(reason), 1.0);
            gateway.until_idle().await;
            make_time_walk();
        }
    });
}

#[test]
fn a_request_that_takes_too_long_is_cut_even_in_its_answer() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { mut leg, .. } = begun;
            let mut head = ResponseHead::default();
            head.set_status(200);
            begin(&mut leg, &mut head, BodyFraming::Chunked);
            while poll_fn(|cx| leg.poll_send(cx, b"more")).await.is_ok() {
                poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
                time::sleep(Duration::from_secs(1)).await;
            }
            None
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr])
            .change_route(|route| route.timeouts.request = Some(Duration::from_secs(7)))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("GET", "/", &[], BodyFraming::None).await;
        call.head().await.expect("there is an answer");
        make_time_fly();
        assert!(call.body().await.is_err(), "{down:?} to {up:?}");
        assert_eq!(gateway.failures("request_timeout"), 1.0);
        gateway.until_idle().await;
    });
}

#[test]
fn a_stream_of_events_with_pauses_is_not_cut() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { mut leg, .. } = begun;
            let mut head = ResponseHead::default();
            head.set_status(200);
            begin(&mut leg, &mut head, BodyFraming::Chunked);
            for _ in 0..3 {
                poll_fn(|cx| leg.poll_send(cx, b"event ")).await.ok()?;
                poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
                time::sleep(Duration::from_secs(900)).await;
            }
            finish(&mut leg, None).await?;
            Some(leg)
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("GET", "/", &[], BodyFraming::None).await;
        call.head().await.expect("there is an answer");
        make_time_fly();
        assert_eq!(call.body().await.expect("it is whole"), b"event event event ");
        drop(gateway);
    });
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    matrix(|down, up| async move {
        let origin =
            Origin::start(
                up,
                |begun| async move { reply(begun.leg, 200, &vec![b'x'; 16 << 20]).await },
            )
            .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut call = client.begin("GET", "/", &[], BodyFraming::None).await;
        call.head().await.expect("there is an answer");
        // Until nothing moves any more.
        time::sleep(Duration::from_millis(300)).await;
        assert_eq!(gateway.metric("weftway_upstream_requests_in_flight{backend=\"one\"}"), 1.0);
        make_time_fly();
        gateway.until_idle().await;
        until("the limit", || gateway.reached("body_idle_timeout") == 1.0).await;
        assert_eq!(gateway.failures("client_gone"), 1.0, "{down:?} to {up:?}");
    });
}

#[test]
fn what_is_queued_for_an_http2_client_is_bounded() {
    for up in [Http::One, Http::Two] {
        run(async {
            let sent = Rc::new(Cell::new(0));
            let count = sent.clone();
            let origin = Origin::start(up, move |begun| {
                let count = count.clone();
                async move {
                    let Begun { mut leg, .. } = begun;
                    let mut head = ResponseHead::default();
                    head.set_status(200);
                    begin(&mut leg, &mut head, BodyFraming::Chunked);
                    let data = pattern(64 << 10);
                    loop {
                        let moved = poll_fn(|cx| leg.poll_send(cx, &data)).await.ok()?;
                        count.set(count.get() + moved);
                    }
                }
            })
            .await;
            let gateway = Setup::new(up, &[origin.addr])
                .limits(|limits| limits.connection_memory_bytes_max = 1 << 20)
                .start()
                .await;
            // Windows wide open, and nobody who reads.
            let stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
            let (send, connection) = h2::client::Builder::new()
                .initial_window_size((1 << 31) - 1)
                .initial_connection_window_size((1 << 31) - 1)
                .handshake::<_, bytes::Bytes>(stream)
                .await
                .expect("it speaks HTTP/2");
            let stalled = Rc::new(Cell::new(false));
            let is_stalled = stalled.clone();
            let mut connection = Box::pin(connection);
            let _running = weft_runtime::task::spawn("client", async move {
                let _ = poll_fn(|cx| match is_stalled.get() {
                    true => Poll::Pending,
                    false => connection.as_mut().poll(cx),
                })
                .await;
            });
            let mut send = send.ready().await.expect("there is room");
            let mut answers = Vec::new();
            for index in 0..50 {
                let request = http::Request::get(format!("http://a.example/{index}"));
                let request = request.body(()).expect("valid");
                answers.push(send.send_request(request, true).expect("it is sent").0);
                send = send.ready().await.expect("there is room");
            }
            until("all requests", || origin.requests().len() == 50).await;
            stalled.set(true);
            until("the bound", || gateway.reached("connection_memory_bytes") > 0.0).await;
            time::sleep(Duration::from_millis(300)).await;
            let before = sent.get();
            time::sleep(Duration::from_millis(300)).await;
            assert_eq!(sent.get(), before, "it goes on");
        });
    }
}

#[test]
fn the_heads_of_one_connection_are_bounded_in_all() {
    run(async {
        let origin = silent(Http::One).await;
        let gateway = Setup::new(Http::One, &[origin.addr])
            .limits(|limits| limits.connection_memory_bytes_max = 256 << 10)
            .start()
            .await;
        let mut client = Client::connect(Http::Two, gateway.addr).await;
        let value = "x".repeat(30_000);
        let mut calls = Vec::new();
        for _ in 0..8 {
            let call = client.begin("GET", "/", &[("x", &value)], BodyFraming::None).await;
            calls.push(call);
        }
        until("the bound", || gateway.reached("connection_memory_bytes") >= 4.0).await;
        until("some requests", || !origin.requests().is_empty()).await;
        assert!(origin.requests().len() <= 4, "{} are served", origin.requests().len());
        drop(calls);
        gateway.until_idle().await;
        assert_eq!(gateway.metric("weftway_connections_open"), 1.0);
    });
}

#[test]
fn idle_connections_end() {
    for http in [Http::One, Http::Two] {
        run(async {
            let origin = Origin::echo(Http::One).await;
            let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
            let mut used = Client::connect(http, gateway.addr).await;
            used.get("/").await;
            let silent = TcpStream::connect(gateway.addr).await.expect("it accepts");
            until("both", || gateway.metric("weftway_connections_open") == 2.0).await;
            make_time_fly();
            let start = time::now();
            assert!(used.closed().await);
            let waited = time::now() - start;
            assert!(waited >= Duration::from_secs(179), "{http:?}: {waited:?}");
            gateway.until_closed().await;
            drop(silent);
        });
    }
}

#[test]
fn a_client_that_ignores_the_end_of_its_http2_connection_is_cut_off() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        // The preface and empty settings, and then never a word: not to GOAWAY, not to PING.
        let mut stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("it is sent");
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("it is sent");
        until("it", || gateway.metric("weftway_connections_open") == 1.0).await;
        let mut first = [0; 9];
        stream.read_exact(&mut first).await.expect("settings come");
        make_time_fly();
        gateway.until_closed().await;
    });
}

#[test]
fn a_head_that_does_not_end_is_a_timeout() {
    for wire in ["G", "P", "PRI * HT", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\nX"] {
        run(async {
            let origin = Origin::echo(Http::One).await;
            let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
            let mut stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
            stream.write_all(wire.as_bytes()).await.expect("it is sent");
            until("it", || gateway.metric("weftway_connections_open") == 1.0).await;
            time::sleep(Duration::from_millis(20)).await;
            make_time_fly();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("it is read");
            assert!(text.starts_with("HTTP/1.1 408 "), "{wire:?} gave {text:?}");
            assert_eq!(gateway.reached("head_timeout"), 1.0);
            gateway.until_closed().await;
        });
    }
}

#[test]
fn connections_of_a_listener_and_requests_of_a_connection_are_bounded() {
    for http in [Http::One, Http::Two] {
        run(async {
            let origin = Origin::echo(Http::One).await;
            let gateway = Setup::new(Http::One, &[origin.addr])
                .limits(|limits| {
                    limits.connections_max = 2;
                    limits.requests_per_connection_max = 3;
                })
                .start()
                .await;
            let mut first = Client::connect(http, gateway.addr).await;
            let mut second = Client::connect(http, gateway.addr).await;
            first.get("/").await;
            second.get("/").await;
            let mut third = TcpStream::connect(gateway.addr).await.expect("the kernel accepts");
            assert_eq!(third.read(&mut [0]).await.unwrap_or(0), 0, "it is closed");
            assert_eq!(gateway.reached("connections"), 1.0);
            assert_eq!(first.get("/").await.status, 200);
            assert_eq!(first.get("/").await.status, 200);
            assert!(first.closed().await, "after the third request");
            drop(first);
            until("room", || gateway.metric("weftway_connections_open") == 1.0).await;
            let mut fourth = Client::connect(http, gateway.addr).await;
            assert_eq!(fourth.get("/").await.status, 200);
        });
    }
}

#[test]
fn places_under_a_limit_are_given_back_however_it_ends() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { head, mut leg, .. } = begun;
            match head.path() {
                "/wait" => {
                    poll_fn(|cx| leg.poll_gone(cx)).await;
                    None
                }
                "/break" => None,
                _ => reply(leg, 200, b"ok").await,
            }
        })
        .await;
        let source = SourceCriterion::Ip(IpStrategy::default());
        let gateway = Setup::new(up, &[origin.addr])
            .step(StepKind::InFlight { amount: 1, source })
            .start()
            .await;
        let mut first = Client::connect(down, gateway.addr).await;
        let waiting = first.begin("GET", "/wait", &[], BodyFraming::None).await;
        until("the request", || origin.requests().len() == 1).await;
        let mut second = Client::connect(down, gateway.addr).await;
        assert_eq!(second.get("/").await.status, 429, "{down:?} to {up:?}");
        drop((waiting, first));
        gateway.until_idle().await;
        until("the record", || gateway.failures("client_gone") == 1.0).await;
        assert_eq!(second.get("/").await.status, 200);
        assert_eq!(second.send("POST", "/break", b"").await.status, 502);
        assert_eq!(second.get("/").await.status, 200);
    });
}

#[test]
fn too_many_resets_end_a_connection() {
    run(async {
        let origin = silent(Http::One).await;
        let gateway = Setup::new(Http::One, &[origin.addr])
            .limits(|limits| limits.h2_resets_max = 10)
            .start()
            .await;
        let mut client = Client::connect(Http::Two, gateway.addr).await;
        let mut other = Client::connect(Http::Two, gateway.addr).await;
        for round in 0..11 {
            let call = client.begin("GET", "/", &[], BodyFraming::None).await;
            until("the request", || origin.requests().len() > round).await;
            drop(call);
            let gone = (round + 1) as f64;
            until("the record", || gateway.failures("client_gone") == gone).await;
        }
        assert!(client.closed().await);
        assert_eq!(gateway.reached("h2_resets"), 1.0);
        let call = other.begin("GET", "/", &[], BodyFraming::None).await;
        until("the other one", || origin.requests().len() == 12).await;
        drop(call);
    });
}

#[test]
fn a_body_that_is_longer_or_shorter_than_promised_is_no_request() {
    for up in [Http::One, Http::Two] {
        for (promised, body) in [("5", "abc"), ("3", "abcde")] {
            run(async {
                let whole = Rc::new(Cell::new(0));
                let count = whole.clone();
                let origin = Origin::start(up, move |begun| {
                    let count = count.clone();
                    async move {
                        let Begun { mut leg, .. } = begun;
                        while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
                            let data = leg.chunk().len();
                            leg.consume(data);
                        }
                        count.set(count.get() + 1);
                        reply(leg, 200, b"ok").await
                    }
                })
                .await;
                let gateway = Setup::new(up, &[origin.addr]).start().await;
                let stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
                let (send, connection) =
                    h2::client::handshake(stream).await.expect("it speaks HTTP/2");
                let _running = weft_runtime::task::spawn("client", connection);
                let mut send = send.ready().await.expect("there is room");
                let request = http::Request::post("http://a.example/");
                let request = request.header("content-length", promised).body(()).expect("valid");
                let (answer, mut stream) = send.send_request(request, false).expect("it is sent");
                let data = bytes::Bytes::from_static(body.as_bytes());
                stream.send_data(data, true).expect("it is sent");
                let error = answer.await.expect_err("the stream is reset");
                assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR), "{promised} {body}");
                gateway.until_idle().await;
                assert_eq!(whole.get(), 0, "{promised} {body:?} looked whole to {up:?}");
            });
        }
    }
}
