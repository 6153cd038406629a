//! Frames of HTTP/2, to either side of a connection: no panic; how the bytes are cut makes no
//! difference; what is said in return is whole frames; what waits and what is open stays within its
//! bounds.

#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use weft_message::h2::{Config, Key, Session, Spares};
use weft_message::{HeadLimits, PathRules, RequestHead, ResponseHead, Scheme};

const CONFIG: Config = Config {
    streams_max: 8,
    head_bytes_max: 4 << 10,
    connection_window_bytes: 128 << 10,
    stream_window_bytes: 16 << 10,
    resets_max: 20,
    control_frames_max: 200,
};

/// Data of ours that waits, and what is answered by itself, bytes.
const OUTPUT_BYTES_MAX: usize = (64 + 256 + 32) << 10;

fn server() -> Session {
    let mut session = Session::server(CONFIG, Spares::default(), Instant::now());
    session.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", &Instant::now);
    session
}

fn client() -> Session {
    let mut session = Session::client(CONFIG, Spares::default(), Instant::now());
    session.receive(b"\0\0\0\x04\0\0\0\0\0", &Instant::now);
    let mut head = RequestHead::new();
    let made = head.set_authority("a").is_ok() && head.set_path("/").is_ok();
    for end in [true, false, false] {
        assert!(made && session.open(&head, end).is_ok());
    }
    session
}

/// Gives the bytes in pieces of `size`; what can be seen of the session afterwards.
fn feed(session: &mut Session, bytes: &[u8], size: usize) -> (Vec<u8>, String) {
    let mut waiting = Vec::new();
    for piece in bytes.chunks(size) {
        waiting.extend_from_slice(piece);
        let used = session.receive(&waiting, &Instant::now);
        assert!(used <= waiting.len());
        waiting.drain(..used);
    }
    assert!(session.open_streams() <= CONFIG.streams_max);
    assert!(session.output().len() <= OUTPUT_BYTES_MAX);
    (session.output().to_vec(), format!("{:?}", session.over()))
}

/// Frames, behind a client's preface, from the first to the last byte.
fn check_frames(said: &[u8]) {
    let mut rest = said.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_or(said);
    while let Some((&[a, b, c, kind, ..], tail)) = rest.split_first_chunk::<9>() {
        assert!(kind <= 9);
        rest = &tail[u32::from_be_bytes([0, a, b, c]) as usize..];
    }
    assert!(rest.is_empty());
}

/// Uses a stream as whoever serves it would.
fn use_stream(session: &mut Session, key: Key) {
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    if let Some(mut section) = session.take_request(key) {
        let _ = section.read_request(Scheme::Http, &limits, &rules, &mut RequestHead::new());
    }
    if let Ok(Some(mut section)) = session.take_response(key) {
        let _ = section.read_response(&limits, &mut ResponseHead::new());
    }
    let mut data = Vec::new();
    let _ = session.take_data(key, &mut data);
    session.consume(key, data.len());
    let _ = session.take_trailers(key);
    let _ = session.respond(key, &ResponseHead::new(), false);
    let _ = session.send(key, &data);
}

fuzz_target!(|data: &[u8]| {
    let Some((&[cut, half], bytes)) = data.split_first_chunk() else { return };
    let cut = usize::from(cut) + 1;
    for make in [server, client] {
        let whole = feed(&mut make(), bytes, usize::MAX);
        let mut session = make();
        assert_eq!(feed(&mut session, bytes, cut), whole);
        check_frames(session.output());
        // Somebody is at work on the streams meanwhile.
        let mut session = make();
        let (first, second) = bytes.split_at(usize::from(half).min(bytes.len()));
        let used = session.receive(first, &Instant::now);
        let mut keys: Vec<Key> = std::iter::from_fn(|| session.accept()).collect();
        keys.extend(std::iter::from_fn(|| session.next_change()).map(|change| change.key));
        keys.iter().for_each(|key| use_stream(&mut session, *key));
        session.receive(&[&first[used..], second].concat(), &Instant::now);
        keys.iter().for_each(|key| use_stream(&mut session, *key));
        keys.iter().for_each(|key| session.release(*key));
        check_frames(session.output());
    }
});
