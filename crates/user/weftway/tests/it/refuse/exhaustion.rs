//! HTTP/2 exhaustion by streams and heads: resets, the peer's and our own, heads without end, and
//! the tables and memory behind them.

use weft_testkit::{H2Frames, Outcome, RawOrigin, flags, kind};

use super::{CALM, Memory, REFUSED_STREAM, WHOLE, get, post};
use crate::common::{pair, reached, to_echo, wait_reached};

/// Sends pieces until the gateway ends the connection, at most so many; the GOAWAY's code.
pub(super) fn flood(
    frames: &mut H2Frames,
    count: usize,
    mut piece: impl FnMut(u32) -> Vec<u8>,
) -> Option<u32> {
    for index in 0..count {
        if frames.try_send_bytes(&piece(index as u32)).is_err() {
            break;
        }
    }
    frames.goaway()
}

/// The stream that is opened by the piece with that index.
fn stream(index: u32) -> u32 {
    2 * index + 1
}

/// Row: rapid reset CVE-2023-44487.
#[test]
fn rapid_reset_is_calmed() {
    let (origin, gateway) = pair(&[]);
    origin.hang("/hang");
    let memory = Memory::of(&gateway);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let code = flood(&mut frames, 5_000, |index| {
        let open = H2Frames::encode(kind::HEADERS, WHOLE, stream(index), &get("/hang"));
        let reset = H2Frames::encode(kind::RST_STREAM, 0, stream(index), &8_u32.to_be_bytes());
        [open, reset].concat()
    });
    // What was sent behind the end can take the GOAWAY with it.
    assert!(matches!(code, None | Some(CALM)), "{code:?}");
    wait_reached(&gateway, "h2_resets", 1.0);
    origin.wait_for("the ends", |_, all| all.iter().all(|connection| connection.is_closed));
    memory.is_flat_and_others_are_served("rapid reset");
}

/// The same at a pace at which each request reaches the origin before it is reset.
#[test]
fn resets_are_counted_however_late_they_come() {
    let (origin, gateway) = pair(&["--h2-resets-max", "5"]);
    origin.hang("/hang");
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    for index in 0..6 {
        frames.headers(stream(index), &get("/hang"), true);
        origin.wait_for("the request", |requests, _| requests.len() > index as usize);
        frames.send(kind::RST_STREAM, 0, stream(index), &8_u32.to_be_bytes());
    }
    assert_eq!(frames.goaway(), Some(CALM));
    wait_reached(&gateway, "h2_resets", 1.0);
    origin.wait_for("the ends", |_, all| all.iter().all(|connection| connection.is_closed));
}

/// Row: MadeYouReset CVE-2025-8671: resets caused in the server by WINDOW_UPDATE of 0 and overflow,
/// DATA on a half-closed stream, PRIORITY self-dependency.
#[test]
fn made_you_reset_ends_the_connection() {
    let origin = RawOrigin::start("echo");
    origin.hang("/hang");
    let gateway = to_echo(&origin).args(&["--h2-resets-max", "20"]).start();
    let memory = Memory::of(&gateway);
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let open = |stream| H2Frames::encode(kind::HEADERS, WHOLE, stream, &get("/hang"));
    type Attack<'a> = &'a dyn Fn(u32) -> Vec<u8>;
    let attacks: [(&str, Attack<'_>); 5] = [
        ("WINDOW_UPDATE of 0", &|stream| {
            [open(stream), H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
        }),
        ("WINDOW_UPDATE beyond the window", &|stream| {
            let update = H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &most);
            [open(stream), update.clone(), update].concat()
        }),
        ("DATA on a half-closed stream", &|stream| {
            [open(stream), H2Frames::encode(kind::DATA, 0, stream, b"x")].concat()
        }),
        ("PRIORITY on itself", &|stream| {
            let on_itself = [&stream.to_be_bytes()[..], &[1]].concat();
            [open(stream), H2Frames::encode(kind::PRIORITY, 0, stream, &on_itself)].concat()
        }),
        ("DATA beyond its length", &|stream| {
            let head = post(&[("content-length", "1")]);
            let open = H2Frames::encode(kind::HEADERS, flags::END_HEADERS, stream, &head);
            [open, H2Frames::encode(kind::DATA, 0, stream, b"hello")].concat()
        }),
    ];
    for (what, attack) in attacks {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        let code = flood(&mut frames, 1_000, |index| attack(stream(index)));
        // Some of these the library holds for errors of the connection at once, which is stricter.
        assert!(code.is_none_or(|code| code != 0), "{what}: {code:?}");
        memory.is_flat_and_others_are_served(what);
    }
    assert!(origin.connections().len() < 500, "{} connections", origin.connections().len());
    wait_reached(&gateway, "h2_resets", 1.0);
}

/// Row: CONTINUATION flood CVE-2024-27316 and siblings.
#[test]
fn a_flood_of_continuations_ends() {
    let (origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    for piece in [H2Frames::block(&[("x", &"y".repeat(1000))]), Vec::new()] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.send(kind::HEADERS, flags::END_STREAM, 1, &get("/"));
        let code =
            flood(&mut frames, 100_000, |_| H2Frames::encode(kind::CONTINUATION, 0, 1, &piece));
        assert!(code.is_none_or(|code| code != 0), "{code:?}");
        memory.is_flat_and_others_are_served("CONTINUATION");
    }
    assert!(origin.requests().iter().all(|request| request.target == "/well"));
}

/// A GET with a field that is put into the table, and then named `count` times by a byte each.
fn bomb(name: &str, count: usize) -> Vec<u8> {
    let mut block = get("/");
    block.push(0x40);
    block.push(name.len() as u8);
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b"\x01y");
    // Index 62 is the newest of the table.
    block.extend(std::iter::repeat_n(0x80 | 62, count));
    block
}

