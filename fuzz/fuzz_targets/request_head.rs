//! Request heads: no panic; whole and in pieces agree; one canonical view; what is written parses
//! to the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_message::h1::{
    BodyFraming, HeadLimits, HeadScan, ParseError, Parsed, RequestFacts, parse_request, write_request,
};
use weft_message::{Known, Method, PathRules, RequestHead, canonical_path};

const LIMITS: HeadLimits =
    HeadLimits { head_bytes_max: 2048, fields_max: 24, target_bytes_max: 512 };

/// For what was written: it may have more lines, and escapes where raw characters were.
const WIDE: HeadLimits =
    HeadLimits { head_bytes_max: 8192, fields_max: 32, target_bytes_max: 2048 };

type Outcome = Result<Option<(RequestHead, RequestFacts, usize)>, ParseError>;

fuzz_target!(|data: &[u8]| {
    let Some((&flags, input)) = data.split_first() else { return };
    let rules = if flags & 1 == 0 { PathRules::default() } else { PathRules::PERMISSIVE };
    let whole = parse(input, input.len(), &LIMITS, &rules);
    match (&whole, &parse(input, 1 + usize::from(flags >> 1), &LIMITS, &rules)) {
        (Ok(whole), Ok(split)) => assert_eq!(whole, split),
        // In pieces, a fault may be seen only once the head is complete.
        (Err(_), Err(_) | Ok(None)) => {}
        (whole, split) => panic!("{whole:?} whole, {split:?} in pieces"),
    }
    if let Ok(Some((head, facts, consumed))) = whole {
        assert!(input[..consumed].ends_with(b"\r\n\r\n"));
        check_view(&head, &rules);
        check_round_trip(head, facts, &rules);
    }
});

fn parse(input: &[u8], step: usize, limits: &HeadLimits, rules: &PathRules) -> Outcome {
    let (mut head, mut scan) = (RequestHead::new(), HeadScan::new());
    let mut end = 0;
    loop {
        end = input.len().min(end + step.max(1));
        match parse_request(&input[..end], &mut scan, limits, rules, &mut head)? {
            Parsed::Complete { consumed, facts } => return Ok(Some((head, facts, consumed))),
            Parsed::Partial if end == input.len() => return Ok(None),
            Parsed::Partial => {}
        }
    }
}

fn check_view(head: &RequestHead, rules: &PathRules) {
    let path = head.path();
    match head.method() {
        Method::Connect => assert_eq!(path, ""),
        Method::Options if path == "*" => assert_eq!(head.query(), None),
        _ => assert_eq!(canonical_path(path, rules).as_deref(), Ok(path)),
    }
    for text in [head.path_and_query(), head.authority(), head.host()] {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    }
    assert!(!head.host().bytes().any(|byte| byte.is_ascii_uppercase()));
    assert!(!head.host().ends_with('.'));
    assert!(!head.fields.contains(Known::Host));
    for (name, value) in &head.fields {
        assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!value.iter().any(|&byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}

fn check_round_trip(mut head: RequestHead, facts: RequestFacts, rules: &PathRules) {
    head.fields.strip_hop_by_hop();
    let mut out = Vec::new();
    write_request(&head, facts.framing, &mut out);
    let again = parse(&out, out.len(), &WIDE, rules);
    if head.authority().is_empty() {
        // An HTTP/1.0 request without a host cannot be sent on as HTTP/1.1 without one.
        assert!(again.is_err());
        return;
    }
    let (mut again, again_facts, consumed) =
        again.expect("what was written is valid").expect("and complete");
    again.fields.strip_hop_by_hop();
    again.set_version(head.version());
    again.set_scheme(head.scheme());
    // Where content is expected, that there is none is said.
    let framing = match facts.framing {
        BodyFraming::None if head.method().expects_content() => BodyFraming::Length(0),
        framing => framing,
    };
    assert_eq!((&again, again_facts.framing, consumed), (&head, framing, out.len()));
}
