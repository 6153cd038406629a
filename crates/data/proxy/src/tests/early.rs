//! Answers that come before the request has, and what becomes of its rest.

use std::future::poll_fn;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weft_http::BodyEvent;
use weft_message::h1::BodyFraming;
use weft_model::outcome::Reason;
use weft_model::policy::{Refusal, StepKind};

use super::harness::{Begun, Client, Http, Origin, Setup, matrix, reply, run, until};

/// Answers at once, whatever is still to come of the request.
async fn hasty(http: Http) -> Origin {
    Origin::start(http, |begun| async move {
        let Begun { leg, .. } = begun;
        let leg = reply(leg, 413, b"no").await?;
        // Closed at once, the kernel would throw the answer away.
        weft_runtime::time::sleep(std::time::Duration::from_millis(20)).await;
        Some(leg)
    })
    .await
}

#[test]
fn an_early_answer_arrives_though_the_request_is_not_read() {
    matrix(|down, up| async move {
        let origin = hasty(up).await;
        let gateway = Setup::new(up, &[origin.addr]).start().await;
        for round in 0..3 {
            let mut client = Client::connect(down, gateway.addr).await;
            let mut call = client.begin("POST", "/", &[], BodyFraming::Length(1 << 30)).await;
            call.send(b"part").await;
            let (head, framing, _) = call.head().await.expect("there is an answer");
            let body = call.body().await.expect("it is whole");
            assert_eq!((head.status(), &body[..]), (413, &b"no"[..]), "{down:?} to {up:?}");
            assert_eq!(framing, BodyFraming::Length(2));
            if down == Http::One {
                // What is left of the request must not be taken for the next one.
                assert_eq!(head.fields.get_str("connection"), Some("close"), "{round}");
            }
        }
        gateway.until_idle().await;
        if up == Http::One {
            assert_eq!(origin.connections(), 3, "a connection with an unread request is not kept");
        }
    });
}

#[test]
fn a_refusal_leaves_the_connection_in_use_when_the_body_has_come() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let detail = Arc::from("for the test");
        let refusal = Refusal { reason: Reason::Forbidden, detail };
        let gateway =
            Setup::new(Http::One, &[origin.addr]).step(StepKind::Refuse(refusal)).start().await;
        let mut stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
        stream.set_nodelay(true).expect("it is open");
        let mut text = String::new();
        for round in 0..3 {
            let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
            stream.write_all(request.as_bytes()).await.expect("it is sent");
            let mut buffer = [0; 1 << 10];
            while text.matches("access is denied").count() <= round {
                let count = stream.read(&mut buffer).await.expect("it is read");
                assert!(count > 0, "closed after {text}");
                text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
        assert!(!text.contains("close"), "{text}");
        // With a body that has not come, nothing else is safe.
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nhello";
        stream.write_all(request.as_bytes()).await.expect("it is sent");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("it is read");
        assert!(rest.starts_with("HTTP/1.1 403") && rest.contains("Connection: close"), "{rest}");
        assert!(origin.requests().is_empty());
    });
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    run(async {
        let origin = Origin::start(Http::One, |begun| async move {
            let Begun { head, mut leg, .. } = begun;
            while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
                let count = leg.chunk().len();
                leg.consume(count);
            }
            let path = head.path().to_owned();
            reply(leg, 200, path.as_bytes()).await
        })
        .await;
        let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        let mut stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
        let mut wire = String::new();
        for index in 0..200 {
            wire += &format!("POST /{index} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        }
        wire += "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        stream.write_all(wire.as_bytes()).await.expect("it is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("it is read");
        let bodies: Vec<_> = text.split("HTTP/1.1 200 OK").skip(1).collect();
        assert_eq!(bodies.len(), 201);
        for (index, body) in bodies[..200].iter().enumerate() {
            assert!(body.ends_with(&format!("\r\n\r\n/{index}")), "{index}: {body}");
        }
        assert!(bodies[200].ends_with("/last"));
    });
}

#[test]
fn a_connection_ends_after_a_request_that_cannot_be_read() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        for (wire, status) in [
            ("GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\nGET /next HTTP/1.1\r\n", "400"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/3.7\r\nHost: a\r\n\r\n", "505"),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", "400"),
            ("GET / HTTP/1.1\r\nHost: a\r\nExpect: wonders\r\n\r\n", "417"),
            ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\nGET /next HTTP/1.1\r\n", "501"),
        ] {
            let mut stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
            stream.write_all(wire.as_bytes()).await.expect("it is sent");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("it is read");
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{wire:?} gave {text}");
            assert!(text.contains("Connection: close"), "{wire:?} gave {text}");
            assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{wire:?} gave {text}");
        }
        gateway.until_closed().await;
        until("the end upstream", || gateway.failures("bad_request") == 3.0).await;
        assert!(!origin.requests().iter().any(|request| request.contains("next")));
    });
}

#[test]
fn an_old_client_gets_its_answers_in_its_own_way() {
    run(async {
        let origin = Origin::echo(Http::One).await;
        let gateway = Setup::new(Http::One, &[origin.addr]).start().await;
        // A body of unknown length ends with the connection.
        let mut stream = TcpStream::connect(gateway.addr).await.expect("it accepts");
        let wire = "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\
                    Content-Length: 5\r\n\r\nhello";
        stream.write_all(wire.as_bytes()).await.expect("it is sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("it is read");
        assert!(text.ends_with("\r\n\r\nhello"), "{text}");
        assert!(text.contains("Connection: close") && !text.contains("chunked"), "{text}");
    });
}
