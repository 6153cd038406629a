use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use weft_http::buffers::Buffers;
use weft_http::h2::{Server, ServerSettings};
use weft_http::io::Io;
use weft_message::{Method, RequestHead};
use weft_net::BufferPool;
use weft_runtime::{task, time};

use super::*;
use crate::testing::{local, until};

const TIMEOUT: Duration = Duration::from_secs(60);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A connection on which nothing is under way, and its other end.
fn idle(buffers: &Buffers) -> (Box<Conn>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 10);
    (Box::new(Conn::new(Io::Other(Box::new(ours)), buffers.clone())), theirs)
}

fn buffers() -> Buffers {
    Buffers::new(BufferPool::default())
}

#[test]
fn the_last_used_comes_first_and_tells_its_age() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        let mut peers = Vec::new();
        for age in [3, 2, 1] {
            let (conn, peer) = idle(&buffers);
            peers.push(peer);
            pool.give(start + seconds(10 - age), conn, 10);
        }
        let now = start + seconds(10);
        for age in [1, 2, 3] {
            let (_, idle) = pool.take(now, true, TIMEOUT).expect("there is one");
            assert_eq!(idle, seconds(age));
        }
        assert!(pool.take(now, true, TIMEOUT).is_none());
    });
}

#[test]
fn only_what_is_young_serves_a_request_that_cannot_be_replayed() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        let (conn, _peer) = idle(&buffers);
        pool.give(start, conn, 10);
        let soon = start + Duration::from_millis(401);
        assert!(pool.take(soon, false, TIMEOUT).is_none());
        assert_eq!(pool.len(), 1, "it waits for one that can");
        assert!(pool.take(start + seconds(61), true, TIMEOUT).is_none(), "too old for any");
        assert!(pool.take(start + Duration::from_millis(399), false, TIMEOUT).is_some());
    });
}

#[test]
fn what_the_peer_has_ended_or_broken_is_not_lent() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        let (open, _peer) = idle(&buffers);
        let (closed, peer) = idle(&buffers);
        drop(peer);
        let (noisy, mut talker) = idle(&buffers);
        talker.write_all(b"HTTP/1.1 408 Too Late\r\n").await.expect("memory does not fail");
        for (age, conn) in [(4, open), (3, closed), (2, noisy)] {
            pool.give(start + seconds(4 - age), conn, 10);
        }
        let (_, age) = pool.take(start + seconds(4), true, TIMEOUT).expect("one is left");
        assert_eq!((age, pool.len()), (seconds(4), 0));
    });
}

#[test]
fn it_learns_when_the_peer_closes() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        // At once: a restart, which says nothing about its patience.
        let (conn, peer) = idle(&buffers);
        drop(peer);
        pool.give(start, conn, 10);
        pool.sweep(start + Duration::from_millis(10), TIMEOUT);
        let (conn, peer) = idle(&buffers);
        pool.give(start, conn, 10);
        let (conn, _) = pool.take(start + seconds(30), true, TIMEOUT).expect("it is trusted");
        // After four seconds.
        drop(peer);
        pool.give(start, conn, 10);
        pool.sweep(start + seconds(4), TIMEOUT);
        assert_eq!(pool.len(), 0);
        let (conn, _peer) = idle(&buffers);
        pool.give(start, conn, 10);
        let late = start + Duration::from_millis(3_001);
        assert!(pool.take(late, true, TIMEOUT).is_none(), "three quarters are safe");
        assert!(pool.take(start + seconds(3), true, TIMEOUT).is_some());
        // One that was there after a minute corrects it.
        let (conn, _peer) = idle(&buffers);
        pool.give(start, conn, 10);
        pool.sweep(start + seconds(60), TIMEOUT);
        let (conn, _peer) = idle(&buffers);
        pool.give(start, conn, 10);
        assert!(pool.take(start + seconds(40), true, TIMEOUT).is_some());
    });
}

