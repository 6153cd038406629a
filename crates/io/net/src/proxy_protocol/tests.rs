use proptest::prelude::*;

use super::crc32c::Crc32c;
use super::*;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[track_caller]
fn complete(bytes: &[u8]) -> (usize, Header<'_>) {
    for len in 0..bytes.len() {
        let parsed = parse(&bytes[..len]);
        if let Ok(Parsed::Complete { consumed, .. }) = parsed {
            assert!(consumed <= len);
            break;
        }
        assert_eq!(parsed, Ok(Parsed::NeedMore), "after {len} bytes of {bytes:?}");
    }
    match parse(bytes).unwrap() {
        Parsed::Complete { consumed, header } => (consumed, header),
        Parsed::NeedMore => panic!("{bytes:?} is not complete"),
    }
}

#[track_caller]
fn invalid(bytes: &[u8], wanted: InvalidProxyHeader) {
    assert_eq!(parse(bytes), Err(wanted), "{:?}", String::from_utf8_lossy(bytes));
}

fn relayed(source: &str, destination: &str) -> Option<Relayed> {
    Some(Relayed { source: addr(source), destination: addr(destination) })
}

/// A version 2 header with the given command, family and body.
fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend((body.len() as u16).to_be_bytes());
    bytes.extend(body);
    bytes
}

const V4_BODY: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x01, 0xbb];

#[test]
fn version_1_lines() {
    let (consumed, header) = complete(b"PROXY TCP4 192.0.2.1 192.0.2.2 12345 443\r\nGET /");
    assert_eq!(consumed, 42);
    assert_eq!((header.version, header.local), (1, false));
    assert_eq!(header.relayed, relayed("192.0.2.1:12345", "192.0.2.2:443"));
    let (_, header) = complete(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n");
    assert_eq!(header.relayed, relayed("[2001:db8::1]:0", "[::1]:65535"));
    assert_eq!(complete(b"PROXY UNKNOWN\r\n").1.relayed, None);
    assert_eq!(complete(b"PROXY UNKNOWN ff::1 x y z\r\n").1.relayed, None);
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX - 16));
    assert_eq!(complete(longest.as_bytes()).0, V1_BYTES_MAX);
}

#[test]
fn version_1_lines_that_are_refused() {
    use InvalidProxyHeader::{Address, Line, LineTooLong, Missing, Port};
    invalid(b"GET / HTTP/1.1\r\n", Missing);
    invalid(b"PROXY TCP5", Line);
    invalid(b"PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", Address);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n", Line);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\rx", Line);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", Line);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", Line);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n", Line);
    invalid(b"PROXY UNKNOWNx\r\n", Line);
    invalid(b"PROXY UNKNOWN a\nb\r\n", Line);
    invalid(b"PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n", Address);
    invalid(b"PROXY TCP4 ::1 ::1 1 2\r\n", Address);
    invalid(b"PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", Address);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n", Port);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", Port);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n", Port);
    invalid(b"PROXY TCP4 192.0.2.1 192.0.2.2  2\r\n", Port);
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(V1_BYTES_MAX));
    invalid(long.as_bytes(), LineTooLong);
}

#[test]
fn version_2_headers() {
    let bytes = v2(0x21, 0x11, &V4_BODY);
    let (consumed, header) = complete(&bytes);
    assert_eq!((consumed, header.version), (28, 2));
    assert_eq!(header.relayed, relayed("192.0.2.1:12345", "192.0.2.2:443"));
    // LOCAL: the rest is discarded, even if it is no addresses and no records.
    let bytes = v2(0x20, 0x11, &[1, 2, 3]);
    let (consumed, header) = complete(&bytes);
    assert_eq!((consumed, header.local, header.relayed), (19, true, None));
    assert_eq!(complete(&v2(0x20, 0x00, &[])).1.relayed, None);
    // UNIX and unspecified addresses are unknown.
    assert_eq!(complete(&v2(0x21, 0x31, &[0; 216])).1.relayed, None);
    assert_eq!(complete(&v2(0x21, 0x00, &[])).1.relayed, None);
}

