//! HTTP/2 exhaustion by frames: floods of small ones, and readers that do not read.

use std::time::Duration;

use weft_testkit::{H2Frames, kind};

use super::exhaustion::flood;
use super::{CALM, Memory, get, post};
use crate::common::pair;

/// Row: SETTINGS, PING and PRIORITY floods (CVE-2019-9512, 9513, 9515, 9518): frames that cost an
/// answer or an effort each. The peer does not read, so answers pile up. It may be cut off or not;
/// others are served meanwhile.
#[test]
fn floods_of_control_frames_are_bounded() {
    let (_origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    for (what, frame) in [
        ("SETTINGS", H2Frames::encode(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("empty SETTINGS", H2Frames::encode(kind::SETTINGS, 0, 0, &[])),
        ("PING", H2Frames::encode(kind::PING, 0, 0, b"12345678")),
        ("PRIORITY", H2Frames::encode(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])),
        ("PRIORITY of a far stream", H2Frames::encode(kind::PRIORITY, 0, 99, &[0, 0, 0, 1, 1])),
        ("WINDOW_UPDATE", H2Frames::encode(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("an unknown kind", H2Frames::encode(0x42, 0, 0, b"1234")),
    ] {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        // The gateway may stop to read from who does not read.
        frames.set_write_timeout(Duration::from_millis(500));
        let many = frame.repeat(1_000);
        let mut sent = 0;
        while sent < 300 && frames.try_send_bytes(&many).is_ok() {
            sent += 1;
        }
        assert!(sent > 0, "{what}");
        memory.is_flat_and_others_are_served(what);
    }
}

/// Row: empty DATA frames.
#[test]
fn empty_data_frames_are_bounded() {
    let (_origin, gateway) = pair(&[]);
    let memory = Memory::of(&gateway);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &post(&[]), false);
    let many = H2Frames::encode(kind::DATA, 0, 1, b"").repeat(100);
    let code = flood(&mut frames, 2_000, |_| many.clone());
    assert!(matches!(code, None | Some(CALM)), "{code:?}");
    memory.is_flat_and_others_are_served("empty DATA");
}

/// Row: window-1 readers.
#[test]
fn readers_with_a_window_of_one_hold_no_memory() {
    let (origin, gateway) = pair(&[]);
    origin.on_status("/big", 200, vec![b'x'; 4 << 20]);
    let memory = Memory::of(&gateway);
    // SETTINGS_INITIAL_WINDOW_SIZE
    let mut frames = H2Frames::connect(gateway.web(), &[(4, 1)]);
    for index in 0..100 {
        frames.headers(2 * index + 1, &get("/big"), true);
    }
    origin.wait_for("all requests", |requests, _| requests.len() >= 100);
    memory.is_flat_and_others_are_served("a window of one");
}
