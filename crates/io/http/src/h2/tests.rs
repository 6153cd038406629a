mod floods;
mod pings;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::io::{DuplexStream, duplex};
use weft_message::h1::{BodyFraming, HeadLimits};
use weft_message::{Known, Method, PathRules, RequestHead, ResponseHead, Scheme};
use weft_runtime::task::{self, Task};

use super::*;
use crate::error::{HeadError, ReadError};
use crate::fixtures::{
    begin_response, buffers, conn, drain, feed, fields, io, lines, pattern, read_body,
    read_request, run, send_body,
};
use crate::pump::Pump;
use crate::{BodyEvent, Leg};

const SETTINGS: ServerSettings = ServerSettings {
    streams_max: 100,
    head_bytes_max: 64 << 10,
    connection_window_bytes: 1 << 20,
    stream_window_bytes: 64 << 10,
    resets_max: 10,
    control_frames_max: 100,
};

/// A client of ours, its connection running.
async fn client(stream: DuplexStream) -> (Client, Task<()>) {
    let (client, connection) =
        Client::handshake(io(stream), 64 << 10, &buffers()).await.expect("the peer speaks HTTP/2");
    let running = task::spawn("client", async move {
        let _ = connection.await;
    });
    (client, running)
}

/// Serves each request of one connection of ours by `serve`.
fn server<F, S>(stream: DuplexStream, settings: ServerSettings, serve: S) -> Task<Ended>
where
    F: Future<Output = ()> + 'static,
    S: Fn(RequestHead, Leg) -> F + 'static,
{
    task::spawn("server", async move {
        let mut server = match Server::handshake(io(stream), &settings, &buffers()).await {
            Ok(server) => server,
            Err(error) => return Ended::Failed(error),
        };
        loop {
            match poll_fn(|cx| server.poll_accept(cx)).await {
                Ok(accepted) => {
                    let (head, stream) = read_accepted(accepted);
                    task::spawn("stream", serve(head, stream));
                }
                Err(ended) => return ended,
            }
        }
    })
}

fn read_accepted(accepted: Accepted) -> (RequestHead, Leg) {
    let mut head = RequestHead::new();
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    assert!(accepted.head_bytes() > 0);
    let (stream, read) = accepted.into_request(Scheme::Http, &limits, &rules, &mut head);
    read.expect("the head is acceptable");
    (head, Leg::H2(stream))
}

fn request(method: Method, path: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(method);
    head.set_authority("a.example").expect("valid");
    head.set_path(path).expect("valid");
    head
}

fn response(status: u16) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.set_status(status);
    head
}

fn stream(leg: &mut Leg) -> &mut Stream {
    match leg {
        Leg::H2(stream) => stream,
        Leg::H1(_) => panic!("it is HTTP/2"),
    }
}

/// Waits for the response's head.
async fn read_head(leg: &mut Leg) -> Result<ResponseHead, HeadError> {
    let mut head = ResponseHead::default();
    let limits = HeadLimits::DEFAULT;
    poll_fn(|cx| stream(leg).poll_response(cx, &limits, &mut head)).await.map(|()| head)
}

async fn begin(client: &mut Client, head: &RequestHead, end: bool) -> Leg {
    poll_fn(|cx| client.poll_ready(cx)).await.expect("there is room");
    Leg::H2(client.begin_request(head, end).expect("it is sent"))
}

/// Sends back what comes, trailers included, while it comes.
async fn echo(_head: RequestHead, mut leg: Leg) {
    stream(&mut leg).begin_response(&response(200), false).expect("it is sent");
    while poll_fn(|cx| leg.poll_body(cx)).await.expect("it is read") == BodyEvent::Data {
        let data = leg.chunk().to_vec();
        let sent = poll_fn(|cx| leg.poll_send(cx, &data)).await.expect("it is sent");
        leg.consume(sent);
    }
    let trailers = leg.trailers().cloned();
    poll_fn(|cx| leg.poll_finish(cx, trailers.as_ref())).await.expect("it is sent");
}

