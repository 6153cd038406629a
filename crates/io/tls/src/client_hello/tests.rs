use std::sync::Arc;

use proptest::prelude::*;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use rustls_pki_types::ServerName;

use super::*;

/// A hello as rustls sends it.
fn hello_for(name: &str, alpn: &[&str]) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_string()).unwrap();
    let mut conn = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    conn.write_tls(&mut bytes).unwrap();
    bytes
}

/// A hello made by hand: extensions are `(type, data)`.
fn hand_made(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut list = Vec::new();
    for (kind, data) in extensions {
        list.extend(kind.to_be_bytes());
        list.extend((data.len() as u16).to_be_bytes());
        list.extend(*data);
    }
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 1, 1, 0]);
    body.extend((list.len() as u16).to_be_bytes());
    body.extend(list);
    message(&body)
}

fn message(body: &[u8]) -> Vec<u8> {
    let mut message = vec![1];
    message.extend(&(body.len() as u32).to_be_bytes()[1..]);
    message.extend(body);
    records(&message, 1 << 14)
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in message.chunks(size) {
        bytes.extend([22, 3, 1]);
        bytes.extend((part.len() as u16).to_be_bytes());
        bytes.extend(part);
    }
    bytes
}

fn name_extension(name: &[u8]) -> Vec<u8> {
    let mut data = ((name.len() + 3) as u16).to_be_bytes().to_vec();
    data.push(0);
    data.extend((name.len() as u16).to_be_bytes());
    data.extend(name);
    data
}

#[track_caller]
fn facts(bytes: &[u8]) -> Hello {
    match parse_client_hello(bytes).unwrap() {
        Peek::Hello(hello) => hello,
        Peek::NeedMore => panic!("the hello is whole"),
    }
}

#[track_caller]
fn named(name: &[u8], wanted: Option<&str>) {
    let hello = facts(&hand_made(&[(0, &name_extension(name))]));
    assert_eq!(hello.server_name.as_deref(), wanted);
}

#[test]
fn names_and_protocols_are_read() {
    let hello = facts(&hello_for("Shop.Example", &["h2", "http/1.1"]));
    assert_eq!(hello.server_name.as_deref(), Some("shop.example"));
    assert_eq!(hello.alpn, [&b"h2"[..], b"http/1.1"].map(Box::from));
    let hello = facts(&hello_for("127.0.0.1", &[]));
    assert_eq!(hello, Hello::default());
    named(b"a.example", Some("a.example"));
    named(b"A.example.", Some("a.example"));
    named(b"192.0.2.1", None);
    named(b"a b", None);
    named(b"\xff", None);
    named(b"", None);
}

#[test]
fn a_prefix_needs_more_and_what_follows_does_not_matter() {
    let bytes = hello_for("shop.example", &["h2"]);
    for len in 0..bytes.len() {
        assert_eq!(parse_client_hello(&bytes[..len]), Ok(Peek::NeedMore), "after {len} bytes");
    }
    let more = [&bytes[..], b"\xffrubbish"].concat();
    assert_eq!(facts(&more), facts(&bytes));
}

#[test]
fn a_hello_may_be_cut_into_records_anywhere() {
    let bytes = hello_for("shop.example", &["h2"]);
    for size in [1, 2, 3, 4, 5, 100, 1000] {
        let cut = records(&bytes[5..], size);
        assert_eq!(facts(&cut), facts(&bytes), "records of {size} bytes");
        assert_eq!(parse_client_hello(&cut[..cut.len() - 1]), Ok(Peek::NeedMore));
    }
}

#[test]
fn hellos_of_other_shapes() {
    // TLS 1.2 without extensions.
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2f, 1, 0]);
    assert_eq!(facts(&message(&body)), Hello::default());
    // Encrypted Client Hello: the outer name counts.
    let outer = name_extension(b"public.example");
    let hello = facts(&hand_made(&[(0xfe0d, &[0, 1, 2, 3]), (0, &outer), (0x0a0a, &[])]));
    assert_eq!(hello.server_name.as_deref(), Some("public.example"));
}

#[test]
fn refusals_come_as_early_as_they_can() {
    let check = |bytes: &[u8], wanted| assert_eq!(parse_client_hello(bytes), Err(wanted));
    check(b"G", InvalidHello::NotTls);
    check(b"\x16\x02", InvalidHello::NotTls);
    check(b"\x16\x03\x05", InvalidHello::NotTls);
    check(b"\x17\x03\x03", InvalidHello::NotTls);
    check(b"\x16\x03\x01\x00\x00", InvalidHello::Malformed);
    check(b"\x16\x03\x01\x40\x01", InvalidHello::Malformed);
    check(b"\x16\x03\x01\x00\x05\x02", InvalidHello::NotHello);
    check(b"\x16\x03\x01\x20\x00\x01\x00\x40\x00", InvalidHello::TooLong);
    check(&records(&[&[1, 0, 0x3f, 0xf0][..], &[0; 10_000]].concat(), 1), InvalidHello::TooLong);
    check(&message(&[3, 3]), InvalidHello::Malformed);
    check(&hand_made(&[(0, b"\x00\x01")]), InvalidHello::Malformed);
    let name = name_extension(b"a.example");
    check(&hand_made(&[(0, &name), (0, &name)]), InvalidHello::Malformed);
    check(&hand_made(&[(16, b"\x00\x01\x00")]), InvalidHello::Malformed);
    let two = [&[0, 10, 0, 0, 2][..], b"ab", &[0, 0, 2], b"cd"].concat();
    check(&hand_made(&[(0, &two)]), InvalidHello::Malformed);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), framed: bool) {
        if framed {
            bytes = message(&bytes);
        }
        let _ = parse_client_hello(&bytes);
    }

    /// A changed byte changes facts or is refused, and the verdict over prefixes is stable.
    #[test]
    fn verdicts_are_stable(at in 0usize..2000, value: u8) {
        let mut bytes = hello_for("shop.example", &["h2"]);
        let at = at % bytes.len();
        bytes[at] = value;
        let mut settled = None;
        for len in 0..=bytes.len() {
            let verdict = parse_client_hello(&bytes[..len]);
            if let Some(before) = settled {
                prop_assert_eq!(&verdict, &before);
                settled = Some(before);
            } else if verdict != Ok(Peek::NeedMore) {
                settled = Some(verdict);
            }
        }
    }
}
