//! Replies of upstream resolvers: no panic; one counts only when it has the number and the question
//! of what was asked, and none that a stranger could have sent without knowing them does.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weft_dns::{Answer, Names, Question, Transport, Zone, answer};

/// A query for the addresses of `example.com`, with a number of its own.
const QUERY: &[u8] =
    b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x07example\x03com\0\0\x01\0\x01";

static ASKED: LazyLock<Question> = LazyLock::new(|| {
    let zone = Zone::new("cluster.local", "shop").expect("the domain is valid");
    match answer(QUERY, Transport::Udp, &Names::empty(&zone)) {
        Answer::Forward(question) => question,
        other => panic!("it is somebody else's to answer: {other:?}"),
    }
});

fuzz_target!(|data: &[u8]| {
    const ID: u16 = 0x5678;
    if ASKED.result(ID, data).is_some() {
        assert_eq!(data[..2], ID.to_be_bytes(), "the number");
        assert_ne!(data[2] & 0x80, 0, "it is a reply");
        // With another number the same bytes are none.
        assert_eq!(ASKED.result(ID ^ 1, data), None);
        let mut query = data.to_vec();
        query[2] &= 0x7f;
        assert_eq!(ASKED.result(ID, &query), None);
    }
});