#[test]
fn requests_and_answers_with_bodies_and_trailers() {
    for capacity in [100, 1 << 20] {
        run(async {
            let (ours, theirs) = duplex(capacity);
            let _server = server(theirs, SETTINGS, echo);
            let (mut client, _running) = client(ours).await;
            let body = pattern(300_000);
            let trailers = fields(&[("grpc-status", "0"), ("x-sum", "1")]);
            let mut leg = begin(&mut client, &request(Method::Post, "/echo"), false).await;
            assert_eq!(client.open_streams(), 1);
            // The window is smaller than the body: reading and writing have to go on together.
            let Leg::H2(mut sending) = leg else { panic!("it is HTTP/2") };
            let mut head = ResponseHead::default();
            let (mut sent, mut read, mut ended, mut answered) = (0, Vec::new(), false, false);
            let limits = HeadLimits::DEFAULT;
            poll_fn(|cx| {
                while sent < body.len()
                    && let Poll::Ready(count) = sending.poll_send(cx, &body[sent..])
                {
                    sent += count.expect("it is sent");
                }
                if sent == body.len() && !ended {
                    ended = true;
                    let finished = sending.poll_finish(Some(&trailers));
                    assert!(matches!(finished, Poll::Ready(Ok(()))));
                }
                if !answered {
                    std::task::ready!(sending.poll_response(cx, &limits, &mut head))
                        .expect("there is an answer");
                    answered = true;
                }
                loop {
                    let event = std::task::ready!(sending.poll_body(cx));
                    if event.expect("it is read") == BodyEvent::End {
                        return Poll::Ready(());
                    }
                    read.extend_from_slice(sending.chunk());
                    sending.consume(sending.chunk().len());
                }
            })
            .await;
            assert!(read == body);
            leg = Leg::H2(sending);
            assert_eq!(lines(leg.trailers()), lines(Some(&trailers)));
            drop(leg);
            assert_eq!(client.open_streams(), 0);
        });
    }
}

#[test]
fn a_request_without_a_body_and_an_answer_without_one() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let _server = server(theirs, SETTINGS, |head, mut leg| async move {
            assert_eq!((head.path(), head.host()), ("/a", "a.example"));
            assert!(leg.is_body_complete());
            let mut answer = response(204);
            answer.fields.append("x-a", b"1").expect("valid");
            stream(&mut leg).begin_response(&answer, true).expect("it is sent");
            poll_fn(|cx| leg.poll_finish(cx, None)).await.expect("there is nothing to end");
        });
        let (mut client, _running) = client(ours).await;
        let mut leg = begin(&mut client, &request(Method::Get, "/a"), true).await;
        let head = read_head(&mut leg).await.expect("there is an answer");
        assert_eq!((head.status(), head.fields.get_str("x-a")), (204, Some("1")));
        assert!(read_body(&mut leg, 1).await.expect("it is read").is_empty());
    });
}

#[test]
fn interim_responses_come_before_the_answer() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let _server = server(theirs, SETTINGS, |_, mut leg| async move {
            stream(&mut leg).send_interim(&response(100)).expect("it is sent");
            let mut hints = response(103);
            hints.fields.append("link", b"</a>").expect("valid");
            stream(&mut leg).send_interim(&hints).expect("it is sent");
            stream(&mut leg).begin_response(&response(200), true).expect("it is sent");
        });
        let (mut client, _running) = client(ours).await;
        for takes_interim in [true, false] {
            let mut leg = begin(&mut client, &request(Method::Get, "/"), true).await;
            let (mut head, limits) = (ResponseHead::default(), HeadLimits::DEFAULT);
            let mut seen = Vec::new();
            while takes_interim
                && let Some(interim) =
                    poll_fn(|cx| stream(&mut leg).poll_interim(cx, &limits, &mut head)).await
            {
                interim.expect("it is acceptable");
                seen.push(head.status());
            }
            assert_eq!(read_head(&mut leg).await.expect("there is an answer").status(), 200);
            assert_eq!(seen, if takes_interim { vec![100, 103] } else { vec![] });
        }
    });
}

