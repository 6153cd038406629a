//! HTTP/2 upstreams that end a connection just when a request is sent on it, used before or new.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_runtime::task;

use super::harness::{Client, Http, Setup, run};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const END_STREAM_AND_HEADERS: u8 = 5;

/// How a connection ends when its second request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// In order, without a word.
    Close,
    /// By a reset of TCP.
    Reset,
    /// By GOAWAY that names the first request as the last.
    GoAway,
    /// It stays, and refuses the request.
    Refuse,
}

/// Serves each connection, of which the first is number 1.
async fn listen<F>(serve: impl Fn(TcpStream, usize) -> F + 'static) -> SocketAddr
where
    F: Future<Output = std::io::Result<()>> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let addr = listener.local_addr().expect("it is bound");
    task::spawn("upstream", async move {
        for number in 1.. {
            let (stream, _) = listener.accept().await.expect("it accepts");
            task::spawn("upstream", serve(stream, number));
        }
    });
    addr
}

/// An upstream that answers the first request of each connection, and ends with the second. Counts
/// the requests that it saw.
async fn upstream(end: End) -> (SocketAddr, Rc<Cell<usize>>) {
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    (listen(move |stream, _| serve(stream, end, count.clone())).await, seen)
}

async fn serve(mut stream: TcpStream, end: End, seen: Rc<Cell<usize>>) -> std::io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut served = 0;
    loop {
        let (kind, flags, id) = read_frame(&mut stream).await?;
        if kind == SETTINGS && flags == 0 {
            stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?;
        }
        if kind != HEADERS {
            continue;
        }
        seen.set(seen.get() + 1);
        served += 1;
        match (served, end) {
            // `:status: 200`, by its place in the static table.
            (1, _) => {
                stream.write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, id, &[0x88])).await?
            }
            (_, End::Close) => return Ok(()),
            (_, End::Reset) => return stream.set_zero_linger(),
            (_, End::GoAway) => {
                let first_and_no_error = [0, 0, 0, 1, 0, 0, 0, 0];
                return stream.write_all(&frame(GOAWAY, 0, 0, &first_and_no_error)).await;
            }
            (_, End::Refuse) => {
                stream.write_all(&frame(RST_STREAM, 0, id, &[0, 0, 0, 7])).await?;
                served = 0;
            }
        }
    }
}

/// The kind of the next frame, its flags and its stream.
async fn read_frame(stream: &mut TcpStream) -> std::io::Result<(u8, u8, u32)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).await?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    stream.read_exact(&mut payload).await?;
    Ok((kind, flags, u32::from_be_bytes(id)))
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn a_request_that_can_be_replayed_does_not_see_its_connection_end() {
    for end in [End::Close, End::Reset, End::GoAway, End::Refuse] {
        for down in [Http::One, Http::Two] {
            run(async {
                let (addr, seen) = upstream(end).await;
                let gateway = Setup::new(Http::Two, &[addr]).start().await;
                let mut client = Client::connect(down, gateway.addr).await;
                for _ in 0..4 {
                    assert_eq!(client.get("/").await.status, 200, "{end:?} {down:?}");
                }
                assert_eq!(seen.get(), 4 + 3, "all but the first met an end, {end:?} {down:?}");
                assert_eq!(gateway.metric("weftway_upstream_replays_total{backend=\"one\"}"), 3.0);
                gateway.until_idle().await;
            });
        }
    }
}

#[test]
fn what_may_not_be_sent_twice_is_sent_again_only_where_the_upstream_says_it_did_nothing() {
    for (end, status) in
        [(End::Close, 502), (End::Reset, 502), (End::GoAway, 200), (End::Refuse, 200)]
    {
        run(async {
            let (addr, seen) = upstream(end).await;
            let gateway = Setup::new(Http::Two, &[addr]).start().await;
            let mut client = Client::connect(Http::One, gateway.addr).await;
            assert_eq!(client.get("/").await.status, 200);
            assert_eq!(client.send("POST", "/", b"").await.status, status, "{end:?}");
            assert_eq!(seen.get(), if status == 200 { 3 } else { 2 }, "{end:?}");
            gateway.until_idle().await;
        });
    }
}

/// An upstream that is being replaced: it ends so many connections in order, when they are new or
/// when their first request comes, and has looked at nothing. Then its successor answers. Counts the
/// connections.
async fn replaced(goodbyes: usize, at_once: bool) -> (SocketAddr, Rc<Cell<usize>>) {
    let made = Rc::new(Cell::new(0));
    let count = made.clone();
    let addr = listen(move |stream, number| {
        count.set(number);
        async move {
            match number <= goodbyes {
                true => leave(stream, at_once).await,
                false => serve(stream, End::Close, Rc::default()).await,
            }
        }
    });
    (addr.await, made)
}

async fn leave(mut stream: TcpStream, at_once: bool) -> std::io::Result<()> {
    let goodbye = frame(GOAWAY, 0, 0, &[0; 8]);
    stream.read_exact(&mut [0; PREFACE.len()]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    if at_once {
        stream.write_all(&goodbye).await?;
    }
    loop {
        let (kind, ..) = read_frame(&mut stream).await?;
        if kind == HEADERS && !at_once {
            stream.write_all(&goodbye).await?;
        }
    }
}

#[test]
fn a_new_connection_that_is_ended_in_order_is_made_again() {
    for at_once in [true, false] {
        for (goodbyes, status) in [(1, 200), (2, 200), (3, 502)] {
            for method in ["GET", "POST"] {
                run(async {
                    let (addr, made) = replaced(goodbyes, at_once).await;
                    let gateway = Setup::new(Http::Two, &[addr]).start().await;
                    let mut client = Client::connect(Http::One, gateway.addr).await;
                    let answer = client.send(method, "/", b"").await;
                    assert_eq!(answer.status, status, "{method} {goodbyes} {at_once}");
                    assert_eq!(made.get(), (goodbyes + 1).min(3), "{method} {at_once}");
                    gateway.until_idle().await;
                });
            }
        }
    }
}
