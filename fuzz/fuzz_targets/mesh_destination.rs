//! Where a peer of the mesh says that a request or tunnel is to go: no panic; nothing of it is left
//! in the fields, however it is spelled; what is written is read back.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use weft_message::{Fields, RequestHead, peer};

fuzz_target!(|data: &[u8]| {
    let mut fields = Fields::new();
    let mut parts = data.splitn(8, |byte| *byte == b'\n');
    let authority = parts.next().unwrap_or_default();
    for line in parts {
        let mut sides = line.splitn(2, |byte| *byte == b':');
        let name = sides.next().unwrap_or_default();
        let Ok(name) = std::str::from_utf8(name) else { continue };
        let _ = fields.append(name, sides.next().unwrap_or_default());
    }
    let mut others = fields.clone();
    let read = peer::take_destination(&mut fields);
    peer::remove_destination(&mut others);
    assert_eq!(fields.len(), others.len());
    let folds = |name: &str| {
        let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte } else { b'-' };
        name.bytes().map(plain).eq(b"weftway-destination".iter().copied())
    };
    assert!(fields.iter().all(|(name, _)| !folds(&name.to_ascii_lowercase())));
    if let Ok(Some(addr)) = read {
        assert_ne!(addr.port(), 0);
        peer::set_destination(&mut fields, addr);
        assert_eq!(peer::take_destination(&mut fields), Ok(Some(addr)));
    }
    peer::remove_caller(&mut fields);
    // The authority of a CONNECT.
    let mut head = RequestHead::new();
    if let Ok(text) = std::str::from_utf8(authority)
        && head.set_authority(text).is_ok()
        && let Ok(addr) = head.authority().parse::<SocketAddr>()
    {
        assert_eq!(addr.to_string().parse(), Ok(addr));
    }
});
