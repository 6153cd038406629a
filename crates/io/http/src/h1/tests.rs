use std::future::poll_fn;
use std::task::Poll;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_message::h1::BodyFraming;
use weft_message::{Known, Method, RequestHead};

use super::*;
use crate::Leg;
use crate::error::{HeadError, ReadError, WriteError};
use crate::fixtures::{
    begin_response, buffers, conn, drain, feed, fields, lines, pattern, read_body, read_request,
    read_response, run, send_body,
};

/// Capacities of the wire: byte by byte, a few, and all at once.
const CAPACITIES: [usize; 3] = [1, 13, 64 << 10];

fn leg(conn: Conn) -> Leg {
    Leg::H1(Box::new(conn))
}

fn conn_of(leg: Leg) -> Box<Conn> {
    match leg {
        Leg::H1(conn) => conn,
        Leg::H2(_) => panic!("it is HTTP/1.1"),
    }
}

/// Reads one request with its body from `wire`; what is left belongs to the next one.
fn check_read(wire: &str, body: Result<&str, &str>, trailers: &[(&str, &str)], left: &str) {
    for capacity in CAPACITIES {
        for part in [1, usize::MAX] {
            run(async {
                let buffers = buffers();
                let (mut conn, theirs) = conn(&buffers, capacity);
                let feeding = feed(theirs, wire.as_bytes());
                read_request(&mut conn).await;
                let mut leg = leg(conn);
                let read = read_body(&mut leg, part).await;
                match (read, body) {
                    (Ok(read), Ok(body)) => assert_eq!(String::from_utf8_lossy(&read), body),
                    (Err(error), Err(expected)) => {
                        let mut text = error.to_string();
                        if let Some(source) = std::error::Error::source(&error) {
                            text = format!("{text}: {source}");
                        }
                        assert_eq!(text, expected, "{wire:?}");
                        assert!(!conn_of(leg).is_reusable());
                        return;
                    }
                    (read, body) => panic!("{wire:?} gave {read:?}, not {body:?}"),
                }
                let expected: Vec<_> =
                    trailers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
                assert_eq!(lines(leg.trailers()), expected, "{wire:?}");
                let mut conn = conn_of(leg);
                let (_, unread) = conn.take_parts();
                let mut rest = unread;
                let mut theirs = feeding.await.expect("it ends");
                drop(conn);
                // What did not fit the wire any more was never read.
                if capacity > wire.len() {
                    assert_eq!(String::from_utf8_lossy(&rest), left, "{wire:?}");
                }
                rest.clear();
                theirs.read_to_end(&mut rest).await.expect("memory does not fail");
            });
        }
    }
}

#[test]
fn bodies_are_read_by_their_framing() {
    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\n";
    let check = |fields: &str, rest: &str, body, trailers: &[_], left| {
        check_read(&format!("{HEAD}{fields}\r\n{rest}"), body, trailers, left);
    };
    check("", "GET", Ok(""), &[], "GET");
    check("Content-Length: 0\r\n", "GET", Ok(""), &[], "GET");
    check("Content-Length: 5\r\n", "helloGET /", Ok("hello"), &[], "GET /");
    let chunked = "Transfer-Encoding: chunked\r\n";
    check(chunked, "0\r\n\r\nGET", Ok(""), &[], "GET");
    check(chunked, "5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\nG", Ok("hello world"), &[], "G");
    check(
        chunked,
        "3\r\nabc\r\n0\r\nX-Sum: 1\r\nContent-Length: 7\r\nx-b: 2\r\n\r\nGET",
        Ok("abc"),
        &[("x-sum", "1"), ("x-b", "2")],
        "GET",
    );
    check("Content-Length: 5\r\n", "hell", Err("the connection ended within a body"), &[], "");
    check(chunked, "5\r\nhello\r\n", Err("the connection ended within a body"), &[], "");
    check(
        chunked,
        "5\r\nhelloo\r\n",
        Err("the body is malformed: a chunk does not end where its size says"),
        &[],
        "",
    );
}

/// Sends a response with `body` framed so; what leaves is `wire` after the head.
fn check_send(framing: BodyFraming, body: &str, trailers: &[(&str, &str)], wire: &str) {
    for capacity in CAPACITIES {
        run(async {
            let buffers = buffers();
            let (mut conn, theirs) = conn(&buffers, capacity);
            let drained = drain(theirs);
            begin_response(&mut conn, framing);
            let mut leg = leg(conn);
            let trailers = fields(trailers);
            send_body(&mut leg, body.as_bytes(), 4, Some(&trailers)).await.expect("it is sent");
            drop(leg);
            let text = String::from_utf8(drained.await.expect("it ends")).expect("text");
            let (_, sent) = text.split_once("\r\n\r\n").expect("there is a head");
            assert_eq!(sent, wire, "{framing:?}");
            assert_eq!(buffers.pool().lent(), 0);
        });
    }
}

