//! What a peer may do too much of, in raw frames.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use weft_runtime::time;

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS_FRAME: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block without compression.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let get = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
    let mut block = Vec::new();
    for (name, value) in get.iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            // A prefix of seven bits (RFC 7541 section 5.1).
            match text.len() {
                length @ ..127 => block.push(length as u8),
                length => {
                    block.push(127);
                    let mut rest = length - 127;
                    while rest >= 128 {
                        block.push((rest % 128) as u8 | 128);
                        rest /= 128;
                    }
                    block.push(rest as u8);
                }
            }
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// A request in as many frames as it takes.
fn get(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let block = block(fields);
    let pieces: Vec<_> = block.chunks(16_384).collect();
    let mut bytes = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let end = if index + 1 == pieces.len() { END_HEADERS } else { 0 };
        bytes.extend(match index {
            0 => frame(HEADERS, end | END_STREAM, stream, piece),
            _ => frame(CONTINUATION, end, stream, piece),
        });
    }
    bytes
}

/// A peer that writes bytes.
struct Peer(DuplexStream);

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.expect("they are taken");
    }

    /// The next frame: kind, stream and payload; `None` at the end.
    async fn frame(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let [a, b, c, kind, _, rest @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).await.expect("a frame is whole");
        Some((kind, u32::from_be_bytes(rest), payload))
    }

    /// Reads to the end; the code of the GOAWAY.
    async fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some((kind, _, payload)) = self.frame().await {
            if kind == GOAWAY {
                code = payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
        }
        code
    }
}

/// How a connection ended.
type End = (Ended, Option<Excess>, u32);

/// A peer and a server that answers everything with 200 and some data.
fn pair(settings: ServerSettings) -> (Peer, Task<End>) {
    let (ours, theirs) = duplex(1 << 16);
    let serving = task::spawn("server", async move {
        let server = Server::handshake(io(theirs), &settings, &buffers()).await;
        let mut server = server.expect("the peer speaks HTTP/2");
        let mut exceeded = 0;
        loop {
            let accepted = poll_fn(|cx| server.poll_accept(cx)).await;
            exceeded += server.take_heads_exceeded();
            match accepted {
                Ok(accepted) => {
                    let (_, mut leg) = read_accepted(accepted);
                    task::spawn("stream", async move {
                        // The peer may be gone by now.
                        let _ = stream(&mut leg).begin_response(&response(200), false);
                        let _ = poll_fn(|cx| leg.poll_send(cx, b"data")).await;
                        let _ = poll_fn(|cx| leg.poll_finish(cx, None)).await;
                    });
                }
                Err(ended) => return (ended, server.take_excess(), exceeded),
            }
        }
    });
    (Peer(ours), serving)
}

async fn connected(settings: ServerSettings) -> (Peer, Task<End>) {
    let (mut peer, serving) = pair(settings);
    peer.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    peer.send(&frame(SETTINGS_FRAME, 0, 0, &[])).await;
    (peer, serving)
}

