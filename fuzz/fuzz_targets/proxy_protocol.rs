//! PROXY headers: no panic; a prefix never says more than the whole; what is written parses to the
//! same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_net::proxy_protocol::{Parsed, Relayed, V2_BYTES_MAX, parse, write_v1, write_v2};

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    for end in 0..data.len().min(256) {
        match (parse(&data[..end]), &whole) {
            // Which fault is named may depend on how much is there.
            (Ok(Parsed::NeedMore), _) | (Err(_), Err(_)) => {}
            (prefix, whole) => assert_eq!(prefix.as_ref(), whole.as_ref(), "{end} bytes of it"),
        }
    }
    let Ok(Parsed::Complete { consumed, header }) = whole else { return };
    assert!(consumed <= data.len() && consumed <= V2_BYTES_MAX);
    assert_eq!(parse(&data[..consumed]), whole);
    assert!(header.tlvs.into_iter().count() <= consumed);
    if let Some(Relayed { source, destination }) = header.relayed {
        assert_eq!(source.is_ipv4(), destination.is_ipv4());
        for write in [write_v1, write_v2] {
            let mut out = Vec::new();
            write(source, destination, &mut out);
            let Ok(Parsed::Complete { consumed, header: again }) = parse(&out) else {
                panic!("what was written is not valid: {out:?}");
            };
            assert_eq!((consumed, again.relayed), (out.len(), header.relayed));
        }
    }
});
