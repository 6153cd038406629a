//! What has to hold for every pair of versions.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_http::BodyEvent;
use weft_message::h1::BodyFraming;
use weft_message::{Fields, Known, ResponseHead};
use weft_model::route::{Affinity, Cookie};
use weft_policy::sticky::Mark;
use weft_runtime::time;

use super::harness::{
    Begun, Client, Http, Origin, Setup, begin, finish, make_time_fly, matrix, pattern, reply,
    response_lines, run_bounded, send_interim, until,
};

#[test]
fn requests_and_answers_pass() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        for round in 0..3 {
            let answer = client.get("/a?b=c").await;
            assert_eq!((answer.status, answer.body.len()), (200, 0), "{down:?} to {up:?}");
            let answer = client.send("POST", "/", b"hello").await;
            assert_eq!(
                (answer.status, &answer.body[..]),
                (200, &b"hello"[..]),
                "{round}, {down:?} to {up:?}"
            );
            let mut call = client.begin("PUT", "/", &[], BodyFraming::Chunked).await;
            call.send(b"in ").await;
            call.send(b"parts").await;
            call.finish(None).await;
            assert_eq!(client.answer(call).await.body, b"in parts");
        }
        assert_eq!(origin.requests().len(), 9);
        assert_eq!(origin.requests()[0], "GET /a?b=c");
        assert_eq!(origin.field(0, "host").as_deref(), Some("a.example"));
        assert_eq!(origin.field(0, "x-forwarded-for").as_deref(), Some("127.0.0.1"));
        assert_eq!(origin.connections(), 1, "one connection serves all");
        gateway.until_idle().await;
    });
}

#[test]
fn large_bodies_pass_both_ways_at_once() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let body = pattern(3 << 20);
        let framing = BodyFraming::Length(body.len() as u64);
        let mut call = client.begin("POST", "/", &[], framing).await;
        let (mut sent, mut finished, mut read) = (0, false, Vec::new());
        let mut begun = false;
        let mut head = weft_message::ResponseHead::default();
        let limits = weft_message::HeadLimits::DEFAULT;
        poll_fn(|cx| {
            while sent < body.len()
                && let Poll::Ready(count) = call.leg.poll_send(cx, &body[sent..])
            {
                sent += count.expect("it is sent");
            }
            if sent == body.len() && !finished {
                finished = call.leg.poll_finish(cx, None).is_ready();
            }
            if !begun {
                let polled = match &mut call.leg {
                    weft_http::Leg::H1(conn) => conn
                        .poll_response(cx, &limits, &weft_message::Method::Post, &mut head)
                        .map_ok(|_| ()),
                    weft_http::Leg::H2(stream) => stream.poll_response(cx, &limits, &mut head),
                };
                std::task::ready!(polled).expect("there is an answer");
                begun = true;
            }
            loop {
                let event = std::task::ready!(call.leg.poll_body(cx)).expect("it is read");
                if event == BodyEvent::End {
                    return Poll::Ready(());
                }
                read.extend_from_slice(call.leg.chunk());
                let count = call.leg.chunk().len();
                call.leg.consume(count);
            }
        })
        .await;
        assert!(read == body, "{down:?} to {up:?}");
        client.take_back(call);
        gateway.until_idle().await;
        let route = "{route=\"all\"}";
        let bytes = body.len() as f64;
        assert_eq!(gateway.metric(&format!("weftway_request_bytes_total{route}")), bytes);
        assert_eq!(gateway.metric(&format!("weftway_response_bytes_total{route}")), bytes);
    });
}

