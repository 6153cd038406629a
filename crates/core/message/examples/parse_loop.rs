//! Parses and writes a typical request over and over, for counting instructions:
//! `valgrind --tool=callgrind target/release/examples/parse_loop 10000`.
//!
//! The count of a run of 0 rounds is to be taken off. A second argument picks what is measured:
//! `request` (the default), `response` or `forward` (a request with forwarding fields added).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;

use weft_message::forwarded::{self, Hop};
use weft_message::h1::{
    HeadLimits, HeadScan, Parsed, Persistence, parse_request, parse_response, write_request,
    write_response,
};
use weft_message::{Known, Method, PathRules, RequestHead, ResponseHead, Scheme};

const REQUEST: &[u8] = b"GET /api/v1/products/42?fields=name,price&lang=en HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Authorization: Bearer abcdefghijklmnopqrstuv\r\n\
    X-Tenant-Plan: gold\r\n\
    Connection: keep-alive\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Fri, 21 Nov 2025 04:00:00 GMT\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 128\r\n\
    Cache-Control: no-store\r\n\
    Etag: W/\"abcdef0123456789\"\r\n\
    Server: greeter\r\n\
    Connection: keep-alive\r\n\r\n";

#[expect(clippy::disallowed_methods, reason = "a program of its own, and this is its main")]
fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let rounds = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let done = match arguments.next().as_deref() {
        None | Some("request") => (0..rounds).try_for_each(requests(false)),
        Some("forward") => (0..rounds).try_for_each(requests(true)),
        Some("response") => (0..rounds).try_for_each(responses()),
        Some(_) => None,
    };
    if done.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One round: parse, strip, three look-ups, write.
fn requests(forward: bool) -> impl FnMut(u32) -> Option<()> {
    let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
    let (mut head, mut scan, mut out) = (RequestHead::new(), HeadScan::new(), Vec::new());
    let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let hop = Hop { peer, scheme: Scheme::Http, trusted: false, websocket: false, server: "edge" };
    move |_| {
        let input = black_box(REQUEST);
        let parsed = parse_request(input, &mut scan, &limits, &rules, &mut head);
        let Ok(Parsed::Complete { facts, .. }) = parsed else { return None };
        black_box(head.fields.strip_hop_by_hop());
        black_box(head.fields.get(Known::Authorization));
        black_box(head.fields.get("x-tenant-plan"));
        black_box((head.host(), head.path(), head.fields.get(Known::Cookie)));
        if forward {
            forwarded::apply(&mut head, &hop);
        }
        out.clear();
        write_request(&head, facts.framing, &mut out);
        black_box(&out);
        Some(())
    }
}

fn responses() -> impl FnMut(u32) -> Option<()> {
    let limits = HeadLimits::DEFAULT;
    let (mut head, mut scan, mut out) = (ResponseHead::new(), HeadScan::new(), Vec::new());
    move |_| {
        let input = black_box(RESPONSE);
        let parsed = parse_response(input, &mut scan, &limits, &Method::Get, &mut head);
        let Ok(Parsed::Complete { facts, .. }) = parsed else { return None };
        black_box(head.fields.strip_hop_by_hop());
        out.clear();
        write_response(&head, facts.framing, Persistence::KeepAlive, &mut out);
        black_box(&out);
        Some(())
    }
}
