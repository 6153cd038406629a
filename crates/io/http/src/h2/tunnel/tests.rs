use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use weft_message::{Known, PathRules, Scheme};
use weft_net::Stream as _;
use weft_runtime::task::{self, Task};

use super::*;
use crate::fixtures::{buffers, fields, io, pattern, run};
use crate::h2::{Server, ServerSettings};

const SETTINGS: ServerSettings = ServerSettings {
    streams_max: 100,
    head_bytes_max: 64 << 10,
    connection_window_bytes: 1 << 20,
    stream_window_bytes: 64 << 10,
    resets_max: 10,
    control_frames_max: 100,
};

const DESTINATION: &str = "10.77.0.9:8080";

/// Both ends of a connection on which tunnels can be opened.
struct Pair {
    client: Client,
    /// Streams that arrive, with their heads.
    arrived: tokio::sync::mpsc::UnboundedReceiver<(RequestHead, Box<Stream>)>,
    serving: Task<()>,
    /// The client's end neither reads nor writes while this is set.
    is_stalled: Rc<Cell<bool>>,
}

impl Pair {
    async fn new(settings: ServerSettings, capacity: usize) -> Self {
        let (near, far) = duplex(capacity);
        let (send, arrived) = tokio::sync::mpsc::unbounded_channel();
        let serving = task::spawn("server", async move {
            let mut server = Server::handshake(io(near), &settings, &buffers()).await.unwrap();
            while let Ok(accepted) = poll_fn(|cx| server.poll_accept(cx)).await {
                let mut head = RequestHead::new();
                let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
                let (stream, read) =
                    accepted.into_request(Scheme::Http, &limits, &rules, &mut head);
                read.unwrap();
                let _ = send.send((head, stream));
            }
        });
        let (client, connection) = Client::handshake(io(far), 64 << 10, &buffers()).await.unwrap();
        let is_stalled = Rc::new(Cell::new(false));
        let stalled = is_stalled.clone();
        task::spawn("client", async move {
            let mut connection = std::pin::pin!(connection);
            let moved =
                poll_fn(
                    |cx| {
                        if stalled.get() { Poll::Pending } else { connection.as_mut().poll(cx) }
                    },
                );
            let _ = moved.await;
        });
        Self { client, arrived, serving, is_stalled }
    }

    async fn arrive(&mut self) -> (RequestHead, Box<Stream>) {
        self.arrived.recv().await.unwrap()
    }

    /// An open tunnel: the client's end and the server's.
    async fn tunnel(&mut self) -> (Tunnel, Tunnel) {
        let mut client = self.client.clone();
        tokio::join!(open(&mut client, Fields::new()), async {
            let (_, stream) = self.arrive().await;
            Tunnel::accept(stream, Fields::new()).unwrap()
        })
    }
}

async fn try_open(client: &mut Client, fields: Fields) -> Result<Tunnel, OpenError> {
    Tunnel::open(client, DESTINATION.parse().unwrap(), fields, &HeadLimits::DEFAULT).await
}

async fn open(client: &mut Client, fields: Fields) -> Tunnel {
    try_open(client, fields).await.unwrap()
}

/// Copies back what comes, in order, to its end.
fn echo(mut tunnel: Tunnel) -> Task<()> {
    task::spawn("echo", async move {
        let mut buffer = vec![0; 3000];
        loop {
            let count = tunnel.read(&mut buffer).await.unwrap();
            if count == 0 {
                return tunnel.shutdown().await.unwrap();
            }
            tunnel.write_all(&buffer[..count]).await.unwrap();
        }
    })
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn it_is_asked_for_as_hbone_does() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let mut client = pair.client.clone();
        let opened = async { open(&mut client, fields(&[("baggage", "a=b")])).await };
        let (_near, _far) = tokio::join!(opened, async {
            let (head, stream) = pair.arrive().await;
            assert_eq!(*head.method(), Method::Connect);
            assert_eq!((head.authority(), head.path_and_query()), (DESTINATION, ""));
            assert_eq!(head.fields.get_str(Known::Baggage), Some("a=b"));
            Tunnel::accept(stream, Fields::new()).unwrap()
        });
        let v6: SocketAddr = "[fd77::9]:8080".parse().unwrap();
        let limits = HeadLimits::DEFAULT;
        let opened = Tunnel::open(&mut client, v6, Fields::new(), &limits);
        let (_near, _far) = tokio::join!(async { opened.await.unwrap() }, async {
            let (head, stream) = pair.arrive().await;
            assert_eq!((head.host(), head.port()), ("[fd77::9]", Some(8080)));
            Tunnel::accept(stream, Fields::new()).unwrap()
        });
    });
}