#[test]
fn bodies_are_sent_by_their_framing() {
    let trailers = [("x-sum", "1"), ("content-length", "3")];
    check_send(BodyFraming::None, "", &trailers, "");
    check_send(BodyFraming::Length(0), "", &trailers, "");
    check_send(BodyFraming::Length(6), "abcdef", &trailers, "abcdef");
    check_send(BodyFraming::UntilClose, "abcdef", &trailers, "abcdef");
    check_send(BodyFraming::Chunked, "", &[], "0\r\n\r\n");
    check_send(
        BodyFraming::Chunked,
        "abcdef",
        &trailers,
        "4\r\nabcd\r\n2\r\nef\r\n0\r\nx-sum: 1\r\n\r\n",
    );
}

#[test]
fn a_body_has_the_promised_length_or_the_connection_ends() {
    for (framing, body) in [
        (BodyFraming::None, "a"),
        (BodyFraming::Length(2), "abc"),
        (BodyFraming::Length(2), "a"),
        (BodyFraming::Length(2), ""),
    ] {
        run(async {
            let buffers = buffers();
            let (mut conn, _theirs) = conn(&buffers, 1 << 10);
            begin_response(&mut conn, framing);
            let mut leg = leg(conn);
            let sent = send_body(&mut leg, body.as_bytes(), 10, None).await;
            assert!(matches!(sent, Err(WriteError::Length)), "{framing:?} {body:?}: {sent:?}");
            assert!(!conn_of(leg).is_reusable());
        });
    }
}

#[test]
fn a_large_body_passes_a_small_wire_both_ways_at_once() {
    let body = pattern(300_000);
    run(async {
        let buffers = buffers();
        let (mut server, theirs) = conn(&buffers, 1_000);
        let mut client = Conn::new(crate::fixtures::io(theirs), buffers.clone());
        let mut head = RequestHead::new();
        head.set_method(Method::Post);
        head.set_authority("a").expect("valid");
        head.set_path("/").expect("valid");
        let framing = BodyFraming::Length(body.len() as u64);
        client.begin_message(framing, |out| {
            weft_message::h1::write_request(&head, framing, out);
        });
        let mut client = leg(client);
        let calling = async {
            send_body(&mut client, &body, 5_000, None).await.expect("it is sent");
            let mut client = conn_of(client);
            let (head, framing) = read_response(&mut client).await;
            assert_eq!((head.status(), framing), (200, BodyFraming::Chunked));
            let mut client = leg(*client);
            assert!(read_body(&mut client, 777).await.expect("it is read") == body);
            conn_of(client).is_reusable()
        };
        let serving = async {
            let (_, framing) = read_request(&mut server).await;
            assert_eq!(framing, BodyFraming::Length(body.len() as u64));
            let mut server = leg(server);
            let read = read_body(&mut server, usize::MAX).await.expect("it is read");
            assert!(read == body);
            let mut server = conn_of(server);
            begin_response(&mut server, BodyFraming::Chunked);
            let mut server = leg(*server);
            send_body(&mut server, &read, 70_000, None).await.expect("it is sent");
            conn_of(server).is_reusable()
        };
        assert_eq!(tokio::join!(calling, serving), (true, true));
        assert_eq!(buffers.pool().lent(), 0, "an idle connection owns no buffer");
    });
}

#[test]
fn a_slow_reader_is_seen_to_be_one() {
    run(async {
        let buffers = buffers();
        let (mut conn, mut theirs) = conn(&buffers, 16);
        let body = pattern(100_000);
        begin_response(&mut conn, BodyFraming::Length(body.len() as u64));
        assert!(conn.has_output(), "the head waits");
        let mut leg = leg(conn);
        let sent = poll_fn(|cx| Poll::Ready(leg.poll_send(cx, &body))).await;
        assert!(sent.is_pending());
        assert!(leg.has_unsent());
        let reading = async {
            let mut all = Vec::new();
            theirs.read_to_end(&mut all).await.expect("memory does not fail");
            all.len()
        };
        let sending = async {
            send_body(&mut leg, &body, usize::MAX, None).await.expect("it is sent");
            assert!(!leg.has_unsent());
            drop(leg);
        };
        let (read, ()) = tokio::join!(reading, sending);
        assert!(read > body.len());
    });
}

#[test]
fn many_messages_follow_each_other() {
    run(async {
        let buffers = buffers();
        let (mut conn, mut theirs) = conn(&buffers, 1 << 10);
        let wire = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\n\
                    Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n";
        theirs.write_all(wire.as_bytes()).await.expect("memory does not fail");
        for (path, body) in [("/1", ""), ("/2", "abc"), ("/3", "")] {
            let (head, _) = read_request(&mut conn).await;
            assert_eq!(head.path(), path);
            let mut one = leg(conn);
            assert_eq!(read_body(&mut one, usize::MAX).await.expect("it is read"), body.as_bytes());
            conn = *conn_of(one);
            assert!(!conn.is_reusable() || conn.sending() == Sending::Done);
            begin_response(&mut conn, BodyFraming::Length(2));
            assert!(!conn.is_reusable(), "an answer is under way");
            let mut one = leg(conn);
            send_body(&mut one, b"ok", 2, None).await.expect("it is sent");
            conn = *conn_of(one);
            assert!(conn.is_reusable());
            assert_eq!(conn.has_unread(), path != "/3");
        }
        assert!(conn.is_quiet());
    });
}

