//! What holds for any bytes, and for any order of events.

use proptest::prelude::*;

use super::*;
use crate::h2::testing::block;

/// Frames that may make sense, and some that do not.
fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop::sample::select(vec![
        FrameKind::Data,
        FrameKind::Headers,
        FrameKind::Headers,
        FrameKind::Priority,
        FrameKind::ResetStream,
        FrameKind::Settings,
        FrameKind::PushPromise,
        FrameKind::Ping,
        FrameKind::GoAway,
        FrameKind::WindowUpdate,
        FrameKind::Continuation,
        FrameKind::Unknown,
    ]);
    let payload = prop_oneof![
        Just(get(&[])),
        Just(block(&[(":status", "200")])),
        Just(block(&[("x", "y")])),
        prop::collection::vec(any::<u8>(), 0..40),
        Just(vec![0, 0, 0, 1]),
        Just(vec![0; 8]),
    ];
    (kind, any::<u8>(), 0..8_u32, payload)
        .prop_map(|(kind, flags, stream, payload)| frame(kind, flags & 0x2d, stream, &payload))
}

/// Everything that can be seen of a session after bytes.
fn observe(mut session: Session, pieces: &[&[u8]]) -> (Vec<u8>, String) {
    let mut said = Vec::new();
    let mut waiting = Vec::new();
    for piece in pieces {
        waiting.extend_from_slice(piece);
        let used = session.receive(&waiting, &epoch);
        waiting.drain(..used);
    }
    let mut seen = String::new();
    while let Some(key) = session.accept() {
        let mut data = Vec::new();
        let body = session.take_data(key, &mut data);
        seen.push_str(&format!("{key:?} {body:?} {data:?} {:?};", session.failure(key)));
    }
    said.extend(take(&mut session));
    (said, format!("{seen} {:?} {:?}", session.over(), session.open_streams()))
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    for cut in cuts {
        let (piece, tail) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    pieces.push(rest);
    pieces
}

proptest! {
    #[test]
    fn no_bytes_panic_and_how_they_are_cut_does_not_matter(
        frames in prop::collection::vec(some_frame(), 0..30),
        junk in prop::collection::vec(any::<u8>(), 0..60),
        cuts in prop::collection::vec(0..70_usize, 0..30),
    ) {
        let bytes = [frames.concat(), junk].concat();
        let calling = || {
            let mut session = client(CONFIG);
            for _ in 0..3 {
                session.open(&request(), false).unwrap();
            }
            session
        };
        let whole = observe(server(CONFIG), &[&bytes]);
        prop_assert_eq!(observe(server(CONFIG), &cut(&bytes, &cuts)), whole);
        let whole = observe(calling(), &[&bytes]);
        prop_assert_eq!(observe(calling(), &cut(&bytes, &cuts)), whole);
    }

    #[test]
    fn bodies_arrive_whole_whatever_the_windows_and_the_order(
        windows in (1..3_000_u32, 1..3_000_u32, 1..5_000_u32),
        sizes in prop::collection::vec(0..20_000_usize, 1..6),
        steps in prop::collection::vec((0..4_u8, any::<u16>()), 50..300),
    ) {
        let config = Config {
            stream_window_bytes: windows.0,
            connection_window_bytes: 65_535 + windows.2,
            control_frames_max: u32::MAX,
            ..CONFIG
        };
        let mut client = Session::client(Config { stream_window_bytes: windows.1, ..config }, Spares::default(), epoch());
        let mut server = Session::server(config, Spares::default(), epoch());
        exchange(&mut client, &mut server);
        let mut calls: Vec<Call> = sizes.iter().map(|&size| Call::begin(&mut client, size)).collect();
        let (mut served, mut there, mut back) = (Vec::new(), Vec::new(), Vec::new());
        let forever = [(0, 9_000), (1, 700), (2, 0), (3, 9_000), (1, 60_000)].into_iter().cycle();
        for (step, amount) in steps.into_iter().chain(forever.take(400_000)) {
            match step {
                0 => carry(&mut client, &mut server, amount, &mut there),
                1 => calls.iter_mut().for_each(|call| call.push(&mut client, amount)),
                2 => serve(&mut server, &mut served),
                _ => carry(&mut server, &mut client, amount, &mut back),
            }
            calls.iter_mut().for_each(|call| call.pull(&mut client));
            if calls.iter().all(|call| call.ended) {
                break;
            }
        }
        for call in &calls {
            prop_assert!(call.ended && call.received == call.body);
        }
    }
}

/// A request whose body is echoed.
struct Call {
    key: Key,
    body: Vec<u8>,
    sent: usize,
    finished: bool,
    received: Vec<u8>,
    ended: bool,
}

impl Call {
    fn begin(client: &mut Session, size: usize) -> Self {
        let key = client.open(&request(), false).unwrap();
        let body = (0..size).map(|at| (at * 7 + at / 251) as u8).collect();
        Self { key, body, sent: 0, finished: false, received: Vec::new(), ended: false }
    }

    fn push(&mut self, client: &mut Session, amount: u16) {
        if self.finished {
            return;
        }
        let end = (self.sent + usize::from(amount)).min(self.body.len());
        self.sent += client.send(self.key, &self.body[self.sent..end]).unwrap();
        if self.sent == self.body.len() {
            self.finished = true;
            client.finish(self.key, None).unwrap();
        }
    }

    fn pull(&mut self, client: &mut Session) {
        let mut data = Vec::new();
        loop {
            match client.take_data(self.key, &mut data).unwrap() {
                Body::Data => {
                    client.consume(self.key, data.len());
                    self.received.append(&mut data);
                }
                Body::End => self.ended = true,
                Body::Nothing => {}
            }
            if data.is_empty() {
                return;
            }
        }
    }
}

/// What a server holds of a body that it has not sent back.
type Served = (Key, Vec<u8>, bool);

fn serve(server: &mut Session, served: &mut Vec<Served>) {
    while let Some(key) = server.accept() {
        server.respond(key, &response(200), false).unwrap();
        served.push((key, Vec::new(), false));
    }
    for (key, held, ended) in served.iter_mut().filter(|served| !served.2) {
        if held.is_empty() {
            match server.take_data(*key, held).unwrap() {
                Body::End => {
                    server.finish(*key, None).unwrap();
                    *ended = true;
                }
                Body::Data | Body::Nothing => {}
            }
        }
        let sent = if held.is_empty() { 0 } else { server.send(*key, held).unwrap() };
        held.drain(..sent);
        server.consume(*key, sent);
    }
}

/// Carries so many bytes from one side to the other; `waiting` are those that were not yet taken.
fn carry(from: &mut Session, to: &mut Session, amount: u16, waiting: &mut Vec<u8>) {
    let count = from.output().len().min(usize::from(amount));
    waiting.extend_from_slice(&from.output()[..count]);
    from.advance(count);
    let used = to.receive(waiting, &epoch);
    waiting.drain(..used);
}
