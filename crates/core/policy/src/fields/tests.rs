use weft_message::RequestHead;
use weft_model::policy::{Fact, MessagePart, StepKind, ValuePart};

use super::*;
use crate::testing::{PLAIN, lines, name, request, response, run};

fn edits(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> HeaderEdits {
    let pairs = |list: &[(&str, &str)]| {
        list.iter().map(|(field, value)| (name(field), (*value).into())).collect()
    };
    HeaderEdits {
        set: pairs(set),
        add: pairs(add),
        remove: remove.iter().map(|field| name(field)).collect(),
        ..HeaderEdits::default()
    }
}

fn edited(edits: HeaderEdits, fields: &[(&str, &str)]) -> RequestHead {
    let head = request("GET http://example.com/", fields);
    run(StepKind::RequestHeaders(edits), head, PLAIN).passed()
}

/// One case of the conformance tests HTTPRouteRequestHeaderModifier and
/// HTTPRouteResponseHeaderModifier: both modifiers do the same to fields.
#[track_caller]
fn check(edits: HeaderEdits, before: &[(&str, &str)], after: &[&str]) {
    assert_eq!(lines(&edited(edits.clone(), before).fields), after);
    let mut head = response(200, before);
    edit_response(&edits, &mut head, &mut String::new()).expect("the edits fit");
    assert_eq!(lines(&head.fields), after);
}

#[test]
fn sets() {
    let edits = edits(&[("X-Header-Set", "set-overwrites-values")], &[], &[]);
    check(
        edits.clone(),
        &[("Some-Other-Header", "val")],
        &["some-other-header: val", "x-header-set: set-overwrites-values"],
    );
    check(
        edits,
        &[("x-header-set", "some-other-value"), ("b", "c"), ("X-Header-Set", "more")],
        &["x-header-set: set-overwrites-values", "b: c"],
    );
}

#[test]
fn spellings_of_a_name_go_with_it_in_requests() {
    let before = [("X_Tenant", "evil"), ("x.user", "root"), ("X-Tenant", "evil"), ("xtenant", "a")];
    let edits = edits(&[("X-Tenant", "acme")], &[("X.Tenant", "b")], &["X-User"]);
    let after = lines(&edited(edits.clone(), &before).fields);
    assert_eq!(after, ["x-tenant: acme", "xtenant: a", "x.tenant: b"]);
    // Clients of a response read names as they are.
    let mut head = response(200, &before);
    edit_response(&edits, &mut head, &mut String::new()).expect("the edits fit");
    assert_eq!(head.fields.get_str("x_tenant"), Some("evil"));
    assert_eq!(head.fields.get_str("x.user"), Some("root"));
}

#[test]
fn adds() {
    let edits = edits(&[], &[("X-Header-Add", "add-appends-values")], &[]);
    check(edits.clone(), &[], &["x-header-add: add-appends-values"]);
    check(
        edits,
        &[("X-Header-Add", "some-other-value")],
        &["x-header-add: some-other-value", "x-header-add: add-appends-values"],
    );
}

#[test]
fn removes() {
    let edits = edits(&[], &[], &["X-Header-Remove"]);
    check(edits.clone(), &[("x-header-remove", "val"), ("a", "b")], &["a: b"]);
    check(edits, &[("a", "b")], &["a: b"]);
}

#[test]
fn does_all_in_order() {
    let edits = edits(
        &[("X-Header-Set-1", "header-set-1"), ("X-Header-Set-2", "header-set-2")],
        &[
            ("X-Header-Add-1", "header-add-1"),
            ("X-Header-Add-2", "header-add-2"),
            ("X-Header-Set-1", "added-after-set"),
        ],
        &["X-Header-Remove-1", "X-Header-Remove-2"],
    );
    check(
        edits,
        &[
            ("X-Header-Set-2", "set-val-2"),
            ("X-Header-Add-2", "add-val-2"),
            ("X-Header-Remove-2", "remove-val-2"),
            ("Another-Header", "another-header-val"),
        ],
        &[
            "x-header-set-2: header-set-2",
            "x-header-add-2: add-val-2",
            "another-header: another-header-val",
            "x-header-set-1: header-set-1",
            "x-header-add-1: header-add-1",
            "x-header-add-2: header-add-2",
            "x-header-set-1: added-after-set",
        ],
    );
}

#[test]
fn host_is_the_authority() {
    let head = edited(edits(&[("Host", "other.example:8080")], &[], &[]), &[("a", "b")]);
    assert_eq!((head.authority(), head.fields.contains("host")), ("other.example:8080", false));
    let head = edited(edits(&[], &[("host", "other.example")], &["Host"]), &[]);
    assert_eq!((head.authority(), head.fields.is_empty()), ("other.example", true));

    let bad = StepKind::RequestHeaders(edits(&[("Host", "no host")], &[], &[]));
    let head = request("GET http://example.com/", &[]);
    assert_eq!(run(bad, head, PLAIN).answer().status(), 500);

    let mut head = response(200, &[]);
    edit_response(&edits(&[("Host", "x")], &[], &[]), &mut head, &mut String::new())
        .expect("the edits fit");
    assert!(head.fields.is_empty());
}

#[test]
fn framing_and_hop_fields_are_not_settable() {
    let framing = [
        "Connection",
        "Content-Length",
        "HTTP2-Settings",
        "Keep-Alive",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
    ];
    for field in framing {
        assert!(!is_settable(&name(field)), "{field}");
        let all = edits(&[(field, "1")], &[(field, "2")], &[field]);
        check(all, &[(field, "0")], &[&format!("{}: 0", field.to_ascii_lowercase())]);
        check(edits(&[(field, "1")], &[], &[]), &[], &[]);
    }
    for field in ["Host", "X-Any", "Content-Type", "Authorization", "X-Forwarded-For"] {
        assert!(is_settable(&name(field)), "{field}");
    }
}

#[test]
fn an_edit_that_does_not_fit_is_refused() {
    let edits = edits(&[("X-A", "line\nbreak")], &[], &[]);
    let head = request("GET http://example.com/", &[]);
    let answer = run(StepKind::RequestHeaders(edits.clone()), head, PLAIN).answer();
    assert_eq!((answer.status(), answer.reason), (500, Reason::Internal));
    let rejected = edit_response(&edits, &mut response(200, &[]), &mut String::new());
    assert_eq!(rejected, Err(InvalidFieldValue::Value));
}

fn made(field: &str, adds: bool, parts: &[ValuePart]) -> HeaderEdits {
    let header = MadeHeader { name: name(field), adds, parts: parts.to_vec() };
    HeaderEdits { made: vec![header], ..HeaderEdits::default() }
}

fn text(text: &str) -> ValuePart {
    ValuePart::Text(text.into())
}

fn first_of(parts: &[&str], bytes_max: Option<u32>) -> ValuePart {
    let parts = parts.iter().map(|part| MessagePart::new(part).expect("a part")).collect();
    ValuePart::Fact(Fact::Named { parts, bytes_max })
}

#[test]
fn values_of_requests_are_made_of_what_they_are() {
    let check = |parts: &[ValuePart], expected: Option<&str>| {
        let fields = &[("x-user", "Müller"), ("x-made", "before")];
        let head = request("GET http://example.com:81/a?b=c", fields);
        let edits = made("x-made", false, parts);
        let passed = run(StepKind::RequestHeaders(edits), head, PLAIN).passed();
        assert_eq!(passed.fields.get_str("x-made"), expected.or(Some("before")), "{parts:?}");
    };
    let fact = ValuePart::Fact;
    check(&[text("by "), fact(Fact::ClientAddr)], Some("by 192.0.2.1:40000"));
    check(&[fact(Fact::ClientIp), text("/"), fact(Fact::LocalPort)], Some("192.0.2.1/80"));
    check(&[fact(Fact::Protocol)], Some("HTTP/1.1"));
    check(&[first_of(&[":path"], None)], Some("/a?b=c"));
    check(
        &[first_of(&[":method"], None), first_of(&[":authority"], None)],
        Some("GETexample.com:81"),
    );
    check(&[first_of(&["host"], None)], Some("example.com:81"));
    check(&[first_of(&["x-none", "x-user"], None)], Some("Müller"));
    // No character is cut.
    check(&[first_of(&["x-user"], Some(2))], Some("M"));
    check(&[first_of(&["x-user"], Some(3))], Some("Mü"));
    // Of what is not there nothing is said.
    check(&[first_of(&["x-none"], None)], None);
    check(&[fact(Fact::Status)], None);
}

#[test]
fn values_of_answers_are_made_of_what_they_are() {
    let edits =
        made("x-made", true, &[ValuePart::Fact(Fact::Status), text(" "), first_of(&["b"], None)]);
    check_response(&edits, &["b: c", "x-made: first", "x-made: 200 c"]);
    check_response(&made("x-made", false, &[first_of(&["b"], None)]), &["b: c", "x-made: c"]);
}

#[test]
fn a_value_that_is_made_replaces_before_others_are_added() {
    let header = |adds, parts: &[ValuePart]| MadeHeader {
        name: name("x-made"),
        adds,
        parts: parts.to_vec(),
    };
    let edits = HeaderEdits {
        set: vec![(name("x-made"), "set".into())],
        add: vec![(name("x-made"), "added".into())],
        made: vec![header(true, &[text("last")]), header(false, &[first_of(&["b"], None)])],
        remove: vec![name("b")],
    };
    check_response(&edits, &["x-made: c", "x-made: added", "x-made: last"]);
}

#[track_caller]
fn check_response(edits: &HeaderEdits, after: &[&str]) {
    let mut head = response(200, &[("b", "c"), ("x-made", "first")]);
    edit_response(edits, &mut head, &mut String::new()).expect("the edits fit");
    assert_eq!(lines(&head.fields), after);
}
