mod laws;
mod sections;

use crate::h2::frame::{ACK, END_HEADERS, END_STREAM};
use crate::h2::session::{
    Body, CONTROL_BYTES_MAX, Config, Excess, KEYS_KEPT, Key, OUTPUT_BYTES_MAX, Over,
    ROOM_BYTES_MIN, Session, Spares,
};
use crate::h2::testing::{
    CONFIG, client, epoch, frame, frames, get, give, parse, request, response, server, take,
};
use crate::h2::{Failure, FrameKind, Reason};
use crate::{Fields, HeadLimits, Known, PathRules, RequestHead, ResponseHead, Scheme};

const WHOLE: u8 = END_STREAM | END_HEADERS;

/// Accepts a request and reads its head.
fn accept(session: &mut Session) -> (Key, RequestHead) {
    let key = session.accept().expect("there is a request");
    let mut section = session.take_request(key).expect("it has a head");
    let mut head = RequestHead::new();
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    section.read_request(Scheme::Http, &limits, &rules, &mut head).unwrap();
    (key, head)
}

/// Moves bytes both ways until neither side has any.
fn exchange(one: &mut Session, other: &mut Session) {
    while one.has_output() || other.has_output() {
        let bytes = take(one);
        give(other, &bytes);
        let bytes = take(other);
        give(one, &bytes);
    }
}

fn pair() -> (Session, Session) {
    let mut client = Session::client(CONFIG, Spares::default(), epoch());
    let mut server = Session::server(CONFIG, Spares::default(), epoch());
    exchange(&mut client, &mut server);
    (client, server)
}

fn codes(frames: &[(FrameKind, u8, u32, Vec<u8>)], kind: FrameKind) -> Vec<(u32, u32)> {
    let code = |payload: &[u8]| match kind {
        FrameKind::GoAway => u32::from_be_bytes(payload[4..8].try_into().unwrap()),
        _ => u32::from_be_bytes(payload.try_into().unwrap()),
    };
    let of_kind = frames.iter().filter(|frame| frame.0 == kind);
    of_kind.map(|(_, _, stream, payload)| (*stream, code(payload))).collect()
}

#[test]
fn a_request_and_its_answer() {
    let (mut client, mut server) = pair();
    let mut head = request();
    head.fields.append("x-a", b"1").unwrap();
    let near = client.open(&head, false).unwrap();
    assert_eq!(client.send(near, b"ab"), Ok(2));
    assert_eq!(client.send(near, b"cd"), Ok(2));
    let mut trailers = Fields::new();
    trailers.append("x-sum", b"7").unwrap();
    client.finish(near, Some(&trailers)).unwrap();
    exchange(&mut client, &mut server);
    let (far, head) = accept(&mut server);
    assert_eq!((head.host(), head.path(), head.fields.get_str("x-a")), ("a", "/", Some("1")));
    let mut data = Vec::new();
    assert_eq!(server.take_data(far, &mut data), Ok(Body::Data));
    assert_eq!(data, b"abcd", "what is small shares a frame");
    server.consume(far, 4);
    assert_eq!(server.take_data(far, &mut data), Ok(Body::End));
    assert_eq!(server.take_trailers(far).unwrap().get_str("x-sum"), Some("7"));
    server.respond(far, &response(103), false).unwrap();
    server.respond(far, &response(200), false).unwrap();
    assert_eq!(server.send(far, b"xyz"), Ok(3));
    server.finish(far, None).unwrap();
    let sent = frames(&mut server);
    let kinds: Vec<_> = sent.iter().map(|(kind, flags, ..)| (*kind, *flags)).collect();
    let interim = (FrameKind::Headers, END_HEADERS);
    assert_eq!(kinds, [interim, interim, (FrameKind::Data, END_STREAM)]);
    server.release(far);
    assert_eq!(server.open_streams(), 0);
    for (kind, flags, stream, payload) in sent {
        give(&mut client, &frame(kind, flags, stream, &payload));
    }
    let mut head = ResponseHead::new();
    client.take_interim(near).unwrap().read_response(&HeadLimits::DEFAULT, &mut head).unwrap();
    assert_eq!(head.status(), 103);
    let mut section = client.take_response(near).unwrap().unwrap();
    section.read_response(&HeadLimits::DEFAULT, &mut head).unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(client.take_data(near, &mut data), Ok(Body::Data));
    assert_eq!(data, b"xyz");
    client.release(near);
    assert!(!client.has_output(), "nothing is left to be said");
}