#[test]
fn the_end_of_the_peer_is_noticed() {
    run(async {
        let buffers = buffers();
        // In the middle of a head.
        let (mut first, mut theirs) = conn(&buffers, 1 << 10);
        theirs.write_all(b"GET / HT").await.expect("memory does not fail");
        drop(theirs);
        let mut head = RequestHead::new();
        let read = poll_fn(|cx| {
            first.poll_request(cx, &Default::default(), &Default::default(), &mut head)
        });
        assert!(matches!(read.await, Err(HeadError::Truncated)));
        // Before the head.
        let (mut second, theirs) = conn(&buffers, 1 << 10);
        drop(theirs);
        let read = poll_fn(|cx| {
            second.poll_request(cx, &Default::default(), &Default::default(), &mut head)
        });
        assert!(matches!(read.await, Err(HeadError::Closed)));
        // While its answer is awaited; the beginning of a next request does not hide it.
        let (mut third, mut theirs) = conn(&buffers, 1 << 10);
        theirs.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.expect("it is written");
        read_request(&mut third).await;
        assert!(poll_fn(|cx| Poll::Ready(third.poll_gone(cx))).await.is_pending());
        theirs.write_all(b"GET /next").await.expect("memory does not fail");
        assert!(poll_fn(|cx| Poll::Ready(third.poll_gone(cx))).await.is_pending());
        drop(theirs);
        poll_fn(|cx| third.poll_gone(cx)).await;
        assert!(!third.is_reusable());
    });
}

#[test]
fn a_body_that_is_on_its_way_is_left_to_its_reader() {
    run(async {
        let buffers = buffers();
        let (mut conn, mut theirs) = conn(&buffers, 1 << 10);
        let wire = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
        theirs.write_all(wire.as_bytes()).await.expect("memory does not fail");
        read_request(&mut conn).await;
        drop(theirs);
        assert!(poll_fn(|cx| Poll::Ready(conn.poll_gone(cx))).await.is_pending());
        let read = read_body(&mut leg(conn), 10).await;
        assert!(matches!(read, Err(ReadError::Truncated)));
    });
}

#[test]
fn bytes_after_an_answer_make_a_connection_unfit() {
    run(async {
        let buffers = buffers();
        let (mut client, theirs) = conn(&buffers, 1 << 10);
        let feeding =
            feed(theirs, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n");
        let (_, framing) = read_response(&mut client).await;
        assert_eq!(framing, BodyFraming::Length(0));
        assert!(client.has_unread());
        assert!(!client.is_quiet());
        drop(feeding);
    });
}

#[test]
fn interim_responses_come_one_by_one() {
    run(async {
        let buffers = buffers();
        let (mut client, theirs) = conn(&buffers, 1);
        let wire = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                    HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let _feeding = feed(theirs, wire.as_bytes());
        assert_eq!(read_response(&mut client).await.0.status(), 100);
        let (head, _) = read_response(&mut client).await;
        assert_eq!((head.status(), head.fields.get_str("link")), (103, Some("</a>")));
        assert_eq!(read_response(&mut client).await.0.status(), 200);
        assert_eq!(read_body(&mut leg(client), 10).await.expect("it is read"), b"ok");
    });
}

#[test]
fn a_protocol_that_takes_over_gets_the_bytes_that_came_early() {
    run(async {
        let buffers = buffers();
        let (mut client, mut theirs) = conn(&buffers, 1 << 10);
        let wire = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\
                    Upgrade: websocket\r\n\r\n\x01early";
        theirs.write_all(wire.as_bytes()).await.expect("memory does not fail");
        let (head, framing) = read_response(&mut client).await;
        assert_eq!((head.status(), framing), (101, BodyFraming::None));
        assert!(head.fields.contains(Known::Upgrade));
        let (mut io, unread) = client.take_parts();
        assert_eq!(unread, b"\x01early");
        assert!(!client.is_reusable());
        io.write_all(b"back").await.expect("memory does not fail");
        let mut back = [0; 4];
        theirs.read_exact(&mut back).await.expect("memory does not fail");
        assert_eq!(&back, b"back");
        // What is left of the connection is at its end, and takes nothing.
        assert!(poll_fn(|cx| client.poll_discard(cx)).await.is_ok_and(|count| count == 0));
    });
}

#[test]
fn an_answer_that_only_the_end_completes_is_reset_when_it_is_given_up() {
    run(async {
        let buffers = buffers();
        for (framing, resets) in [
            (BodyFraming::UntilClose, true),
            (BodyFraming::Length(5), false),
            (BodyFraming::Chunked, false),
        ] {
            let (mut conn, _theirs) = conn(&buffers, 1 << 10);
            begin_response(&mut conn, framing);
            conn.abort();
            assert_eq!(conn.resets(), resets, "{framing:?}");
            assert!(!conn.is_reusable());
        }
    });
}
