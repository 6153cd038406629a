use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_model::id::BackendId;
use weft_model::outcome::Reason;
use weft_runtime::{task, time};

use super::*;
use crate::shared::Shared;
use crate::testing::{backend, calling, local, with, worker};

const TARGET: &str = "db.internal:5432";

/// What a proxy was asked, up to the empty line.
type Asked = Rc<RefCell<Vec<String>>>;

/// A proxy that answers each request with these bytes, then does `work`.
async fn proxy<F: Future<Output = ()> + 'static>(
    answer: &'static [u8],
    work: impl Fn(TcpStream) -> F + 'static,
) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let asked = Asked::default();
    let heard = asked.clone();
    task::spawn("proxy", async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("the head is whole"));
            }
            heard.borrow_mut().push(String::from_utf8(head).expect("it is text"));
            stream.write_all(answer).await.expect("it is open");
            work(stream).await;
        }
    });
    (addr, asked)
}

/// A stream through the proxy there.
async fn through(
    addr: SocketAddr,
    post: bool,
    protocol: UpstreamProtocol,
) -> Result<Io, ConnectError> {
    let (host, port) = TARGET.split_once(':').expect("it has a port");
    let tunnelled = calling(backend("db", &[addr]), |calling| {
        let port = port.parse().expect("it is a number");
        calling.tunnel = Some(calling::Tunnel { post, host: host.into(), port });
    });
    let tunnelled = with(tunnelled, |settings| settings.protocol = protocol);
    let worker = worker(&Shared::new(time::now()), [tunnelled]);
    let db = worker.backend(&BackendId::new("db"), time::now()).expect("it is there");
    let tried = crate::Tried::default();
    let rng = weft_resilience::rng::Rng::new(7);
    let lease = db.pick_stream(&crate::Ask::new(time::now(), &tried), &rng).expect("there is one");
    lease.dial_stream(&worker.environment().buffers, "").await
}

async fn echo(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    let _ = tokio::io::copy(&mut reader, &mut writer).await;
}

async fn read(io: &mut Io, expected: &[u8]) {
    let mut found = vec![0; expected.len()];
    io.read_exact(&mut found).await.expect("it comes");
    assert_eq!(found, expected);
}

#[test]
fn connect_leads_to_the_target_and_early_bytes_are_kept() {
    local(async {
        let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Established\r\n\r\nready\n";
        let (addr, asked) = proxy(answer, echo).await;
        let mut io = through(addr, false, UpstreamProtocol::Auto).await.expect("it is opened");
        read(&mut io, b"ready\n").await;
        io.write_all(b"select 1").await.expect("it is open");
        read(&mut io, b"select 1").await;
        io.shutdown().await.expect("it is open");
        assert_eq!(io.read(&mut [0]).await.expect("it ends in order"), 0);
        let expected = format!("CONNECT {TARGET} HTTP/1.1\r\nHost: {TARGET}\r\n\r\n");
        assert_eq!(*asked.borrow(), [expected]);
    });
}

#[test]
fn post_carries_the_bytes_in_bodies() {
    local(async {
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nready\n\r\n";
        let (addr, asked) = proxy(answer, |mut stream| async move {
            let mut body = Vec::new();
            while !body.ends_with(b"0\r\n\r\n") {
                body.push(stream.read_u8().await.expect("the body is whole"));
            }
            assert_eq!(body, b"8\r\nselect 1\r\n0\r\n\r\n");
            stream.write_all(b"3\r\none\r\n0\r\n\r\n").await.expect("it is open");
        })
        .await;
        let mut io = through(addr, true, UpstreamProtocol::Auto).await.expect("it is opened");
        read(&mut io, b"ready\n").await;
        io.write_all(b"select 1").await.expect("it is open");
        io.shutdown().await.expect("it is open");
        read(&mut io, b"one").await;
        assert_eq!(io.read(&mut [0]).await.expect("it ends in order"), 0);
        let asked = asked.borrow();
        assert!(asked[0].starts_with(&format!("POST / HTTP/1.1\r\nHost: {TARGET}\r\n")));
        assert!(asked[0].contains("Transfer-Encoding: chunked\r\n"), "{}", asked[0]);
    });
}

#[test]
fn what_a_proxy_refuses_is_said() {
    local(async {
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        let (addr, _asked) = proxy(answer, echo).await;
        for post in [false, true] {
            let error = through(addr, post, UpstreamProtocol::Auto).await.map(drop);
            let error = error.expect_err("it is refused");
            assert_eq!(error.reason(), Reason::ConnectFailed);
            let cause = std::error::Error::source(&error).expect("it says why");
            assert_eq!(cause.to_string(), "the tunnel was refused with status 407");
        }
    });
}

#[test]
fn both_work_over_http2() {
    local(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("it is bound");
        let asked = Rc::new(RefCell::new(Vec::new()));
        let heard = asked.clone();
        task::spawn("proxy", async move {
            loop {
                let (stream, _) = listener.accept().await.expect("it accepts");
                let heard = heard.clone();
                task::spawn("proxy", async move {
                    let mut server = h2::server::handshake(stream).await.expect("HTTP/2");
                    while let Some(Ok((request, mut respond))) = server.accept().await {
                        let authority = request.uri().authority().map(ToString::to_string);
                        heard.borrow_mut().push((request.method().to_string(), authority));
                        task::spawn("echo", async move {
                            let head = http::Response::new(());
                            let mut sink = respond.send_response(head, false).expect("it is open");
                            let mut body = request.into_body();
                            while let Some(Ok(bytes)) = body.data().await {
                                sink.send_data(bytes, false).expect("it is open");
                            }
                            sink.send_data(bytes::Bytes::new(), true).expect("it is open");
                        });
                    }
                });
            }
        });
        for post in [false, true] {
            let opened = through(addr, post, UpstreamProtocol::Http2).await;
            let mut io = opened.expect("it is opened");
            io.write_all(b"select 1").await.expect("it is open");
            read(&mut io, b"select 1").await;
            io.shutdown().await.expect("it is open");
            assert_eq!(io.read(&mut [0]).await.expect("it ends in order"), 0);
        }
        let expected = ["CONNECT", "POST"].map(|method| (method.into(), Some(TARGET.into())));
        assert_eq!(*asked.borrow(), expected);
    });
}