#[test]
fn windows_hold_both_ways_and_are_updated_by_the_half() {
    let config = Config { stream_window_bytes: 1_000, ..CONFIG };
    let mut client = Session::client(CONFIG, Spares::default(), epoch());
    let mut server = Session::server(config, Spares::default(), epoch());
    exchange(&mut client, &mut server);
    let near = client.open(&request(), false).unwrap();
    assert_eq!(client.send(near, &[7; 5_000]), Ok(1_000));
    assert_eq!(client.send(near, &[7; 5_000]), Ok(0));
    exchange(&mut client, &mut server);
    let (far, _) = accept(&mut server);
    let mut data = Vec::new();
    server.take_data(far, &mut data).unwrap();
    server.consume(far, 499);
    assert!(!server.has_output(), "it is not worth it yet");
    server.consume(far, 1);
    assert_eq!(codes(&parse(server.output()), FrameKind::WindowUpdate), [(1, 500)]);
    while client.next_change().is_some() {}
    exchange(&mut client, &mut server);
    assert!(client.next_change().is_some_and(|change| change.key == near && change.is_writable));
    assert_eq!(client.send(near, &[7; 5_000]), Ok(500));
    // A smaller initial window takes away what streams have, below zero even (section 6.9.2).
    let smaller = [&[0, 4][..], &10_u32.to_be_bytes()].concat();
    give(&mut client, &frame(FrameKind::Settings, 0, 0, &smaller));
    take(&mut client);
    give(&mut client, &frame(FrameKind::WindowUpdate, 0, 1, &990_u32.to_be_bytes()));
    assert_eq!(client.send(near, b"abc"), Ok(0));
    give(&mut client, &frame(FrameKind::WindowUpdate, 0, 1, &2_u32.to_be_bytes()));
    assert_eq!(client.send(near, b"abc"), Ok(2));
}

#[test]
fn streams_share_the_output_fairly() {
    let (mut client, mut server) = pair();
    let keys: Vec<_> = (0..4).map(|_| client.open(&request(), false).unwrap()).collect();
    exchange(&mut client, &mut server);
    let wide = frame(FrameKind::WindowUpdate, 0, 0, &(1_u32 << 30).to_be_bytes());
    give(&mut client, &wide);
    for key in &keys {
        give(
            &mut client,
            &frame(FrameKind::WindowUpdate, 0, key.id(), &(1_u32 << 30).to_be_bytes()),
        );
    }
    let data = vec![1; 1 << 20];
    let mut sent = [0; 4];
    for _ in 0..50 {
        // Each takes all it gets.
        for (key, sent) in keys.iter().zip(&mut sent) {
            while let Ok(count @ 1..) = client.send(*key, &data) {
                *sent += count;
            }
        }
        take(&mut client);
        while client.next_change().is_some() {}
    }
    let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
    assert!(most - least <= 2 * OUTPUT_BYTES_MAX, "{sent:?}");
    assert!(sent.iter().sum::<usize>() > 30 * OUTPUT_BYTES_MAX, "{sent:?}");
}

#[test]
fn what_waits_to_be_written_is_bounded() {
    let (mut client, mut server) = pair();
    give(&mut client, &frame(FrameKind::WindowUpdate, 0, 0, &(1_u32 << 30).to_be_bytes()));
    let keys: Vec<_> = (0..4).map(|_| client.open(&request(), false).unwrap()).collect();
    exchange(&mut client, &mut server);
    let mut sent = 0;
    for key in &keys {
        while let Ok(count @ 1..) = client.send(*key, &[0; 3_000]) {
            sent += count;
        }
    }
    client.stall();
    assert!(client.output().len() <= OUTPUT_BYTES_MAX + 200, "{}", client.output().len());
    assert!(sent >= OUTPUT_BYTES_MAX - 4 * ROOM_BYTES_MIN, "{sent}");
    assert_eq!(client.take_queue_exhausted(), 1);
    // What is answered by itself is bounded by not reading on.
    let ping = frame(FrameKind::Ping, 0, 0, b"12345678");
    let mut server = server_without_bounds();
    let flood = ping.repeat(CONTROL_BYTES_MAX / 17 + 10_000);
    let used = server.receive(&flood, &epoch);
    assert!(used < flood.len() && server.is_glutted());
    take(&mut server);
    give(&mut server, &flood[used..]);
}

fn server_without_bounds() -> Session {
    server(Config { control_frames_max: u32::MAX, ..CONFIG })
}