#[test]
fn floods_of_control_frames_end_the_connection_and_say_so() {
    let open = frame(HEADERS, END_HEADERS, 1, &block(&[]));
    let floods = [
        (FrameKind::Ping, vec![], frame(PING, 0, 0, b"12345678")),
        (FrameKind::Ping, vec![], frame(PING, 1, 0, b"12345678")),
        (FrameKind::Settings, vec![], frame(SETTINGS_FRAME, 0, 0, &[])),
        (FrameKind::Priority, vec![], frame(2, 0, 9, &[0, 0, 0, 1, 1])),
        (FrameKind::WindowUpdate, vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        (FrameKind::ResetStream, open.clone(), frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        (FrameKind::Data, open, frame(DATA, 0, 1, b"")),
        (FrameKind::Unknown, vec![], frame(0xfa, 0, 0, b"x")),
    ];
    for (kind, first, flood) in floods {
        run(async {
            let (mut peer, serving) = connected(SETTINGS).await;
            peer.send(&first).await;
            // More than is read at a time, and small enough to be sent without reading.
            let count = SETTINGS.control_frames_max as usize + 20;
            peer.send(&flood.repeat(count)).await;
            assert_eq!(peer.goaway().await, Some(CALM), "{kind:?}");
            drop(peer);
            let (ended, excess, _) = serving.await.expect("it ends");
            assert!(matches!(ended, Ended::Closed | Ended::Failed(_)));
            // Empty DATA the library counts as well, and it may be the first.
            assert_eq!(excess, Some(Excess::Frames(kind)), "{kind:?}");
        });
    }
}

#[test]
fn a_peer_that_goes_on_after_it_was_told_still_hears_it() {
    run(async {
        let (mut peer, serving) = connected(SETTINGS).await;
        let flood = frame(PING, 0, 0, b"12345678").repeat(1_000);
        for _ in 0..10 {
            peer.send(&flood).await;
        }
        assert_eq!(peer.goaway().await, Some(CALM));
        // It is waited for: a close while it sends would take the GOAWAY back.
        peer.send(&flood).await;
        drop(peer);
        serving.await.expect("it ends");
    });
}

#[test]
fn what_goes_with_requests_is_no_flood() {
    run(async {
        let (mut peer, _serving) = connected(SETTINGS).await;
        let update = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
        for index in 0..500 {
            peer.send(&get(2 * index + 1, &[])).await;
            peer.send(&update.repeat(5)).await;
            peer.send(&frame(PING, 0, 0, b"12345678")).await;
            loop {
                let (kind, stream, payload) = peer.frame().await.expect("the connection lives");
                assert_ne!(kind, GOAWAY);
                if kind == DATA && stream == 2 * index + 1 {
                    assert_eq!(payload, b"data");
                    break;
                }
            }
        }
    });
}

#[test]
fn a_ping_now_and_then_is_no_flood() {
    run(async {
        let (mut peer, serving) = connected(SETTINGS).await;
        for _ in 0..5 * SETTINGS.control_frames_max {
            time::sleep(Duration::from_millis(200)).await;
            peer.send(&frame(PING, 0, 0, b"12345678")).await;
            while peer.frame().await.expect("the connection lives").0 != PING {}
        }
        drop(peer);
        assert!(matches!(serving.await.expect("it ends"), (Ended::Closed, None, 0)));
    });
}

/// Sends one request with a field of that length; what became of it.
async fn head_of(length: usize) -> (Option<Vec<u8>>, Option<u32>, End) {
    let (mut peer, serving) = connected(SETTINGS).await;
    let value = "v".repeat(length);
    peer.send(&get(1, &[("x-long", &value)])).await;
    let (mut answer, mut code) = (None, None);
    while answer.is_none() && code.is_none() {
        match peer.frame().await {
            Some((HEADERS, 1, block)) => answer = Some(block),
            Some((GOAWAY, _, payload)) => {
                code = payload[4..8].try_into().ok().map(u32::from_be_bytes);
            }
            Some(_) => {}
            None => break,
        }
    }
    drop(peer);
    (answer, code, serving.await.expect("it ends"))
}

#[test]
fn heads_far_beyond_their_bound_are_refused_and_counted() {
    // (length, answered, GOAWAY)
    for (length, answered, code) in [
        (170_000, true, None),
        // The library looks at no more frames of one head than any good one needs.
        (700_000, false, Some(CALM)),
    ] {
        run(async {
            let (answer, goaway, (_, excess, exceeded)) = head_of(length).await;
            assert_eq!((answer.is_some(), goaway), (answered, code), "{length}");
            assert_eq!(exceeded + u32::from(excess.is_some() && exceeded == 0), 1, "{length}");
        });
    }
}

#[test]
fn a_head_that_unfolds_beyond_all_bounds_ends_the_connection() {
    run(async {
        let (mut peer, serving) = connected(SETTINGS).await;
        // A field of 3,000 bytes in the dynamic table, and then one byte for each use of it.
        let mut bomb = block(&[]);
        bomb.extend([0x40, 1, b'x', 127]);
        bomb.extend([((3_000 - 127) % 128) as u8 | 128, ((3_000 - 127) / 128) as u8]);
        bomb.extend([b'v'; 3_000]);
        bomb.extend([0xbe; 2_000]);
        peer.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)).await;
        assert_eq!(peer.goaway().await, Some(CALM));
        drop(peer);
        let (_, excess, _) = serving.await.expect("it ends");
        assert_eq!(excess, Some(Excess::Head));
    });
}

#[test]
fn a_peer_that_tells_us_to_calm_down_has_not_done_too_much() {
    run(async {
        let (mut peer, serving) = connected(SETTINGS).await;
        peer.send(&frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11])).await;
        peer.goaway().await;
        drop(peer);
        let (_, excess, _) = serving.await.expect("it ends");
        assert_eq!(excess, None);
    });
}