#[test]
fn trailers_pass_both_ways() {
    matrix(|down, up| async move {
        let origin = Origin::echo(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let mut trailers = Fields::new();
        trailers.append("x-sum", b"1").expect("valid");
        trailers.append("grpc-status", b"0").expect("valid");
        let mut call = client.begin("POST", "/", &[("te", "trailers")], BodyFraming::Chunked).await;
        call.send(b"body").await;
        call.finish(Some(&trailers)).await;
        let answer = client.answer(call).await;
        assert_eq!(answer.body, b"body");
        assert_eq!(
            response_lines(answer.trailers.as_ref()),
            response_lines(Some(&trailers)),
            "{down:?} to {up:?}"
        );
        let expected = (up == Http::Two).then_some("trailers");
        assert_eq!(origin.field(0, "te").as_deref(), expected, "{down:?} to {up:?}");
    });
}

#[test]
fn answers_without_bodies_keep_their_lengths() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { head, mut leg, .. } = begun;
            let mut rsp = weft_message::ResponseHead::default();
            let framing = match head.path() {
                "/204" => {
                    rsp.set_status(204);
                    BodyFraming::None
                }
                "/304" => {
                    rsp.set_status(304);
                    rsp.fields.append("etag", b"\"a\"").expect("valid");
                    BodyFraming::None
                }
                "/head" => {
                    rsp.set_status(200);
                    return match &mut leg {
                        weft_http::Leg::H1(conn) => {
                            conn.begin_message(BodyFraming::None, |out| {
                                weft_message::h1::write_response(
                                    &rsp,
                                    BodyFraming::Length(10),
                                    weft_message::h1::Persistence::KeepAlive,
                                    out,
                                );
                            });
                            finish(&mut leg, None).await?;
                            Some(leg)
                        }
                        weft_http::Leg::H2(stream) => {
                            rsp.fields.append("content-length", b"10").expect("valid");
                            stream.begin_response(&rsp, true).expect("it is sent");
                            Some(leg)
                        }
                    };
                }
                _ => {
                    rsp.set_status(200);
                    BodyFraming::Length(0)
                }
            };
            begin(&mut leg, &mut rsp, framing);
            finish(&mut leg, None).await?;
            Some(leg)
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        for (method, path, status, length) in [
            ("GET", "/204", 204, None),
            ("GET", "/304", 304, None),
            ("HEAD", "/head", 200, Some(10)),
            ("GET", "/empty", 200, Some(0)),
            ("HEAD", "/204", 204, None),
        ] {
            let answer = client.send(method, path, b"").await;
            let what = format!("{method} {path}, {down:?} to {up:?}");
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{what}");
            let declared = match answer.declared {
                BodyFraming::Length(length) => Some(length),
                _ => None,
            };
            assert_eq!(declared, length, "{what}: {answer:?}");
        }
        assert_eq!(origin.connections(), 1, "{down:?} to {up:?}");
    });
}

#[test]
fn interim_responses_pass() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { mut leg, .. } = begun;
            send_interim(&mut leg, 100).await;
            send_interim(&mut leg, 103).await;
            let mut body = Vec::new();
            while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
                body.extend_from_slice(leg.chunk());
                let count = leg.chunk().len();
                leg.consume(count);
            }
            reply(leg, 200, &body).await
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let expect = [("expect", "100-continue")];
        let mut call = client.begin("POST", "/", &expect, BodyFraming::Length(4)).await;
        // The client sends nothing before it is told to; however long that takes.
        time::sleep(Duration::from_millis(50)).await;
        let limits = weft_message::HeadLimits::DEFAULT;
        let mut interim = weft_message::ResponseHead::default();
        poll_fn(|cx| match &mut call.leg {
            weft_http::Leg::H1(conn) => conn
                .poll_response(cx, &limits, &weft_message::Method::Post, &mut interim)
                .map(|facts| assert!(facts.expect("it is acceptable").interim)),
            weft_http::Leg::H2(stream) => stream
                .poll_interim(cx, &limits, &mut interim)
                .map(|polled| polled.expect("there is one").expect("it is acceptable")),
        })
        .await;
        assert_eq!(interim.status(), 100);
        call.send(b"body").await;
        call.finish(None).await;
        let answer = call.answer().await.expect("it is whole");
        assert_eq!((answer.status, &answer.body[..]), (200, &b"body"[..]));
        assert_eq!(call.interim, [103], "{down:?} to {up:?}");
    });
}

#[test]
fn a_client_that_waits_for_100_is_not_a_client_that_has_stopped() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            time::sleep(Duration::from_secs(300)).await;
            let Begun { mut leg, .. } = begun;
            send_interim(&mut leg, 100).await;
            while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
                let count = leg.chunk().len();
                leg.consume(count);
            }
            reply(leg, 200, b"ok").await
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let expect = [("expect", "100-continue")];
        let mut call = client.begin("POST", "/", &expect, BodyFraming::Length(4)).await;
        until("the request", || origin.requests().len() == 1).await;
        make_time_fly();
        time::sleep(Duration::from_secs(310)).await;
        call.send(b"body").await;
        call.finish(None).await;
        assert_eq!(client.answer(call).await.status, 200, "{down:?} to {up:?}");
    });
}

