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
use crate::bound::Gate;
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

const REUSE: Reuse = Reuse::until_idle(TIMEOUT);

/// The papers of a connection made at that time, which counts nowhere else.
fn papers(made: Instant) -> Papers {
    let gate = Gate::default();
    Papers::new(made, [(); 2].map(|()| gate.try_enter().expect("there is no bound")))
}

fn give(pool: &Pool, now: Instant, conn: Box<Conn>, idle_max: usize) {
    pool.give(now, (conn, papers(now)), idle_max, &REUSE);
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
            give(&pool, start + seconds(10 - age), conn, 10);
        }
        let now = start + seconds(10);
        for age in [1, 2, 3] {
            let (_, _, idle) = pool.take(now, true, &REUSE).expect("there is one");
            assert_eq!(idle, seconds(age));
        }
        assert!(pool.take(now, true, &REUSE).is_none());
    });
}

#[test]
fn only_what_is_young_serves_a_request_that_cannot_be_replayed() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        let (conn, _peer) = idle(&buffers);
        give(&pool, start, conn, 10);
        let soon = start + Duration::from_millis(401);
        assert!(pool.take(soon, false, &REUSE).is_none());
        assert_eq!(pool.len(), 1, "it waits for one that can");
        assert!(pool.take(start + seconds(61), true, &REUSE).is_none(), "too old for any");
        assert!(pool.take(start + Duration::from_millis(399), false, &REUSE).is_some());
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
            give(&pool, start + seconds(4 - age), conn, 10);
        }
        let (_, _, age) = pool.take(start + seconds(4), true, &REUSE).expect("one is left");
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
        give(&pool, start, conn, 10);
        pool.sweep(start + Duration::from_millis(10), &REUSE);
        let (conn, peer) = idle(&buffers);
        give(&pool, start, conn, 10);
        let (conn, _, _) = pool.take(start + seconds(30), true, &REUSE).expect("it is trusted");
        // After four seconds.
        drop(peer);
        give(&pool, start, conn, 10);
        pool.sweep(start + seconds(4), &REUSE);
        assert_eq!(pool.len(), 0);
        let (conn, _peer) = idle(&buffers);
        give(&pool, start, conn, 10);
        let late = start + Duration::from_millis(3_001);
        assert!(pool.take(late, true, &REUSE).is_none(), "three quarters are safe");
        assert!(pool.take(start + seconds(3), true, &REUSE).is_some());
        // One that was there after a minute corrects it.
        let (conn, _peer) = idle(&buffers);
        give(&pool, start, conn, 10);
        pool.sweep(start + seconds(60), &REUSE);
        let (conn, _peer) = idle(&buffers);
        give(&pool, start, conn, 10);
        assert!(pool.take(start + seconds(40), true, &REUSE).is_some());
    });
}

#[test]
fn what_the_peer_announces_holds() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        pool.hint(seconds(8));
        let (conn, _peer) = idle(&buffers);
        give(&pool, start, conn, 10);
        assert!(pool.take(start + seconds(7), true, &REUSE).is_none());
        assert!(pool.take(start + seconds(6), true, &REUSE).is_some());
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
            give(&pool, start + seconds(second), conn, 3);
        }
        assert_eq!(pool.len(), 3);
        pool.sweep(start + seconds(60) + seconds(3), &REUSE);
        assert_eq!(pool.len(), 1, "the oldest go first");
        let (conn, _peer) = idle(&buffers);
        give(&pool, start, conn, 0);
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
        pool.add(start, client, ());
        let (mut one, idle) = pool.take(start, &REUSE, |()| true).expect("there is one");
        assert_eq!(idle, Duration::ZERO);
        let stream = one.begin_request(&request(), true).expect("it is sent");
        assert_eq!(one.open_streams(), 1);
        pool.sweep(start + seconds(100), &REUSE);
        assert_eq!(pool.len(), 1, "one that is in use stays");
        drop(stream);
        drop(one);
        // Idle from when that is first seen.
        pool.sweep(start + seconds(200), &REUSE);
        pool.sweep(start + seconds(259), &REUSE);
        assert_eq!(pool.len(), 1);
        let (used, idle) =
            pool.take(start + seconds(259), &REUSE, |()| true).expect("there is one");
        assert_eq!(idle, seconds(59));
        drop(used);
        pool.sweep(start + seconds(260), &REUSE);
        pool.sweep(start + seconds(319), &REUSE);
        assert_eq!(pool.len(), 1, "its use counts");
        pool.sweep(start + seconds(320), &REUSE);
        assert_eq!(pool.len(), 0);
        serving.await.expect("the connection ends in order");
    });
}

#[test]
fn a_shared_connection_that_has_ended_is_not_lent() {
    local(async {
        let pool = SharedPool::default();
        let (client, serving) = shared_client().await;
        pool.add(time::now(), client, ());
        serving.abort();
        until("its end", || pool.take(time::now(), &REUSE, |()| true).is_none()).await;
        assert_eq!(pool.len(), 0);
    });
}

#[test]
fn a_connection_serves_so_many_requests_and_so_long() {
    local(async {
        let (buffers, pool, start) = (buffers(), Pool::default(), time::now());
        let reuse = Reuse { requests_max: 2, age_max: Some(seconds(30)), ..REUSE };
        let (conn, _peer) = idle(&buffers);
        pool.give(start, (conn, papers(start)), 10, &reuse);
        let (conn, papers_of_it, _) = pool.take(start, true, &reuse).expect("it served one");
        pool.give(start, (conn, papers_of_it), 10, &reuse);
        assert_eq!(pool.len(), 0, "two are enough");
        for (age, kept) in [(29, 1), (30, 0)] {
            let (conn, _peer) = idle(&buffers);
            pool.give(start, (conn, papers(start)), 10, &reuse);
            pool.sweep(start + seconds(age), &reuse);
            assert_eq!(pool.len(), kept, "after {age} s");
            assert_eq!(pool.take(start + seconds(30), true, &reuse).map(drop), None);
        }
        let (conn, _peer) = idle(&buffers);
        pool.give(start + seconds(30), (conn, papers(start)), 10, &reuse);
        assert_eq!(pool.len(), 0, "it has grown old with its last request");
    });
}

#[test]
fn a_shared_connection_serves_so_many_requests_so_long_and_so_many_at_once() {
    local(async {
        let start = time::now();
        let (client, _serving) = shared_client().await;
        let pool = SharedPool::default();
        pool.add(start, client, ());
        let few = Reuse { requests_max: 2, ..REUSE };
        let (client, _) = pool.take(start, &few, |()| true).expect("it served one");
        assert!(pool.take(start, &few, |()| true).is_none(), "two are enough");
        assert_eq!(pool.len(), 0);
        pool.add(start, client.clone(), ());
        let young = Reuse { age_max: Some(seconds(30)), ..REUSE };
        assert!(pool.take(start + seconds(29), &young, |()| true).is_some());
        pool.sweep(start + seconds(30), &young);
        assert_eq!(pool.len(), 0, "it is old");
        pool.add(start, client, ());
        let alone = Reuse { streams_max: 1, ..REUSE };
        let (mut one, _) = pool.take(start, &alone, |()| true).expect("it has no stream");
        let stream = one.begin_request(&request(), false).expect("there is room");
        assert!(pool.take(start, &alone, |()| true).is_none(), "one at a time");
        drop(stream);
        assert!(pool.take(start, &alone, |()| true).is_some());
    });
}
