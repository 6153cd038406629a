//! Field blocks of HTTP/2: no panic; bounds change nothing but what is emitted; what was decoded is
//! encoded and decodes to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_message::hpack::{Answer, DecodeError, Decoded, Decoder, Encoder, ListLimits, Name};

const UNBOUNDED: ListLimits = ListLimits { list_bytes_max: usize::MAX, list_bytes_fatal: 1 << 20 };

type Field = (Vec<u8>, Vec<u8>, bool);

fn decode(
    decoder: &mut Decoder,
    block: &[u8],
    limits: ListLimits,
) -> (Result<Decoded, DecodeError>, Vec<Field>) {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, limits, |field| {
        assert_eq!(Name::new(field.name.as_bytes()), field.name);
        assert!(!field.is_name_valid || !field.name.as_bytes().iter().any(u8::is_ascii_uppercase));
        assert!(!field.is_value_valid || !field.value.iter().any(|byte| b"\r\n\0".contains(byte)));
        fields.push((field.name.as_bytes().to_vec(), field.value.to_vec(), field.is_never_indexed));
        Answer::Continue
    });
    (decoded, fields)
}

// The first byte bounds lists and gives the sizes of the table; blocks follow, each after its
// length.
fuzz_target!(|data: &[u8]| {
    let Some((&flags, mut rest)) = data.split_first() else { return };
    let bounds = ListLimits { list_bytes_max: 16 * usize::from(flags), ..UNBOUNDED };
    let (mut whole, mut bounded) = (Decoder::new(4096), Decoder::new(4096));
    let (mut encoder, mut again) = (Encoder::new(), Decoder::new(4096));
    while let Some((&length, after)) = rest.split_first() {
        let (block, after) = after.split_at(after.len().min(usize::from(length)));
        rest = after;
        let (decoded, fields) = decode(&mut whole, block, UNBOUNDED);
        let (part, some) = decode(&mut bounded, block, bounds);
        assert!(fields.starts_with(&some));
        let (Ok(decoded), Ok(part)) = (decoded, part) else {
            assert_eq!(decoded.err(), part.err());
            return;
        };
        assert_eq!((decoded.fields, decoded.list_bytes), (part.fields, part.list_bytes));
        assert_eq!(decoded.fields, fields.len());
        assert_eq!(part.excess_bytes > 0, some.len() < fields.len());

        let size = u32::from(flags) * u32::from(length);
        encoder.set_table_bytes_max(size);
        again.set_table_bytes_max(size);
        check_encoder(&mut encoder, &mut again, &fields);
    }
});

fn check_encoder(encoder: &mut Encoder, decoder: &mut Decoder, fields: &[Field]) {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value, is_never_indexed) in fields {
        if *is_never_indexed {
            encoder.encode_never_indexed(Name::new(name), value, &mut out);
        } else {
            encoder.encode(Name::new(name), value, &mut out);
        }
    }
    let (decoded, found) = decode(decoder, &out, UNBOUNDED);
    assert_eq!(decoded.map(|decoded| decoded.fields), Ok(fields.len()));
    for (found, sent) in found.iter().zip(fields) {
        assert_eq!(found.0, sent.0.to_ascii_lowercase());
        assert_eq!(found.1, sent.1);
        assert!(found.2 || !sent.2);
    }
}
