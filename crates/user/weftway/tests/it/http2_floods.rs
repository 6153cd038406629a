//! What one HTTP/2 peer does too much of ends its connection, in words that it can read and that the
//! operator finds again.

use weft_testkit::{H2Client, H2Frames, H2Request, Outcome, flags, kind};

use crate::common::pair;

/// ENHANCE_YOUR_CALM (RFC 9113 section 7).
const CALM: u32 = 11;

/// The limit that these tests set.
const FRAMES_MAX: usize = 200;

fn arguments() -> [&'static str; 2] {
    ["--h2-control-frames-max", "200"]
}

fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = H2Frames::get("a.test", path, &[]);
    H2Frames::encode(kind::HEADERS, flags::END_HEADERS | flags::END_STREAM, stream, &block)
}

fn post() -> Vec<u8> {
    let block = H2Frames::request("POST", "a.test", "/", &[]);
    H2Frames::encode(kind::HEADERS, flags::END_HEADERS, 1, &block)
}

#[test]
fn every_flood_of_small_frames_ends_with_goaway() {
    let (_origin, gateway) = pair(&arguments());
    let well = H2Client::connect(gateway.web());
    let floods: [(&str, Vec<u8>, Vec<u8>); 8] = [
        ("SETTINGS", vec![], H2Frames::encode(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
        ("PING", vec![], H2Frames::encode(kind::PING, 0, 0, b"12345678")),
        ("answers to no PING", vec![], H2Frames::encode(kind::PING, flags::ACK, 0, b"12345678")),
        ("PRIORITY", vec![], H2Frames::encode(kind::PRIORITY, 0, 9, &[0, 0, 0, 1, 1])),
        ("WINDOW_UPDATE", vec![], H2Frames::encode(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("RST_STREAM", post(), H2Frames::encode(kind::RST_STREAM, 0, 1, &8_u32.to_be_bytes())),
        ("empty DATA", post(), H2Frames::encode(kind::DATA, 0, 1, b"")),
        ("an unknown kind", vec![], H2Frames::encode(0x42, 0, 0, b"1234")),
    ];
    for (round, (what, first, flood)) in floods.into_iter().enumerate() {
        let mut frames = H2Frames::connect(gateway.web(), &[]);
        frames.try_send_bytes(&first).unwrap();
        frames.try_send_bytes(&flood.repeat(FRAMES_MAX + 20)).unwrap();
        assert_eq!(frames.goaway(), Some(CALM), "{what}");
        let limit = [("limit", "h2_control_frames")];
        let rounds = (round + 1) as f64;
        gateway.wait_metric("weftway_limit_reached_total", &limit, |count| count >= rounds);
        assert_eq!(well.get("a.test", "/").status, 200, "others are served during {what}");
    }
    let stderr = gateway.stderr().join("\n");
    assert!(stderr.contains("PING frames"), "the log says who and why: {stderr}");
}

#[test]
fn a_flood_of_continuations_says_what_it_was() {
    let (origin, gateway) = pair(&arguments());
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let block = H2Frames::get("a.test", "/", &[]);
    frames.send(kind::HEADERS, flags::END_STREAM, 1, &block);
    let _ = frames.try_send_bytes(&H2Frames::encode(kind::CONTINUATION, 0, 1, b"").repeat(100));
    assert_eq!(frames.goaway(), Some(CALM));
    let limit = [("limit", "h2_control_frames")];
    gateway.wait_metric("weftway_limit_reached_total", &limit, |count| count >= 1.0);
    assert!(origin.requests().is_empty());
}

/// A client that downloads updates windows all the time.
#[test]
fn what_goes_with_requests_and_answers_is_no_flood() {
    let (origin, gateway) = pair(&arguments());
    origin.on("/big", |x| {
        x.respond(200, &[], vec![b'x'; 4 << 20])?;
        Ok(weft_testkit::Next::KeepAlive)
    });
    // Windows that hold the whole answer, so that updates only have to be sent, not waited for.
    let mut frames = H2Frames::connect(gateway.web(), &[(4, 8 << 20)]);
    let update =
        |stream, bytes: u32| H2Frames::encode(kind::WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes());
    frames.try_send_bytes(&update(0, 1 << 24)).unwrap();
    for index in 0..3 {
        let stream = 2 * index + 1;
        frames.try_send_bytes(&get(stream, "/big")).unwrap();
        let (mut received, mut parts) = (0, 0);
        while received < 4 << 20 {
            let frame = frames.frame().expect("the connection lives");
            assert_ne!(frame.kind, kind::GOAWAY);
            if frame.kind == kind::DATA {
                received += frame.payload.len();
                parts += 1;
                frames.try_send_bytes(&update(stream, 1).repeat(4)).unwrap();
                frames.try_send_bytes(&update(0, 1).repeat(4)).unwrap();
            }
        }
        assert!(parts * 8 > FRAMES_MAX, "{parts} parts prove nothing");
    }
}

#[test]
fn a_head_over_its_limit_is_refused_by_us() {
    let (origin, gateway) = pair(&[]);
    let client = H2Client::connect(gateway.web());
    let long = "v".repeat(10_000);
    let mut request = H2Request::get("a.test", "/").header("accept", "application/problem+json");
    for _ in 0..8 {
        request = request.header("x-long", &long);
    }
    let response = client.request(request);
    assert_eq!(response.status, 431);
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(gateway.log_entry("reason", "head_too_large")["status"], 431);
    let limit = [("limit", "head_bytes")];
    gateway.wait_metric("weftway_limit_reached_total", &limit, |count| count >= 1.0);
    assert_eq!(client.get("a.test", "/").status, 200, "only the stream ends");
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_head_far_beyond_its_limit_is_counted() {
    let (origin, gateway) = pair(&[]);
    let long = "v".repeat(16_000);
    let block = H2Frames::get("a.test", "/", &[("x-long", &long[..]); 11]);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let end = if index + 1 == pieces.len() { flags::END_HEADERS } else { 0 };
        match index {
            0 => frames.send(kind::HEADERS, end | flags::END_STREAM, 1, piece),
            _ => frames.send(kind::CONTINUATION, end, 1, piece),
        };
    }
    assert_eq!(frames.outcome(1), Outcome::Status(431));
    let limit = [("limit", "head_bytes")];
    gateway.wait_metric("weftway_limit_reached_total", &limit, |count| count == 1.0);
    frames.try_send_bytes(&get(3, "/")).unwrap();
    assert_eq!(frames.outcome(3), Outcome::Status(200), "only the stream ends");
    assert_eq!(origin.requests().len(), 1);
}

/// A bomb: a field in the table of the connection, and one byte for each use of it.
#[test]
fn a_head_that_unfolds_ends_the_connection() {
    let (origin, gateway) = pair(&[]);
    let mut bomb = H2Frames::get("a.test", "/", &[]);
    bomb.extend([0x40, 1, b'x', 127]);
    bomb.extend([((3_000 - 127) % 128) as u8 | 128, ((3_000 - 127) / 128) as u8]);
    bomb.extend([b'v'; 3_000]);
    bomb.extend([0xbe; 2_000]);
    let mut frames = H2Frames::connect(gateway.web(), &[]);
    frames.headers(1, &bomb, true);
    assert_eq!(frames.goaway(), Some(CALM));
    let limit = [("limit", "head_bytes")];
    gateway.wait_metric("weftway_limit_reached_total", &limit, |count| count == 1.0);
    assert!(origin.requests().is_empty());
}