#[test]
fn a_refusal_is_told_with_its_status() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let mut client = pair.client.clone();
        let (opened, ()) = tokio::join!(try_open(&mut client, Fields::new()), async {
            let (_, mut stream) = pair.arrive().await;
            let mut answer = ResponseHead::default();
            answer.set_status(503);
            answer.fields = fields(&[("retry-after", "1")]);
            stream.begin_response(&answer, true).unwrap();
        });
        let Err(error @ OpenError::Refused(_)) = opened else { panic!("not refused") };
        assert_eq!(error.to_string(), "the tunnel was refused with status 503");
        let OpenError::Refused(answer) = error else { unreachable!() };
        assert_eq!(answer.fields.get_str(Known::RetryAfter), Some("1"));
        // Without an answer at all.
        let (opened, ()) = tokio::join!(try_open(&mut client, Fields::new()), async {
            let (_, mut stream) = pair.arrive().await;
            stream.reset(Reason::REFUSED_STREAM);
        });
        assert!(matches!(opened, Err(OpenError::Answer(_))));
    });
}

#[test]
fn large_data_goes_both_ways_through_small_windows() {
    run(async {
        let settings = ServerSettings { stream_window_bytes: 1000, ..SETTINGS };
        let mut pair = Pair::new(settings, 700).await;
        let (near, far) = pair.tunnel().await;
        let echoing = echo(far);
        let data = pattern(1 << 20);
        let (mut reader, mut writer) = tokio::io::split(near);
        let (sent, received) = tokio::join!(
            async {
                writer.write_all(&data).await.unwrap();
                writer.shutdown().await
            },
            async {
                let mut received = Vec::new();
                reader.read_to_end(&mut received).await.unwrap();
                received
            }
        );
        sent.unwrap();
        assert!(received == data);
        echoing.await.unwrap();
    });
}

#[test]
fn thousands_of_small_writes_arrive_in_order() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let (mut near, mut far) = pair.tunnel().await;
        let data = pattern(20_000);
        let (_, received) = tokio::join!(
            async {
                for byte in &data {
                    near.write_all(&[*byte]).await.unwrap();
                }
                near.shutdown().await.unwrap();
            },
            async {
                let mut received = Vec::new();
                far.read_to_end(&mut received).await.unwrap();
                received
            }
        );
        assert!(received == data);
    });
}

#[test]
fn a_slow_reader_of_small_writes_does_not_end_the_connection() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let fill = async |mut from: Tunnel, bytes_max: usize| {
            let mut written = 0;
            let write = async {
                while written < bytes_max {
                    written += from.write(b"a").await.unwrap();
                }
            };
            // Time stands still until everybody waits: the window is full.
            let _ = tokio::time::timeout(Duration::from_secs(1), write).await;
            (from, written)
        };
        let (near, mut slow) = pair.tunnel().await;
        let (mut near, to_server) = fill(near, usize::MAX).await;
        assert_eq!(to_server, SETTINGS.stream_window_bytes as usize);
        let (slow_client, far) = pair.tunnel().await;
        let (_far, to_client) = fill(far, 50_000).await;
        assert_eq!(to_client, 50_000);
        // All of them work, and nothing is lost.
        let (mut other, far) = pair.tunnel().await;
        let echoing = echo(far);
        other.write_all(b"still here").await.unwrap();
        other.shutdown().await.unwrap();
        let mut back = Vec::new();
        other.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"still here");
        echoing.await.unwrap();
        near.shutdown().await.unwrap();
        let mut all = Vec::new();
        slow.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), to_server);
        drop(slow_client);
    });
}

