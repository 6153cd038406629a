//! Laws of HPACK (RFC 7541) that hold for every block and for every list of fields.

#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use weft_message::Known;
use weft_message::hpack::{
    Answer, DecodeError, Decoded, Decoder, Encoder, ListLimits, Name, Pseudo,
};

const UNBOUNDED: ListLimits =
    ListLimits { list_bytes_max: usize::MAX, list_bytes_fatal: usize::MAX };

/// What a connection does.
#[derive(Debug, Clone)]
enum Step {
    /// Sends a block of fields.
    Block(Vec<Sent>),
    /// Allows a table of this size.
    TableSize(u32),
}

/// Name, value, and whether nobody may keep it.
type Sent = (Vec<u8>, Vec<u8>, bool);

fn name() -> impl Strategy<Value = Vec<u8>> {
    let pseudo = select(Pseudo::ALL.to_vec()).prop_map(|name| name.as_str().into());
    let known = select(Known::ALL.to_vec()).prop_map(|name| name.as_str().into());
    let few = select(vec!["x-a", "x-b", "x-tenant", "x-session-of-a-client"]);
    let other = few.prop_map(|name| name.into());
    prop_oneof![pseudo, known, other, vec(any::<u8>(), 0..20)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let few = select(vec!["", "GET", "/", "200", "gzip, deflate", "application/grpc", "1", "/a"]);
    prop_oneof![
        3 => few.prop_map(|value| value.into()),
        2 => "[a-f]{1,2}".prop_map(String::into_bytes),
        2 => "[ -~]{0,80}".prop_map(String::into_bytes),
        2 => vec(any::<u8>(), 0..80),
        1 => (any::<u8>(), 0usize..6000).prop_map(|(byte, length)| vec![byte; length]),
    ]
}

fn block() -> impl Strategy<Value = Vec<Sent>> {
    vec((name(), value(), proptest::bool::weighted(0.1)), 0..30)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![Just(0), 0u32..6000, 0u32..200];
    vec(prop_oneof![4 => block().prop_map(Step::Block), 1 => size.prop_map(Step::TableSize)], 0..20)
}

fn encode(encoder: &mut Encoder, fields: &[Sent]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value, is_never_indexed) in fields {
        if *is_never_indexed {
            encoder.encode_never_indexed(Name::new(name), value, &mut out);
        } else {
            encoder.encode(Name::new(name), value, &mut out);
        }
    }
    out
}

/// Decodes a block, of which `emitted_max` fields are wanted.
fn decode(
    decoder: &mut Decoder,
    block: &[u8],
    limits: ListLimits,
    emitted_max: usize,
) -> (Result<Decoded, DecodeError>, Vec<Sent>) {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, limits, |field| {
        assert_eq!(Name::new(field.name.as_bytes()), field.name);
        fields.push((field.name.as_bytes().to_vec(), field.value.to_vec(), field.is_never_indexed));
        if fields.len() < emitted_max { Answer::Continue } else { Answer::Skip }
    });
    (decoded, fields)
}

fn list_bytes(fields: &[Sent]) -> usize {
    fields.iter().map(|(name, value, _)| name.len() + value.len() + 32).sum()
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(steps in steps()) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for step in steps {
            match step {
                Step::Block(fields) => {
                    let block = encode(&mut encoder, &fields);
                    let (decoded, found) = decode(&mut decoder, &block, UNBOUNDED, usize::MAX);
                    let list_bytes = list_bytes(&fields);
                    let expected = Decoded { fields: fields.len(), list_bytes, excess_bytes: 0 };
                    assert_eq!(decoded, Ok(expected));
                    assert_eq!(found.len(), fields.len());
                    for (found, sent) in found.iter().zip(&fields) {
                        assert_eq!(found.0, sent.0.to_ascii_lowercase());
                        assert_eq!(found.1, sent.1);
                        assert!(found.2 || !sent.2);
                    }
                }
                Step::TableSize(size) => {
                    encoder.set_table_bytes_max(size);
                    decoder.set_table_bytes_max(size);
                }
            }
        }
    }

    #[test]
    fn bounds_change_what_is_emitted_and_nothing_else(
        blocks in vec((block(), 0usize..3000, 0usize..30), 0..10),
    ) {
        let mut encoder = Encoder::new();
        let (mut unbounded, mut bounded) = (Decoder::new(4096), Decoder::new(4096));
        for (fields, list_bytes_max, emitted_max) in blocks {
            let block = encode(&mut encoder, &fields);
            let (whole, all) = decode(&mut unbounded, &block, UNBOUNDED, usize::MAX);
            let limits = ListLimits { list_bytes_max, ..UNBOUNDED };
            let (part, some) = decode(&mut bounded, &block, limits, emitted_max);
            let (whole, part) = (whole.unwrap(), part.unwrap());
            assert_eq!((whole.fields, whole.list_bytes), (part.fields, part.list_bytes));
            assert_eq!(part.excess_bytes, whole.list_bytes.saturating_sub(list_bytes_max));
            let fitting = (0..=all.len()).rev().find(|&end| list_bytes(&all[..end]) <= list_bytes_max);
            // At least one is emitted before it can be said that no more are wanted.
            let count = fitting.unwrap().min(emitted_max.max(1));
            assert_eq!(some, all[..count]);
        }
    }

    #[test]
    fn a_list_that_is_far_too_large_is_an_error(fields in block(), fatal in 0usize..3000) {
        let block = encode(&mut Encoder::new(), &fields);
        let limits = ListLimits { list_bytes_max: fatal / 2, list_bytes_fatal: fatal };
        let (decoded, emitted) = decode(&mut Decoder::new(4096), &block, limits, usize::MAX);
        assert!(list_bytes(&emitted) <= fatal / 2);
        if list_bytes(&fields) > fatal {
            assert_eq!(decoded, Err(DecodeError::ListTooLarge));
        } else {
            assert!(decoded.is_ok());
        }
    }

    #[test]
    fn no_block_panics(blocks in vec(vec(any::<u8>(), 0..100), 0..10), size: u32) {
        let mut decoder = Decoder::new(size);
        let limits = ListLimits { list_bytes_max: 500, list_bytes_fatal: 100_000 };
        for block in blocks {
            let (decoded, emitted) = decode(&mut decoder, &block, limits, usize::MAX);
            assert!(list_bytes(&emitted) <= 500);
            if decoded.is_err() {
                break;
            }
        }
    }

    #[test]
    fn a_changed_block_does_not_panic(
        fields in vec(block(), 1..4),
        changes in vec((any::<usize>(), any::<u8>()), 1..4),
    ) {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        for fields in fields {
            let mut block = encode(&mut encoder, &fields);
            let length = block.len();
            if length > 0 {
                changes.iter().for_each(|(at, byte)| block[at % length] = *byte);
            }
            if decode(&mut decoder, &block, UNBOUNDED, usize::MAX).0.is_err() {
                break;
            }
        }
    }
}
