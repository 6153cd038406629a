//! Heads and buffers that are used again do not allocate.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use std::net::{IpAddr, Ipv4Addr};

use allocation_counter::measure;
use weft_message::forwarded::{self, Hop};
use weft_message::h1::{
    BodyFraming, BodyReader, Decoded, HeadLimits, HeadScan, Parsed, Persistence, parse_request,
    parse_response, write_request, write_response,
};
use weft_message::hpack::{Answer, Decoder, Encoder, ListLimits, Name};
use weft_message::{Known, Method, PathRules, RequestHead, ResponseHead, Scheme};

const REQUEST: &[u8] = b"POST /a/%2e/b//c%c3%a9?x=1 HTTP/1.1\r\nHost: Shop.Example:80\r\n\
    X-Forwarded-For: 10.0.0.1\r\nAccept: */*\r\nConnection: upgrade, x-hop\r\nX-Hop: 1\r\n\
    Upgrade: websocket\r\nCookie: a=1; b=2\r\nTransfer-Encoding: chunked\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nServer: x\r\n\
    Connection: keep-alive\r\n\r\n";

const BODY: &[u8] = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n";

/// Everything that happens to the bytes of one exchange.
struct Exchange {
    request: RequestHead,
    response: ResponseHead,
    reader: BodyReader,
    out: Vec<u8>,
}

// === impl Exchange ===

impl Exchange {
    fn run(&mut self) {
        let limits = HeadLimits::DEFAULT;
        self.out.clear();
        let mut scan = HeadScan::new();
        let rules = PathRules::default();
        let parsed = parse_request(REQUEST, &mut scan, &limits, &rules, &mut self.request);
        let Ok(Parsed::Complete { facts, .. }) = parsed else { panic!("{parsed:?}") };
        let hop = self.request.fields.strip_hop_by_hop();
        assert_eq!(hop.upgrade.as_deref(), Some(&b"websocket"[..]));
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let scheme = Scheme::Https;
        let hop = Hop { peer, scheme, trusted: true, websocket: true, server: "edge" };
        forwarded::apply(&mut self.request, &hop);
        self.request.set_path("/new/path%2F").unwrap();
        self.request.set_query(Some("y=2")).unwrap();
        self.request.fields.set("x-user", b"42").unwrap();
        self.request.fields.remove_folded("x-secret");
        assert_eq!(self.request.fields.get("accept"), Some(&b"*/*"[..]));
        assert!(weft_message::cookie::find(&self.request.fields, "b").is_some());
        assert!(self.request.query_values("y").next().is_some());
        write_request(&self.request, facts.framing, &mut self.out);
        self.read_body();

        let method = Method::Get;
        let parsed = parse_response(RESPONSE, &mut scan, &limits, &method, &mut self.response);
        let Ok(Parsed::Complete { facts, .. }) = parsed else { panic!("{parsed:?}") };
        self.response.fields.strip_hop_by_hop();
        self.response.fields.set(Known::Server, b"edge").unwrap();
        write_response(&self.response, facts.framing, Persistence::KeepAlive, &mut self.out);
    }

    fn read_body(&mut self) {
        self.reader.reset(BodyFraming::Chunked);
        let mut rest = BODY;
        loop {
            match self.reader.decode(rest, true).unwrap() {
                Decoded::Data { skip, len } => {
                    self.out.extend_from_slice(&rest[skip..skip + len]);
                    self.reader.consumed(len);
                    rest = &rest[skip + len..];
                }
                Decoded::End { .. } => break,
                Decoded::NeedMore { .. } => panic!("the body is complete"),
            }
        }
    }
}

#[test]
fn a_second_exchange_allocates_nothing() {
    let mut exchange = Exchange {
        request: RequestHead::new(),
        response: ResponseHead::new(),
        reader: BodyReader::new(BodyFraming::None),
        out: Vec::new(),
    };
    let first = measure(|| exchange.run());
    assert!(first.count_total > 0, "the counter counts");
    let second = measure(|| exchange.run());
    assert_eq!(second.count_total, 0);
}

#[test]
fn an_empty_head_holds_nothing() {
    let heads = measure(|| drop((RequestHead::new(), ResponseHead::new())));
    assert_eq!(heads.count_total, 0);
}

/// Two blocks that differ, as those of two requests of one client.
fn exchange_blocks(encoder: &mut Encoder, decoder: &mut Decoder, out: &mut Vec<u8>) {
    for number in *b"12" {
        out.clear();
        encoder.begin(out);
        for (name, value) in [
            (":method", &b"GET"[..]),
            (":path", &[b'/', number]),
            (":authority", b"shop.example"),
            ("user-agent", b"client"),
            ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("X-Tenant", &[number]),
            ("cookie", b"a=1"),
        ] {
            encoder.encode(Name::new(name.as_bytes()), value, out);
        }
        let limits = ListLimits { list_bytes_max: 4096, list_bytes_fatal: 4096 };
        let decoded = decoder.decode(out, limits, |field| {
            assert!(field.is_name_valid && field.is_value_valid);
            Answer::Continue
        });
        assert_eq!(decoded.unwrap().fields, 7);
    }
}

#[test]
fn a_second_block_of_fields_allocates_nothing() {
    let (mut encoder, mut decoder, mut out) = (Encoder::new(), Decoder::new(4096), Vec::new());
    let first = measure(|| exchange_blocks(&mut encoder, &mut decoder, &mut out));
    assert!(first.count_total > 0, "the counter counts");
    let second = measure(|| exchange_blocks(&mut encoder, &mut decoder, &mut out));
    assert_eq!(second.count_total, 0);
}

#[test]
fn unused_codecs_of_fields_hold_nothing() {
    let codecs = measure(|| drop((Encoder::new(), Decoder::new(4096))));
    assert_eq!(codecs.count_total, 0);
}