#[test]
fn a_client_that_leaves_frees_the_upstream() {
    for stage in ["before the answer", "in the answer", "in the request"] {
        matrix(|down, up| async move {
            let gone = Rc::new(Cell::new(false));
            let told = gone.clone();
            let origin = Origin::start(up, move |begun| {
                let told = told.clone();
                async move {
                    let Begun { mut leg, .. } = begun;
                    if stage == "in the request" {
                        while let Ok(BodyEvent::Data) = poll_fn(|cx| leg.poll_body(cx)).await {
                            let count = leg.chunk().len();
                            leg.consume(count);
                        }
                        assert!(!leg.is_body_complete());
                    } else {
                        if stage == "in the answer" {
                            let mut head = weft_message::ResponseHead::default();
                            head.set_status(200);
                            begin(&mut leg, &mut head, BodyFraming::Chunked);
                            let sent = poll_fn(|cx| leg.poll_send(cx, b"part")).await;
                            sent.expect("it is sent");
                            poll_fn(|cx| leg.poll_flush(cx)).await.expect("it is sent");
                        }
                        poll_fn(|cx| leg.poll_gone(cx)).await;
                    }
                    told.set(true);
                    None
                }
            })
            .await;
            let gateway = Setup::new(up, &[origin.addr]).start().await;
            let mut client = Client::connect(down, gateway.addr).await;
            let (method, framing) = match stage {
                "in the request" => ("POST", BodyFraming::Length(100)),
                _ => ("GET", BodyFraming::None),
            };
            let mut call = client.begin(method, "/", &[], framing).await;
            match stage {
                "in the request" => call.send(b"part").await,
                "in the answer" => drop(call.head().await.expect("there is an answer")),
                _ => {}
            }
            until("the request", || origin.requests().len() == 1).await;
            assert!(!gone.get());
            drop(call);
            until("the end upstream", || gone.get()).await;
            gateway.until_idle().await;
            until("the record", || gateway.failures("client_gone") == 1.0).await;
            // Nobody else suffers.
            if down == Http::One {
                drop(client);
                gateway.until_closed().await;
            }
        });
    }
}

#[test]
fn a_client_that_has_its_whole_answer_may_go() {
    run_bounded(async {
        // It keeps back that nothing follows: an empty frame, or trailers.
        let origin = Origin::start(Http::Two, |begun| async move {
            let Begun { mut leg, .. } = begun;
            let mut head = ResponseHead::default();
            head.set_status(200);
            begin(&mut leg, &mut head, BodyFraming::Length(5));
            poll_fn(|cx| leg.poll_send(cx, b"whole")).await.ok()?;
            poll_fn(|cx| leg.poll_gone(cx)).await;
            None
        })
        .await;
        let gateway = Setup::new(Http::Two, &[origin.addr]).start().await;
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"whole") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        drop(stream);
        gateway.until_closed().await;
        assert_eq!(gateway.failures("client_gone"), 0.0);
        let ended = "weftway_requests_total{route=\"all\",status=\"2xx\"}";
        assert_eq!(gateway.metric(ended), 1.0);
    });
}

#[test]
fn an_upstream_that_breaks_off_is_no_whole_answer() {
    matrix(|down, up| async move {
        let origin = Origin::start(up, |begun| async move {
            let Begun { head, mut leg, .. } = begun;
            let mut rsp = weft_message::ResponseHead::default();
            rsp.set_status(200);
            let framing = match head.path() {
                "/none" => return None,
                "/length" => BodyFraming::Length(100),
                _ => BodyFraming::Chunked,
            };
            begin(&mut leg, &mut rsp, framing);
            poll_fn(|cx| leg.poll_send(cx, b"part")).await.ok()?;
            poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
            time::sleep(Duration::from_millis(5)).await;
            leg.abort(weft_http::h2::Reason::INTERNAL_ERROR);
            None
        })
        .await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        let mut client = Client::connect(down, gateway.addr).await;
        let answer = client.send("POST", "/none", b"x").await;
        assert_eq!(answer.status, 502, "{down:?} to {up:?}");
        for path in ["/length", "/chunked"] {
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("GET", path, &[], BodyFraming::None).await;
            let error = call.answer().await.expect_err("it looks whole");
            assert!(error.starts_with("body"), "{path}, {down:?} to {up:?}: {error}");
        }
        assert_eq!(gateway.failures("upstream_reset"), 3.0);
        gateway.until_idle().await;
    });
}

#[test]
fn a_sticky_cookie_names_its_endpoint_as_traefik_does() {
    matrix(|down, up| async move {
        let (one, two) = (Origin::echo(up).await, Origin::echo(up).await);
        let scheme = if up == Http::Two { "h2c" } else { "http" };
        let gateway = Setup::new(up, &[one.addr, two.addr])
            .calling(|calling| calling.sticky = Some(sticky()))
            .start()
            .await;
        let mut client = Client::connect(down, gateway.addr).await;
        let value = Mark::of(&format!("{scheme}://{}", two.addr));
        let cookie = format!("_abcde={}", value.as_str());
        for _ in 0..4 {
            let mut call =
                client.begin("GET", "/", &[("cookie", &cookie)], BodyFraming::None).await;
            call.finish(None).await;
            let answer = client.answer(call).await;
            let set = answer.fields.get_str(Known::SetCookie);
            assert_eq!((answer.status, set), (200, None), "{down:?} to {up:?}");
        }
        assert_eq!((one.requests().len(), two.requests().len()), (0, 4));
        gateway.until_idle().await;
    });
}

pub(super) fn sticky() -> Affinity {
    Affinity::Cookie(Cookie {
        name: "_abcde".into(),
        path: "/".into(),
        domain: "".into(),
        http_only: false,
        secure: false,
        same_site: "".into(),
        max_age_secs: 0,
    })
}
