//! Chunked bodies: no panic; whole and in pieces agree; what is written decodes to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_message::h1::{
    BodyError, BodyFraming, BodyReader, Decoded, write_chunk_head, write_last_chunk,
};
use weft_message::{Fields, is_trailer_allowed};

fuzz_target!(|data: &[u8]| {
    let Some((&flags, input)) = data.split_first() else { return };
    let whole = decode(input, input.len());
    let split = decode(input, 1 + usize::from(flags));
    match (&whole, &split) {
        (Ok(whole), Ok(split)) => assert_eq!(whole, split),
        (Err(_), Err(_)) => {}
        (whole, split) => panic!("{whole:?} whole, {split:?} in pieces"),
    }
    let Ok((body, trailers, taken)) = whole else { return };
    assert!(taken <= input.len() && input[..taken].ends_with(b"\r\n"));
    assert!(trailers.iter().all(|(name, _)| is_trailer_allowed(name)));

    let mut out = Vec::new();
    for chunk in body.chunks(1 + usize::from(flags)) {
        write_chunk_head(chunk.len(), &mut out);
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    write_last_chunk(Some(&trailers), &mut out);
    let length = out.len();
    if trailers.size_bytes() < 4096 {
        assert_eq!(decode(&out, 7), Ok((body, trailers, length)));
    }
});

/// Data, trailers and the bytes taken, when the input arrives by `step` bytes.
fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, Fields, usize), BodyError> {
    let mut reader = BodyReader::new(BodyFraming::Chunked);
    let (mut body, mut at, mut end) = (Vec::new(), 0, 0);
    loop {
        match reader.decode(&input[at..end], end == input.len())? {
            Decoded::Data { skip, len } => {
                assert!(len > 0);
                at += skip;
                body.extend_from_slice(&input[at..at + len]);
                reader.consumed(len);
                at += len;
            }
            Decoded::End { skip } => {
                assert!(reader.is_complete());
                return Ok((body, reader.trailers().cloned().unwrap_or_default(), at + skip));
            }
            Decoded::NeedMore { skip } => {
                at += skip;
                assert_eq!(at, end, "everything was taken in");
                end = input.len().min(end + step.max(1));
            }
        }
    }
}
