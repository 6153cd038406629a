use std::pin::Pin;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

use super::*;

const NO_LIMITS: CopyLimits = CopyLimits { idle_timeout: None, termination_delay: None };

/// A real timer.
impl Deadline for Pin<Box<tokio::time::Sleep>> {
    fn arm(&mut self, after: Duration) {
        self.as_mut().reset(tokio::time::Instant::now() + after);
    }

    fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.as_mut().poll(cx)
    }
}

fn timer() -> Pin<Box<tokio::time::Sleep>> {
    Box::pin(tokio::time::sleep(Duration::ZERO))
}

struct Pair {
    client: DuplexStream,
    downstream: DuplexStream,
    upstream: DuplexStream,
    server: DuplexStream,
    pool: BufferPool,
    counters: CopyCounters,
}

fn pair(buffered: usize) -> Pair {
    let (client, downstream) = tokio::io::duplex(buffered);
    let (upstream, server) = tokio::io::duplex(buffered);
    let (pool, counters) = (BufferPool::default(), CopyCounters::default());
    Pair { client, downstream, upstream, server, pool, counters }
}

async fn run(pair: &mut Pair, limits: CopyLimits) -> CopyEnd {
    let Pair { downstream, upstream, pool, counters, .. } = pair;
    copy(downstream, upstream, pool, limits, &mut timer(), counters).await
}

#[tokio::test]
async fn both_directions_and_half_close() {
    let mut pair = pair(1000);
    let (mut client, mut server) = (
        std::mem::replace(&mut pair.client, tokio::io::duplex(1).0),
        std::mem::replace(&mut pair.server, tokio::io::duplex(1).0),
    );
    let request: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    let ends = async {
        let (sent, received) = tokio::join!(
            async {
                client.write_all(&request).await.unwrap();
                client.shutdown().await.unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).await.unwrap();
                answer
            },
            async {
                let mut received = Vec::new();
                server.read_to_end(&mut received).await.unwrap();
                // The client has ended its direction; ours still works.
                server.write_all(b"answer").await.unwrap();
                server.shutdown().await.unwrap();
                received
            }
        );
        assert_eq!(sent, b"answer");
        assert!(received == request);
    };
    let (end, ()) = tokio::join!(run(&mut pair, NO_LIMITS), ends);
    assert!(matches!(end, CopyEnd::Finished { first: Side::Downstream }), "{end:?}");
    assert_eq!(pair.counters.to_upstream.get(), 300_000);
    assert_eq!(pair.counters.to_downstream.get(), 6);
    assert_eq!(pair.pool.lent(), 0);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_at_the_idle_timeout_and_traffic_defers_it() {
    let mut pair = pair(1000);
    let limits = CopyLimits { idle_timeout: Some(Duration::from_secs(60)), ..NO_LIMITS };
    let mut client = std::mem::replace(&mut pair.client, tokio::io::duplex(1).0);
    let start = tokio::time::Instant::now();
    let (end, ()) = tokio::join!(run(&mut pair, limits), async {
        tokio::time::sleep(Duration::from_secs(50)).await;
        client.write_all(b"x").await.unwrap();
    });
    assert!(matches!(end, CopyEnd::Idle), "{end:?}");
    assert_eq!(start.elapsed().as_secs(), 110);
    assert_eq!(pair.pool.lent(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_termination_delay_bounds_the_other_direction() {
    let mut pair = pair(1000);
    let limits = CopyLimits {
        idle_timeout: Some(Duration::from_secs(60)),
        termination_delay: Some(Duration::from_millis(100)),
    };
    pair.server.shutdown().await.unwrap();
    let mut client = std::mem::replace(&mut pair.client, tokio::io::duplex(1).0);
    let start = tokio::time::Instant::now();
    let (end, ()) = tokio::join!(run(&mut pair, limits), async {
        // Bytes in the open direction do not prolong it.
        tokio::time::sleep(Duration::from_millis(90)).await;
        client.write_all(b"x").await.unwrap();
    });
    assert!(matches!(end, CopyEnd::Termination { first: Side::Upstream }), "{end:?}");
    assert_eq!(start.elapsed().as_millis(), 100);
}

#[tokio::test]
async fn a_failed_write_names_its_side() {
    let mut pair = pair(1000);
    pair.server = tokio::io::duplex(1).0;
    pair.client.write_all(b"x").await.unwrap();
    let end = run(&mut pair, NO_LIMITS).await;
    match end {
        CopyEnd::WriteFailed(Side::Upstream, error) => {
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        }
        other => panic!("{other:?}"),
    }
}

async fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (client, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn an_idle_pair_of_sockets_owns_no_buffer() {
    let (mut client, mut downstream) = tcp().await;
    let (mut upstream, mut server) = tcp().await;
    let (pool, counters) = (BufferPool::default(), CopyCounters::default());
    let mut sleep = timer();
    let copying = copy(&mut downstream, &mut upstream, &pool, NO_LIMITS, &mut sleep, &counters);
    let peers = async {
        for size in [1usize, 100_000, 3_000_000] {
            let bytes = vec![7u8; size];
            let mut back = vec![0u8; size];
            tokio::join!(async { client.write_all(&bytes).await.unwrap() }, async {
                server.read_exact(&mut back).await.unwrap()
            });
            assert!(back == bytes);
            // The copy runs on this very task: let it see that there is no more.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            assert_eq!(pool.lent(), 0, "after {size} bytes");
        }
        drop(client);
        drop(server);
    };
    let (end, ()) = tokio::join!(copying, peers);
    assert!(matches!(end, CopyEnd::Finished { .. }), "{end:?}");
    assert_eq!(counters.to_upstream.get(), 3_100_001);
}

#[tokio::test]
async fn a_reset_is_a_failed_read() {
    let (client, mut downstream) = tcp().await;
    let (mut upstream, _server) = tcp().await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let (pool, counters) = (BufferPool::default(), CopyCounters::default());
    let mut sleep = timer();
    let end = copy(&mut downstream, &mut upstream, &pool, NO_LIMITS, &mut sleep, &counters).await;
    assert!(matches!(end, CopyEnd::ReadFailed(Side::Downstream, _)), "{end:?}");
}
