use super::*;

const ALL: AnswerDiff =
    AnswerDiff { parts_per_million: 1_000_000, status: true, headers: true, body: true };

fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.set_status(status);
    for (name, value) in fields {
        head.fields.append(*name, value.as_bytes()).expect("valid");
    }
    head
}

#[test]
fn answers_are_compared_by_status_fields_and_body() {
    let text = [("content-type", "text/plain"), ("date", "then")];
    let mut seen = Seen::new(&head(200, &text), 1_000_000, true);
    seen.note(b"hello, ");
    seen.note(b"world");
    // Until the body has ended, nothing can be said of it.
    assert_eq!(seen.compare(&ALL, &head(200, &text), Some(b"other")), Compared::Same);
    seen.note_end();
    let check = |status, fields: &[(&str, &str)], body: &[u8], expected| {
        let found = seen.compare(&ALL, &head(status, fields), Some(body));
        assert_eq!(found, expected, "{status} {fields:?}");
    };
    check(200, &[("content-type", "text/plain"), ("date", "now")], b"hello, world", Compared::Same);
    check(500, &text, b"hello, world", Compared::Status);
    check(200, &[("content-type", "text/html")], b"hello, world", Compared::Fields);
    check(200, &[], b"hello, world", Compared::Fields);
    check(200, &text, b"hello, World", Compared::Body);
}

#[test]
fn only_what_is_asked_for_is_compared() {
    let none = AnswerDiff { status: false, headers: false, body: false, ..ALL };
    let mut seen = Seen::new(&head(200, &[("content-type", "text/plain")]), 1_000_000, true);
    seen.note(b"one");
    seen.note_end();
    let other = head(500, &[("content-type", "text/html"), ("grpc-status", "13")]);
    let check = |how: AnswerDiff, expected| {
        assert_eq!(seen.compare(&how, &other, Some(b"two")), expected, "{how:?}");
    };
    check(none, Compared::Same);
    check(AnswerDiff { status: true, ..none }, Compared::Status);
    check(AnswerDiff { headers: true, ..none }, Compared::Fields);
    check(AnswerDiff { body: true, ..none }, Compared::Body);
    let of_grpc = head(200, &[("grpc-status", "13")]);
    let by_status = AnswerDiff { status: true, ..none };
    assert_eq!(seen.compare(&by_status, &of_grpc, None), Compared::Status);
}

#[test]
fn outcomes_are_indexed_by_position() {
    for (index, (outcome, label)) in OUTCOMES.iter().enumerate() {
        assert_eq!((*outcome as usize, outcome.label()), (index, *label));
    }
}