/// Row: "HTTP/2 Bomb" of June 2026: many tiny headers or cookie crumbs held by stalled windows.
/// Fields are counted by what they take, not by what they weigh on the wire.
#[test]
fn many_tiny_fields_count_for_what_they_take() {
    for name in ["x", "cookie"] {
        let (origin, gateway) = pair(&[]);
        let memory = Memory::of(&gateway);
        for count in [200, 4_000, 15_900] {
            // As an attacker does: the windows are kept shut, and streams are opened one by one.
            let mut frames = H2Frames::connect(gateway.web(), &[(4, 0)]);
            let block = bomb(name, count);
            frames.headers(1, &block, true);
            let outcome = frames.outcome(1);
            assert!(outcome.is_refusal(), "{count} times {name}: {outcome:?}");
            for index in 1..100 {
                // The connection may have been ended by now.
                let _ = frames.try_send(kind::HEADERS, WHOLE, stream(index), &block);
            }
            memory.is_flat(&format!("{count} times {name}"));
        }
        assert!(origin.connections().is_empty());
    }
}

#[test]
fn fields_are_counted_by_their_number() {
    let (origin, gateway) = pair(&[]);
    let names: Vec<String> = (0..200).map(|index| format!("x-{index}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "y")).collect();
    for fields in [many, vec![("cookie", "a=b"); 200]] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.headers(1, &H2Frames::get("a.test", "/", &fields), true);
        assert_eq!(frames.outcome(1), Outcome::Status(431));
    }
    wait_reached(&gateway, "head_fields", 2.0);
    assert!(origin.connections().is_empty());
}

/// Row: HPACK dynamic-table thrash.
#[test]
fn the_table_of_fields_cannot_be_thrashed() {
    let (origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    // SETTINGS_HEADER_TABLE_SIZE as large as it goes.
    let mut frames = H2Frames::connect(gateway.web(), &[(1, u32::MAX)]);
    frames.send(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    for index in 0..500 {
        let mut block = get("/");
        for extra in 0..20_u32 {
            // Literals that are put into the table, all different.
            let name = format!("x-{index}-{extra}");
            block.extend_from_slice(&[0x40, name.len() as u8]);
            block.extend_from_slice(name.as_bytes());
            block.extend_from_slice(b"\x01v");
        }
        frames.headers(stream(index), &block, true);
        assert_eq!(frames.outcome(stream(index)), Outcome::Status(200));
    }
    assert_eq!(origin.requests().len(), 500);
    memory.is_flat_and_others_are_served("the table");
}

/// Heads of requests that wait are memory too.
#[test]
fn the_memory_of_a_connection_is_bounded() {
    let origin = RawOrigin::start("echo");
    origin.hang("/hang");
    let gateway = to_echo(&origin).args(&["--connection-memory-bytes-max", "65536"]).start();
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let long = "v".repeat(12_000);
    for index in 0..40 {
        let block = H2Frames::get("a.test", "/hang", &[("x-long", &long)]);
        frames.headers(stream(index), &block, true);
    }
    // The last one is refused, in a way that lets the client send it again.
    let outcome = frames.outcome(79);
    assert!(
        matches!(outcome, Outcome::Reset(REFUSED_STREAM | CALM) | Outcome::GoAway(CALM)),
        "{outcome:?}"
    );
    wait_reached(&gateway, "connection_memory_bytes", 1.0);
    assert!(origin.requests().len() < 40, "{} requests", origin.requests().len());
}

/// Streams beyond the bound are refused one by one, and counted; those within it are not.
#[test]
fn reaching_the_bound_of_streams_is_counted() {
    let (origin, gateway) = pair(&["--h2-streams-max", "10"]);
    origin.hang("/hang");
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    for index in 0..9 {
        frames.headers(stream(index), &get("/hang"), true);
    }
    origin.wait_for("nine requests", |requests, _| requests.len() == 9);
    assert_eq!(reached(&gateway, "h2_streams"), 0.0);
    frames.headers(stream(9), &get("/hang"), true);
    frames.headers(stream(10), &get("/hang"), true);
    assert_eq!(frames.outcome(stream(10)), Outcome::Reset(REFUSED_STREAM));
    origin.wait_for("ten requests", |requests, _| requests.len() == 10);
    gateway.wait_metric("weftway_limit_reached_total", &[("limit", "h2_streams")], |n| n == 1.0);
}