#[test]
fn version_2_headers_that_are_refused() {
    use InvalidProxyHeader::{Checksum, Command, Family, Records, TooLong, TooShort};
    invalid(&v2(0x31, 0x11, &V4_BODY), Command(0x31));
    invalid(&v2(0x22, 0x11, &V4_BODY), Command(0x22));
    invalid(&v2(0x21, 0x41, &V4_BODY), Family(0x41));
    invalid(&v2(0x21, 0x13, &V4_BODY), Family(0x13));
    invalid(&v2(0x21, 0x21, &V4_BODY), TooShort(12));
    invalid(&v2(0x21, 0x00, &[4; 5000])[..16], TooLong(5000));
    let with = |records: &[u8]| v2(0x21, 0x11, &[&V4_BODY, records].concat());
    invalid(&with(&[1, 0]), Records);
    invalid(&with(&[1, 0, 2, 9]), Records);
    invalid(&with(&[3, 0, 4, 0, 0, 0, 0]), Checksum);
    invalid(&with(&[3, 0, 3, 0, 0, 0]), Checksum);
}

#[test]
fn records_are_kept_and_the_checksum_is_verified() {
    let records = [&[2u8, 0, 3][..], b"a.b", &[3, 0, 4, 0, 0, 0, 0], &[0x30, 0, 0]].concat();
    let mut bytes = v2(0x21, 0x11, &[&V4_BODY[..], &records].concat());
    let mut crc = Crc32c::new();
    crc.update(&bytes);
    let at = 28 + 6 + 3;
    bytes[at..at + 4].copy_from_slice(&crc.finish().to_be_bytes());
    let (_, header) = complete(&bytes);
    assert_eq!(header.tlvs.find(2), Some(&b"a.b"[..]));
    assert_eq!(header.tlvs.find(0x30), Some(&b""[..]));
    assert_eq!(header.tlvs.find(9), None);
    assert_eq!(header.tlvs.into_iter().count(), 3);
    bytes[20] ^= 1;
    invalid(&bytes, InvalidProxyHeader::Checksum);
}

#[test]
fn crc32c_of_the_standard_check_string() {
    let mut crc = Crc32c::new();
    crc.update(b"1234");
    crc.update(b"56789");
    assert_eq!(crc.finish(), 0xe306_9283);
}

fn addresses() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

/// The same end with an IPv4 address mapped, so that mixed families compare.
fn mapped(addr: SocketAddr) -> (std::net::Ipv6Addr, u16) {
    match addr.ip() {
        std::net::IpAddr::V4(ip) => (ip.to_ipv6_mapped(), addr.port()),
        std::net::IpAddr::V6(ip) => (ip, addr.port()),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(source in addresses(), destination in addresses(), rest in any::<Vec<u8>>()) {
        for (version, write) in [(1, write_v1 as fn(SocketAddr, SocketAddr, &mut Vec<u8>)), (2, write_v2)] {
            let mut bytes = Vec::new();
            write(source, destination, &mut bytes);
            let len = bytes.len();
            bytes.extend(&rest);
            let (consumed, header) = complete(&bytes);
            prop_assert_eq!((consumed, header.version), (len, version));
            let found = header.relayed.unwrap();
            prop_assert_eq!(mapped(found.source), mapped(source));
            prop_assert_eq!(mapped(found.destination), mapped(destination));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(start in 0usize..4, tail in proptest::collection::vec(any::<u8>(), 0..300)) {
        let starts: [&[u8]; 4] = [b"", b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21"];
        let bytes = [starts[start], &tail].concat();
        if let Ok(Parsed::Complete { consumed, header }) = parse(&bytes) {
            prop_assert!(consumed <= bytes.len());
            prop_assert!(header.tlvs.into_iter().count() <= bytes.len());
        }
    }

    /// Once refused, always refused; once complete, complete with the same length.
    #[test]
    fn verdicts_are_stable(source in addresses(), destination in addresses(), flip in 0usize..60, bit in 0u8..8) {
        let mut bytes = Vec::new();
        write_v1(source, destination, &mut bytes);
        let at = flip % bytes.len();
        bytes[at] ^= 1 << bit;
        let mut refused = false;
        for len in 0..=bytes.len() {
            let verdict = parse(&bytes[..len]);
            prop_assert!(!refused || verdict.is_err());
            refused = verdict.is_err();
        }
    }
}
