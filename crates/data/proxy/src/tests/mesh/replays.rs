//! Which requests are sent again when the application that they were meant for is lost, and which
//! must not be.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_model::mesh::Protocol;
use weft_runtime::task::{self, Task};
use weft_testkit::Reserved;

use super::super::harness::{Client, Http, Origin, Proxy, endpoint, run_bounded, service};
use super::{PAYMENTS, PAYMENTS_ADDR, authority, callee};

/// Requests of one case: enough for both instances to be chosen.
const REQUESTS: usize = 12;

/// How an instance is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It listens no more.
    Closed,
    /// The system still takes connections for it, and then resets them.
    Taken,
    /// It has begun to read the request.
    Read,
    /// It has answered on a connection that is kept, and dies with the next request on it.
    Kept,
}

/// An application that is lost.
struct Lost {
    addr: SocketAddr,
    _task: Option<Task<()>>,
}

impl Lost {
    async fn start(loss: Loss) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = match loss {
            Loss::Closed => return Self { addr: Reserved::forever(), _task: None },
            Loss::Taken | Loss::Read => Some(task::spawn("lost", async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    if loss == Loss::Read {
                        let _ = stream.read(&mut [0; 4096]).await;
                    }
                }
            })),
            Loss::Kept => Some(task::spawn("lost", async move {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                drop(listener);
                if until_head(&mut stream).await {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(answer).await.unwrap();
                    until_head(&mut stream).await;
                }
            })),
        };
        Self { addr, _task: task }
    }
}

/// Reads until a head has ended; false when the connection does before.
async fn until_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    true
}

/// A caller of two instances, of which one is lost. Gives how often a request failed, and how often
/// the caller's proxy sent one again.
async fn call(loss: Loss, http: Http, method: &str, body: &[u8]) -> (usize, f64) {
    let authority = authority();
    let lost = Lost::start(loss).await;
    let app = Origin::echo(http).await;
    let (one, two) = (callee(&authority, "one").await, callee(&authority, "two").await);
    let endpoints = [endpoint(lost.addr, Some(&one)), endpoint(app.addr, Some(&two))];
    let payments = service(PAYMENTS, PAYMENTS_ADDR, Protocol::Http, &endpoints);
    let ours = Proxy::start(&authority, "front", &[payments], &[]).await;
    let mut failed = 0;
    for _ in 0..REQUESTS {
        let mut client = Client::over(http, ours.dial(PAYMENTS_ADDR).await).await;
        let answer = client.send(method, "/", body).await;
        assert!(matches!(answer.status, 200 | 502), "{loss:?} {http:?} {method}: {answer:?}");
        failed += usize::from(answer.status == 502);
    }
    let replays =
        "weftway_upstream_replays_total{backend=\"outbound/payments.shop.svc.cluster.local\"}";
    (failed, ours.metric(replays))
}

#[test]
fn what_provably_reached_no_application_goes_to_another() {
    for (loss, http, method, body) in [
        (Loss::Closed, Http::One, "GET", &b""[..]),
        (Loss::Closed, Http::Two, "GET", b""),
        // Its body is on its way when the other proxy says that nobody is there.
        (Loss::Closed, Http::One, "POST", b"money"),
        (Loss::Closed, Http::Two, "POST", b"money"),
        // A connection that was kept and says nothing any more: what may be done twice is done
        // again, and then nobody is there.
        (Loss::Kept, Http::One, "GET", b""),
    ] {
        run_bounded(async {
            let (failed, replays) = call(loss, http, method, body).await;
            assert_eq!(failed, 0, "{loss:?} {http:?} {method}");
            assert!(replays >= 1.0, "{loss:?} {http:?} {method}: nobody chose the lost one");
        });
    }
}

#[test]
fn what_may_have_reached_an_application_is_not_sent_again() {
    for (loss, http, method, body) in [
        (Loss::Taken, Http::One, "POST", &b"money"[..]),
        (Loss::Taken, Http::Two, "POST", b"money"),
        (Loss::Read, Http::One, "GET", b""),
        (Loss::Read, Http::One, "POST", b"money"),
        (Loss::Read, Http::Two, "POST", b"money"),
        (Loss::Kept, Http::One, "POST", b"money"),
    ] {
        run_bounded(async {
            let (failed, replays) = call(loss, http, method, body).await;
            assert!(failed >= 1, "{loss:?} {http:?} {method}: nobody chose the lost one");
            // Where it listens no more, those that came after reached nobody.
            assert!(replays == 0.0 || loss == Loss::Kept, "{loss:?} {http:?} {method}");
        });
    }
}