#[test]
fn a_peer_that_gives_up_is_noticed_on_both_sides() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let noticed = Rc::new(Cell::new(false));
        let told = noticed.clone();
        let _server = server(theirs, SETTINGS, move |head, mut leg| {
            let told = told.clone();
            async move {
                if head.path() == "/reset" {
                    stream(&mut leg).begin_response(&response(200), false).expect("it is sent");
                    // A reset that comes at once takes the head with it.
                    weft_runtime::time::sleep(std::time::Duration::from_millis(1)).await;
                    leg.abort(Reason::INTERNAL_ERROR);
                } else {
                    poll_fn(|cx| leg.poll_gone(cx)).await;
                    told.set(true);
                }
            }
        });
        let (mut client, _running) = client(ours).await;
        let mut leg = begin(&mut client, &request(Method::Get, "/reset"), true).await;
        read_head(&mut leg).await.expect("there is an answer");
        let Err(ReadError::H2(error)) = read_body(&mut leg, 1).await else {
            panic!("the body looks complete")
        };
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
        let leg = begin(&mut client, &request(Method::Get, "/wait"), true).await;
        weft_runtime::time::sleep(std::time::Duration::from_millis(1)).await;
        assert!(!noticed.get());
        drop(leg);
        while !noticed.get() {
            weft_runtime::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    });
}

/// A connection of the library's own client, which checks nothing of what it sends.
async fn plain_client(
    stream: DuplexStream,
    window: u32,
) -> (h2::client::SendRequest<Bytes>, Task<Result<(), h2::Error>>) {
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(window)
        .initial_connection_window_size(window)
        .handshake(stream)
        .await
        .expect("the peer speaks HTTP/2");
    let running = task::spawn("client", connection);
    (send.ready().await.expect("there is room"), running)
}

#[test]
fn a_request_whose_data_is_not_as_long_as_promised_is_malformed() {
    for (promised, body) in [("5", "abc"), ("3", "abcde"), ("0", "a")] {
        run(async {
            let (ours, theirs) = duplex(1 << 16);
            let outcome = Rc::new(Cell::new(None));
            let told = outcome.clone();
            let _server = server(theirs, SETTINGS, move |_, mut leg| {
                let told = told.clone();
                async move {
                    let read = read_body(&mut leg, usize::MAX).await;
                    told.set(Some(read.is_err_and(|error| error.is_malformed())));
                }
            });
            let (mut send, _running) = plain_client(ours, 1 << 16).await;
            let request = Request::post("http://a.example/").header("content-length", promised);
            let request = request.body(()).expect("valid");
            let (answer, mut body_stream) = send.send_request(request, false).expect("it is sent");
            body_stream.send_data(Bytes::from_static(body.as_bytes()), true).expect("it is sent");
            let error = answer.await.expect_err("the stream is reset");
            assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR), "{promised} {body:?}");
            assert_eq!(outcome.take(), Some(true), "{promised} {body:?}");
        });
    }
}

/// Answers every request of one connection with a head and data that need not agree.
fn plain_server(stream: DuplexStream, promised: &'static str, body: &'static str) -> Task<()> {
    task::spawn("server", async move {
        let mut server = h2::server::handshake(stream).await.expect("the peer speaks HTTP/2");
        while let Some(Ok((_, mut respond))) = server.accept().await {
            let head = Response::builder().header("content-length", promised);
            let head = head.body(()).expect("valid");
            let mut sending = respond.send_response(head, false).expect("it is sent");
            sending.send_data(Bytes::from_static(body.as_bytes()), true).expect("it is sent");
        }
    })
}

#[test]
fn an_answer_whose_data_is_not_as_long_as_promised_is_malformed() {
    for (promised, body) in [("5", "abc"), ("3", "abcde")] {
        run(async {
            let (ours, theirs) = duplex(1 << 16);
            let _server = plain_server(theirs, promised, body);
            let (mut client, _running) = client(ours).await;
            let mut leg = begin(&mut client, &request(Method::Get, "/"), true).await;
            let head = read_head(&mut leg).await.expect("there is a head");
            assert_eq!(head.fields.get_str(Known::ContentLength), Some(promised));
            let read = read_body(&mut leg, usize::MAX).await;
            assert!(read.is_err_and(|error| error.is_malformed()), "{promised} {body:?}");
        });
    }
}

