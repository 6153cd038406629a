use proptest::collection::vec;
use proptest::prelude::{any, proptest};
use proptest::prop_assert_eq;

use super::*;

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, 1]);
    bytes.extend_from_slice(payload);
    bytes
}

fn found<'a>(skip: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<FrameHead> {
    let mut scanner = Scanner::new(skip);
    let mut heads = Vec::new();
    for piece in pieces {
        scanner.scan(piece, |head| heads.push(head));
    }
    heads
}

#[test]
fn each_frame_is_found_by_its_kind_flags_and_length() {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    assert_eq!(bytes.len(), PREFACE_BYTES);
    for kind in 0..=10_u8 {
        bytes.extend(frame(kind, kind + 1, &vec![0xff; usize::from(kind) * 100]));
    }
    let heads = found(PREFACE_BYTES, [&bytes[..]]);
    let names: Vec<_> = heads.iter().map(|head| head.kind.as_str()).collect();
    assert_eq!(
        names,
        [
            "DATA",
            "HEADERS",
            "PRIORITY",
            "RST_STREAM",
            "SETTINGS",
            "PUSH_PROMISE",
            "PING",
            "GOAWAY",
            "WINDOW_UPDATE",
            "CONTINUATION",
            "unknown"
        ]
    );
    for (index, head) in heads.iter().enumerate() {
        assert_eq!(usize::from(head.flags), index + 1);
        assert_eq!(head.length as usize, index * 100);
    }
}

#[test]
fn a_head_is_told_before_its_payload_has_come() {
    let bytes = [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
    let heads = found(0, [&bytes[..8], &bytes[8..], &[0; 1000]]);
    let head = FrameHead { kind: FrameKind::Data, flags: 0, length: 0xff_ffff };
    assert_eq!(heads, [head], "and what is in the payload is no frame");
}

#[test]
fn only_data_without_bytes_and_without_an_end_is_empty() {
    for (kind, flags, payload, empty) in [
        (0, 0, &b""[..], true),
        (0, 0x8, b"", true),
        (0, END_STREAM, b"", false),
        (0, 0, b"x", false),
        (9, 0, b"", false),
    ] {
        let heads = found(0, [&frame(kind, flags, payload)[..]]);
        assert_eq!(heads[0].is_empty_data(), empty, "{kind} {flags} {payload:?}");
    }
}

proptest! {
    /// Any bytes at all, cut anywhere.
    #[test]
    fn how_the_bytes_are_cut_makes_no_difference(
        bytes in vec(proptest::prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..400),
        cuts in vec(1_usize..40, 1..20),
        skip in 0_usize..30,
    ) {
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at(rest.len().min(*cut));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(found(skip, pieces), found(skip, [&bytes[..]]));
    }

    /// What was written is found.
    #[test]
    fn all_frames_are_found(payloads in vec(0_usize..300, 0..20)) {
        let bytes: Vec<u8> = payloads.iter().flat_map(|length| frame(6, 0, &vec![7; *length])).collect();
        let lengths: Vec<_> = found(0, bytes.chunks(13)).iter().map(|head| head.length as usize).collect();
        prop_assert_eq!(lengths, payloads);
    }
}
