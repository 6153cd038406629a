//! Frames of HTTP/2: no panic; how the bytes are cut makes no difference; heads and payloads add up
//! to what there is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_http::h2::frames::{FrameHead, Scanner};

fn heads<'a>(skip: usize, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<FrameHead> {
    let mut scanner = Scanner::new(skip);
    let mut heads = Vec::new();
    for piece in pieces {
        scanner.scan(piece, |head| heads.push(head));
    }
    heads
}

fuzz_target!(|data: &[u8]| {
    let Some((&[skip, cut], bytes)) = data.split_first_chunk() else { return };
    let (skip, cut) = (usize::from(skip), usize::from(cut) + 1);
    let whole = heads(skip, std::iter::once(bytes));
    assert_eq!(heads(skip, bytes.chunks(cut)), whole);
    let Some((_, before)) = whole.split_last() else { return };
    // All but the last have come with their payloads.
    let taken: usize = before.iter().map(|head| 9 + head.length as usize).sum();
    assert!(skip + taken + 9 <= bytes.len());
});