#[test]
fn what_is_queued_for_a_client_that_does_not_read_is_bounded() {
    run(async {
        // The client opens its windows wide, and then reads nothing from the wire.
        let (ours, theirs) = duplex(1 << 10);
        let queued = Rc::new(Cell::new(0));
        let count = queued.clone();
        let _server = server(theirs, SETTINGS, move |_, mut leg| {
            let count = count.clone();
            async move {
                stream(&mut leg).begin_response(&response(200), false).expect("it is sent");
                let data = pattern(10_000);
                while let Ok(sent) = poll_fn(|cx| leg.poll_send(cx, &data)).await {
                    count.set(count.get() + sent);
                    assert!(!leg.has_unsent());
                }
            }
        });
        let (mut send, running) = plain_client(ours, (1 << 31) - 1).await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            send = send.ready().await.expect("there is room");
            let request = Request::get("http://a.example/").body(()).expect("valid");
            answers.push(send.send_request(request, true).expect("it is sent").0);
        }
        let first = answers.remove(0).await.expect("there is an answer");
        running.abort();
        weft_runtime::time::sleep(std::time::Duration::from_secs(1)).await;
        // The wire itself and what is in the writer's hands come on top.
        let bound = (64 << 10) + (2 << 10);
        assert!(queued.get() > 60_000 && queued.get() < bound, "{} are queued", queued.get());
        drop((first, answers));
    });
}

#[test]
fn too_many_resets_end_the_connection() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let serving = task::spawn("server", async move {
            let server = Server::handshake(io(theirs), &SETTINGS, &buffers()).await;
            let mut server = server.expect("the peer speaks HTTP/2");
            let now = weft_runtime::time::now();
            let mut accepted = 0;
            loop {
                match poll_fn(|cx| server.poll_accept(cx)).await {
                    Ok(request) => {
                        accepted += 1;
                        request.refuse();
                        server.count_reset(now);
                    }
                    Err(_) => return (accepted, server.take_excess()),
                }
            }
        });
        let (mut send, running) = plain_client(ours, 1 << 16).await;
        for _ in 0..20 {
            let Ok(ready) = send.clone().ready().await else { break };
            send = ready;
            let request = Request::get("http://a.example/").body(()).expect("valid");
            let Ok((answer, _)) = send.send_request(request, true) else { break };
            answer.await.expect_err("none is answered");
        }
        let error = running.await.expect("it ends").expect_err("it ends with an error");
        assert_eq!(error.reason(), Some(h2::Reason::ENHANCE_YOUR_CALM), "{error}");
        let (accepted, excess) = serving.await.expect("it ends");
        assert_eq!((accepted, excess), (SETTINGS.resets_max + 1, Some(Excess::Resets)));
    });
}

#[test]
fn a_connection_that_waits_owns_no_buffer() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let _server = server(theirs, SETTINGS, echo);
        let buffers = buffers();
        let made = Client::handshake(io(ours), 64 << 10, &buffers).await;
        let (mut client, connection) = made.expect("the peer speaks HTTP/2");
        let _running = task::spawn("client", connection);
        let mut leg = begin(&mut client, &request(Method::Post, "/"), false).await;
        send_body(&mut leg, &pattern(20_000), 9_000, None).await.expect("it is sent");
        read_head(&mut leg).await.expect("there is an answer");
        poll_fn(|cx| leg.poll_body(cx)).await.expect("it is read");
        assert_eq!(buffers.pool().lent(), 0, "a stream keeps none of the connection's");
        assert_eq!(read_body(&mut leg, 7_000).await.expect("it is read").len(), 20_000);
        assert!(leg.chunk().is_empty());
    });
}

#[test]
fn answers_of_many_streams_leave_in_one_write() {
    run(async {
        let (ours, theirs) = duplex(1 << 20);
        let (mut reader, mut writer) = tokio::io::split(ours);
        let _server = server(theirs, SETTINGS, |_, mut leg| async move {
            stream(&mut leg).begin_response(&response(200), false).expect("it is sent");
            send_body(&mut leg, b"small", 5, None).await.expect("it is sent");
        });
        // Twenty requests at once, without compression.
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
        for index in 0..20_u8 {
            let block = b"\x82\x86\x84\x41\x01a";
            bytes.extend([0, 0, block.len() as u8, 1, 5, 0, 0, 0, 2 * index + 1]);
            bytes.extend(block);
        }
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        writer.write_all(&bytes).await.expect("it is sent");
        let mut answers = Vec::with_capacity(1 << 16);
        let mut reads = 0;
        let ends = |answers: &[u8]| answers.windows(5).filter(|part| *part == b"small").count();
        while ends(&answers) < 20 {
            reader.read_buf(&mut answers).await.expect("there are answers");
            reads += 1;
        }
        assert!(reads <= 3, "settings, and all answers: {reads}");
    });
}