#[test]
fn what_the_peer_announces_holds() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        pool.hint(seconds(8));
        let (conn, _peer) = idle(&buffers);
        pool.give(start, conn, 10);
        assert!(pool.take(start + seconds(7), true, TIMEOUT).is_none());
        assert!(pool.take(start + seconds(6), true, TIMEOUT).is_some());
    });
}

#[test]
fn it_keeps_so_many_and_no_longer_than_so() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        let mut peers = Vec::new();
        for second in 0..5 {
            let (conn, peer) = idle(&buffers);
            peers.push(peer);
            pool.give(start + seconds(second), conn, 3);
        }
        assert_eq!(pool.len(), 3);
        pool.sweep(start + seconds(60) + seconds(3), TIMEOUT);
        assert_eq!(pool.len(), 1, "the oldest go first");
        let (conn, _peer) = idle(&buffers);
        pool.give(start, conn, 0);
        assert_eq!(pool.len(), 1, "none at all means none");
        pool.clear();
        assert_eq!(pool.len(), 0);
    });
}

/// A client on a connection to a server that never answers.
async fn shared_client() -> (Client, task::Task<()>) {
    let (ours, theirs) = duplex(1 << 16);
    let settings = ServerSettings {
        streams_max: 100,
        head_bytes_max: 1 << 16,
        connection_window_bytes: 1 << 20,
        stream_window_bytes: 1 << 16,
        resets_max: 100,
        control_frames_max: 1_000,
    };
    let serving = task::spawn("server", async move {
        let server = Server::handshake(Io::Other(Box::new(theirs)), &settings, &buffers()).await;
        let mut server = server.expect("the client speaks HTTP/2");
        let mut held = Vec::new();
        while let Ok(accepted) = poll_fn(|cx| server.poll_accept(cx)).await {
            held.push(accepted);
        }
    });
    let (client, connection) = Client::handshake(Io::Other(Box::new(ours)), 1 << 16, &buffers())
        .await
        .expect("the server speaks HTTP/2");
    task::spawn("client", async move {
        let _ = connection.await;
    });
    (client, serving)
}

fn request() -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(Method::Get);
    head.set_authority("a.example").expect("valid");
    head.set_path("/").expect("valid");
    head
}

#[test]
fn a_shared_connection_is_lent_while_it_has_room_and_closes_when_idle() {
    local(async {
        let (pool, start) = (SharedPool::default(), time::now());
        let (client, serving) = shared_client().await;
        pool.add(client, ());
        let (mut one, idle) = pool.take(start, |()| true).expect("there is one");
        assert_eq!(idle, Duration::ZERO);
        let stream = one.begin_request(&request(), true).expect("it is sent");
        assert_eq!(one.open_streams(), 1);
        pool.sweep(start + seconds(100), TIMEOUT);
        assert_eq!(pool.len(), 1, "one that is in use stays");
        drop(stream);
        drop(one);
        // Idle from when that is first seen.
        pool.sweep(start + seconds(200), TIMEOUT);
        pool.sweep(start + seconds(259), TIMEOUT);
        assert_eq!(pool.len(), 1);
        let (used, idle) = pool.take(start + seconds(259), |()| true).expect("there is one");
        assert_eq!(idle, seconds(59));
        drop(used);
        pool.sweep(start + seconds(260), TIMEOUT);
        pool.sweep(start + seconds(319), TIMEOUT);
        assert_eq!(pool.len(), 1, "its use counts");
        pool.sweep(start + seconds(320), TIMEOUT);
        assert_eq!(pool.len(), 0);
        serving.await.expect("the connection ends in order");
    });
}

#[test]
fn a_shared_connection_that_has_ended_is_not_lent() {
    local(async {
        let pool = SharedPool::default();
        let (client, serving) = shared_client().await;
        pool.add(client, ());
        serving.abort();
        until("its end", || pool.take(time::now(), |()| true).is_none()).await;
        assert_eq!(pool.len(), 0);
    });
}
