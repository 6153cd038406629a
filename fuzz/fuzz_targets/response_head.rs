//! Response heads: no panic; whole and in pieces agree; what is written parses to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_message::h1::{
    BodyFraming, HeadLimits, HeadScan, ParseError, Parsed, Persistence, ResponseFacts,
    parse_response, write_response,
};
use weft_message::{Method, ResponseHead};

const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 2048, fields_max: 24, target_bytes_max: 512 };

/// For what was written: it may have more lines, and escapes where raw characters were.
const WIDE: HeadLimits =
    HeadLimits { head_bytes_max: 8192, fields_max: 32, target_bytes_max: 2048 };

type Outcome = Result<Option<(ResponseHead, ResponseFacts, usize)>, ParseError>;

fuzz_target!(|data: &[u8]| {
    let Some((&flags, input)) = data.split_first() else { return };
    let method = match flags & 3 {
        0 | 1 => Method::Get,
        2 => Method::Head,
        _ => Method::Connect,
    };
    let whole = parse(input, input.len(), &LIMITS, &method);
    match (&whole, &parse(input, 1 + usize::from(flags >> 2), &LIMITS, &method)) {
        (Ok(whole), Ok(split)) => assert_eq!(whole, split),
        // In pieces, a fault may be seen only once the head is complete.
        (Err(_), Err(_) | Ok(None)) => {}
        (whole, split) => panic!("{whole:?} whole, {split:?} in pieces"),
    }
    let Ok(Some((mut head, facts, consumed))) = whole else { return };
    assert!(input[..consumed].ends_with(b"\r\n\r\n"));
    check_facts(&head, &facts, &method);
    head.fields.strip_hop_by_hop();
    let persistence = if facts.keep_alive { Persistence::KeepAlive } else { Persistence::Close };
    let mut out = Vec::new();
    write_response(&head, facts.declared, persistence, &mut out);
    if facts.tunnel {
        return;
    }
    let (mut again, again_facts, consumed) = parse(&out, out.len(), &WIDE, &method)
        .expect("what was written is valid")
        .expect("and complete");
    again.fields.strip_hop_by_hop();
    assert_eq!(consumed, out.len());
    assert_eq!(again.fields, head.fields);
    assert_eq!(again.status(), head.status());
    assert_eq!(again_facts.framing, facts.framing);
    assert_eq!(again_facts.keep_alive, facts.keep_alive);
});

fn parse(input: &[u8], step: usize, limits: &HeadLimits, method: &Method) -> Outcome {
    let (mut head, mut scan) = (ResponseHead::new(), HeadScan::new());
    let mut end = 0;
    loop {
        end = input.len().min(end + step.max(1));
        match parse_response(&input[..end], &mut scan, limits, method, &mut head)? {
            Parsed::Complete { consumed, facts } => return Ok(Some((head, facts, consumed))),
            Parsed::Partial if end == input.len() => return Ok(None),
            Parsed::Partial => {}
        }
    }
}

fn check_facts(head: &ResponseHead, facts: &ResponseFacts, method: &Method) {
    assert!((100..=999).contains(&head.status()));
    // 101 ends the exchange of requests and answers: nothing follows it.
    assert_eq!(facts.interim, head.status() < 200 && head.status() != 101);
    let bodiless = head.status() < 200 || matches!(head.status(), 204 | 304);
    if bodiless || *method == Method::Head || facts.tunnel {
        assert_eq!(facts.framing, BodyFraming::None);
    } else {
        assert_ne!(facts.framing, BodyFraming::None);
    }
    if facts.framing == BodyFraming::UntilClose || facts.tunnel {
        assert!(!facts.keep_alive);
    }
}