#[test]
fn a_drained_connection_finishes_what_runs() {
    run(async {
        let (ours, theirs) = duplex(1 << 16);
        let serving = task::spawn("server", async move {
            let server = Server::handshake(io(theirs), &SETTINGS, &buffers()).await;
            let mut server = server.expect("the peer speaks HTTP/2");
            loop {
                match poll_fn(|cx| server.poll_accept(cx)).await {
                    Ok(accepted) => {
                        server.drain();
                        let (head, leg) = read_accepted(accepted);
                        task::spawn("stream", echo(head, leg));
                    }
                    Err(ended) => return ended,
                }
            }
        });
        let (mut client, _running) = client(ours).await;
        let mut leg = begin(&mut client, &request(Method::Post, "/"), false).await;
        send_body(&mut leg, b"whole", 10, None).await.expect("it is sent");
        read_head(&mut leg).await.expect("there is an answer");
        assert_eq!(read_body(&mut leg, 10).await.expect("it is read"), b"whole");
        drop(leg);
        assert!(matches!(serving.await, Ok(Ended::Closed)));
        assert!(client.is_closed(), "no more requests may be sent on it");
    });
}

#[test]
fn trailers_cross_from_one_version_to_the_other() {
    // HTTP/1.1 to HTTP/2.
    run(async {
        let buffers = buffers();
        let (ours, theirs) = duplex(1 << 10);
        let seen = Rc::new(Cell::new(Vec::new()));
        let told = seen.clone();
        let _server = server(theirs, SETTINGS, move |_, mut leg| {
            let told = told.clone();
            async move {
                assert_eq!(read_body(&mut leg, 2).await.expect("it is read"), b"abcdef");
                told.set(lines(leg.trailers()));
                stream(&mut leg).begin_response(&response(200), true).expect("it is sent");
            }
        });
        let (mut client, _running) = client(ours).await;
        let (mut from, feeding) = conn(&buffers, 1);
        let _feeding = feed(
            feeding,
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
              3\r\nabc\r\n3\r\ndef\r\n0\r\nX-Sum: 1\r\nHost: b\r\n\r\n",
        );
        let (mut head, _) = read_request(&mut from).await;
        head.fields.strip_hop_by_hop();
        let mut to = begin(&mut client, &head, false).await;
        let mut from = Leg::H1(Box::new(from));
        let mut pump = Pump::new();
        poll_fn(|cx| pump.poll(cx, &mut from, &mut to)).await.expect("it is moved");
        read_head(&mut to).await.expect("there is an answer");
        assert_eq!(seen.take(), [("x-sum".to_owned(), "1".to_owned())]);
    });
    // HTTP/2 to HTTP/1.1.
    run(async {
        let buffers = buffers();
        let (ours, theirs) = duplex(1 << 10);
        let _server = task::spawn("server", async move {
            let mut server = h2::server::handshake(theirs).await.expect("HTTP/2 is spoken");
            while let Some(Ok((_, mut respond))) = server.accept().await {
                let mut sending =
                    respond.send_response(Response::new(()), false).expect("it is sent");
                sending.send_data(Bytes::from_static(b"abc"), false).expect("it is sent");
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                trailers.insert("content-length", HeaderValue::from_static("9"));
                sending.send_trailers(trailers).expect("it is sent");
            }
        });
        let (mut client, _running) = client(ours).await;
        let mut from = begin(&mut client, &request(Method::Get, "/"), true).await;
        read_head(&mut from).await.expect("there is an answer");
        let (mut to, draining) = conn(&buffers, 1);
        let drained = drain(draining);
        begin_response(&mut to, BodyFraming::Chunked);
        let mut to = Leg::H1(Box::new(to));
        let mut pump = Pump::new();
        poll_fn(|cx| pump.poll(cx, &mut from, &mut to)).await.expect("it is moved");
        drop(to);
        let wire = String::from_utf8(drained.await.expect("it ends")).expect("text");
        assert!(wire.ends_with("\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n"), "{wire}");
    });
}