#[test]
fn nobody_queues_without_bound() {
    run(async {
        // Small writes share frames.
        let check = async |part: usize, bytes_max: usize| {
            let mut pair = Pair::new(SETTINGS, 64).await;
            let (_near, mut far) = pair.tunnel().await;
            pair.is_stalled.set(true);
            let part = vec![0; part];
            let mut written = 0;
            let write = async {
                loop {
                    written += far.write(&part).await.unwrap();
                }
            };
            // Time stands still until everybody waits.
            tokio::time::timeout(Duration::from_secs(1), write).await.unwrap_err();
            assert!((1..=bytes_max).contains(&written), "{written}");
        };
        check(16 << 10, 128 << 10).await;
        check(1, 128 << 10).await;
    });
}

#[test]
fn each_direction_ends_by_itself() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let (mut near, mut far) = pair.tunnel().await;
        near.write_all(b"question").await.unwrap();
        near.shutdown().await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(kind(near.write(b"more").await), io::ErrorKind::BrokenPipe);
        let mut question = Vec::new();
        far.read_to_end(&mut question).await.unwrap();
        assert_eq!(question, b"question");
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0, "the end stays");
        far.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        near.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        // What was written before the end arrives, even if nobody holds the tunnel any more.
        far.write_all(b"last").await.unwrap();
        far.shutdown().await.unwrap();
        drop(far);
        let mut last = Vec::new();
        near.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"last");
        drop(near);
        assert_eq!(pair.client.open_streams(), 0);
    });
}

#[test]
fn a_tunnel_that_breaks_is_reset_at_the_other_end() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let check = async |mut left: Tunnel, right: Tunnel| {
            left.write_all(b"before").await.unwrap();
            drop(right);
            assert_eq!(kind(left.read(&mut [0; 9]).await), io::ErrorKind::ConnectionReset);
            let written = left.write_all(&[0; 1 << 20]).await;
            assert_eq!(kind(written), io::ErrorKind::ConnectionReset);
        };
        let (near, far) = pair.tunnel().await;
        check(near, far).await;
        let (near, far) = pair.tunnel().await;
        check(far, near).await;
        let (mut near, mut far) = pair.tunnel().await;
        near.reset(Reason::CONNECT_ERROR);
        let error = far.read(&mut [0]).await.unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
        assert_eq!(error.reason(), Some(Reason::CONNECT_ERROR));
        // The others on the connection do not notice.
        let (mut near, far) = pair.tunnel().await;
        let echoing = echo(far);
        near.write_all(b"still here").await.unwrap();
        near.shutdown().await.unwrap();
        let mut back = Vec::new();
        near.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"still here");
        echoing.await.unwrap();
    });
}

#[test]
fn a_connection_that_breaks_breaks_its_tunnels() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let (mut near, _far) = pair.tunnel().await;
        pair.serving.abort();
        near.read(&mut [0]).await.unwrap_err();
    });
}

#[test]
fn an_idle_tunnel_holds_no_buffer() {
    run(async {
        assert_eq!(size_of::<Tunnel>(), size_of::<usize>());
        assert!(size_of::<Stream>() <= 400, "{}", size_of::<Stream>());
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let (mut near, mut far) = pair.tunnel().await;
        far.write_all(&pattern(10_000)).await.unwrap();
        poll_fn(|cx| near.poll_read_ready(cx)).await.unwrap();
        let mut buffer = [0; 10_000];
        near.read_exact(&mut buffer).await.unwrap();
        poll_fn(|cx| {
            assert!(near.poll_read_ready(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(near.0.chunk().is_empty());
        assert!(!far.0.has_unsent());
    });
}

#[test]
fn it_serves_as_the_stream_under_a_connection() {
    run(async {
        let mut pair = Pair::new(SETTINGS, 1 << 16).await;
        let (near, far) = pair.tunnel().await;
        let echoing = echo(far);
        let mut inner = crate::io::Io::Other(Box::new(near));
        inner.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        inner.flush().await.unwrap();
        inner.shutdown().await.unwrap();
        let mut back = Vec::new();
        inner.read_to_end(&mut back).await.unwrap();
        assert_eq!(back, b"GET / HTTP/1.1\r\n\r\n");
        echoing.await.unwrap();
    });
}
