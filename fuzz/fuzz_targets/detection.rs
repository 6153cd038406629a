//! The first bytes of a connection: no panic; once decided, more bytes change nothing, and a bound
//! number of them decides. A request line is found however the bytes are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_net::detect::{DETECT_BYTES_MAX, Detected, FirstLine, detect};

fuzz_target!(|data: &[u8]| {
    let mut decided = None;
    for end in 0..=data.len().min(2 * DETECT_BYTES_MAX) {
        match (detect(&data[..end]), decided) {
            (Detected::NeedMore, before) => {
                assert_eq!(before, None, "{end} bytes of it");
                assert!(end < DETECT_BYTES_MAX);
            }
            (Detected::Decided(first), Some(before)) => assert_eq!(first, before),
            (Detected::Decided(first), None) => decided = Some(first),
        }
    }
    let mut whole = FirstLine::default();
    let is_request = whole.scan(data).is_some();
    let cut = usize::from(data.first().copied().unwrap_or_default());
    let mut pieces = FirstLine::default();
    let mut found = false;
    for piece in data.chunks(1 + cut % 7) {
        if pieces.has_ended() {
            break;
        }
        if pieces.scan(piece).is_some() {
            found = true;
            break;
        }
    }
    assert_eq!(found, is_request);
});