#[test]
fn a_drain_takes_what_is_on_its_way_and_then_ends() {
    let mut server = server(CONFIG);
    give(&mut server, &frame(FrameKind::Headers, WHOLE, 1, &get(&[])));
    server.drain();
    let said = frames(&mut server);
    assert_eq!(codes(&said, FrameKind::GoAway), [(0, 0)]);
    let ping = said.iter().find(|frame| frame.0 == FrameKind::Ping).unwrap().3.clone();
    give(&mut server, &frame(FrameKind::Headers, WHOLE, 3, &get(&[])));
    give(&mut server, &frame(FrameKind::Ping, ACK, 0, &ping));
    let said = frames(&mut server);
    assert_eq!(said[0].3[..4], 3_u32.to_be_bytes(), "the last stream that is served");
    // What comes now is not looked at; the client knows.
    give(&mut server, &frame(FrameKind::Headers, WHOLE, 5, &get(&[])));
    for _ in 0..2 {
        assert_eq!(server.over(), None);
        let (key, _) = accept(&mut server);
        server.respond(key, &response(200), true).unwrap();
        server.release(key);
    }
    assert_eq!((server.over(), server.accept()), (Some(Over::Closed), None));
}

#[test]
fn streams_beyond_the_last_of_a_goaway_may_be_sent_again() {
    let mut client = client(CONFIG);
    let first = client.open(&request(), true).unwrap();
    let second = client.open(&request(), true).unwrap();
    let goaway = [1_u32.to_be_bytes(), 0_u32.to_be_bytes()].concat();
    give(&mut client, &frame(FrameKind::GoAway, 0, 0, &goaway));
    assert_eq!(client.failure(first), None);
    assert!(client.failure(second).is_some_and(Failure::is_unprocessed));
    assert!(client.is_closing() && client.open(&request(), true).is_err());
    client.release(second);
    give(&mut client, &frame(FrameKind::Headers, WHOLE, 1, &[0x88]));
    assert_eq!(client.over(), Some(Over::Closed));
    assert!(client.take_response(first).is_ok_and(|head| head.is_some()));
}

#[test]
fn what_a_client_is_to_blame_for_counts_as_its_resets() {
    let mut server = server(Config { resets_max: 5, ..CONFIG });
    for index in 0..6 {
        // The answer would have been cut off by ourselves (CVE-2025-8671).
        let id = 2 * index + 1;
        give(&mut server, &frame(FrameKind::Headers, END_HEADERS, id, &get(&[])));
        give(&mut server, &frame(FrameKind::WindowUpdate, 0, id, &[0; 4]));
    }
    assert_eq!(server.take_excess(), Some(Excess::Resets));
    let mut server = self::server(Config { resets_max: 5, ..CONFIG });
    for index in 0..6 {
        // Opened and given up at once (CVE-2023-44487).
        let id = 2 * index + 1;
        give(&mut server, &frame(FrameKind::Headers, WHOLE, id, &get(&[])));
        give(&mut server, &frame(FrameKind::ResetStream, 0, id, &8_u32.to_be_bytes()));
        assert_eq!(server.accept(), None, "nobody begins with it");
    }
    assert_eq!(server.take_excess(), Some(Excess::Resets));
}

#[test]
fn a_connection_at_rest_holds_next_to_nothing() {
    let (mut client, mut server) = pair();
    for _ in 0..10 {
        let near = client.open(&request(), false).unwrap();
        client.send(near, &[0; 10_000]).unwrap();
        client.finish(near, None).unwrap();
        exchange(&mut client, &mut server);
        let (far, _) = accept(&mut server);
        server.respond(far, &response(200), true).unwrap();
        server.release(far);
        exchange(&mut client, &mut server);
        client.release(near);
    }
    for session in [&mut client, &mut server] {
        session.rest();
        assert_eq!(session.output.capacity(), 0);
        assert!(session.streams.len() == 0 && session.changed.capacity() <= KEYS_KEPT);
    }
    assert!(size_of::<Session>() <= 1_200, "{}", size_of::<Session>());
    assert!(size_of::<crate::h2::stream::Stream>() <= 240);
}

#[test]
fn heads_larger_than_a_frame_are_cut_and_put_together() {
    let (mut client, mut server) =
        (client(CONFIG), server(Config { head_bytes_max: 1 << 20, ..CONFIG }));
    let mut head = request();
    let long = "v".repeat(50_000);
    head.fields.append("x-long", long.as_bytes()).unwrap();
    head.fields.append(Known::Connection, b"close").unwrap();
    client.open(&head, true).unwrap();
    let bytes = take(&mut client);
    assert!(parse(&bytes).iter().any(|frame| frame.0 == FrameKind::Continuation));
    give(&mut server, &bytes);
    let (_, head) = accept(&mut server);
    assert_eq!(head.fields.get_str("x-long"), Some(&*long));
    assert_eq!(head.fields.len(), 1, "fields of a connection stay behind");
}
