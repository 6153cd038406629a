use std::time::Duration;

use super::*;
use crate::yaml::parse_stream;

/// Reads one document with `read` and answers what was reported.
fn check<T>(text: &str, read: impl FnOnce(&Reader<'_, '_>) -> T) -> (Option<T>, Vec<String>) {
    let (documents, problems) = parse_stream("f", text);
    assert_eq!(problems, [], "{text}");
    let sink = Sink::new("f".into(), 1);
    let value = Reader::new(&documents[0], Path::Root, &sink).map(|reader| read(&reader));
    let problems = sink.into_problems();
    let shown = problems.iter().map(|problem| {
        let fix = problem.fix.as_ref().map(|fix| format!(" [{fix}]")).unwrap_or_default();
        format!("{problem}{fix}")
    });
    (value, shown.collect())
}

#[test]
fn every_problem_is_reported_at_once() {
    let (_, problems) = check("port: '80'\nflag: yes\nname: 5\nbig: 70000\nlist: x\n", |r| {
        r.int("port", 1, 65_535);
        r.bool("flag");
        r.string("name");
        r.take("big").and_then(|field| field.port());
        r.strings("list");
        r.require("missing");
    });
    assert_eq!(
        problems,
        [
            "f:1:7: error: port: expected a number, found the text `80` [write 80 without quotes]",
            "f:2:7: error: flag: expected true or false, found the text `yes` [write true]",
            "f:3:7: error: name: expected text, found the number `5` [write \"5\"]",
            "f:4:6: error: big: 70000 is out of range: must be between 1 and 65535",
            "f:5:7: error: list: expected a list, found the text `x`",
            "f:1:1: error: the field `missing` is required",
        ]
    );
}

#[test]
fn a_field_that_nobody_took_is_unknown() {
    let (_, problems) = check("spec:\n  retires: 3\n  zzz: 1\n", |r| {
        r.nested("spec", |r| {
            r.int("retries", 0, 9);
            r.int("timeout", 0, 9);
            Some(())
        })
    });
    assert_eq!(
        problems,
        [
            "f:2:3: error: spec.retires: unknown field `retires` [did you mean `retries`?]",
            "f:3:3: error: spec.zzz: unknown field `zzz` [known here: retries, timeout]",
        ]
    );
}

#[test]
fn case_is_the_usual_mistake() {
    let (_, problems) = check("PassHostHeader: true\n", |r| r.bool("passHostHeader"));
    assert!(problems[0].contains("did you mean `passHostHeader`?"), "{problems:?}");
}

#[test]
fn paths_name_list_items() {
    let (_, problems) = check("a:\n  - b: [1, x]\n", |r| {
        r.list("a", |item| item.nested(|r| Some(r.list("b", |item| item.int(0, 9)))))
    });
    assert_eq!(problems, ["f:2:12: error: a[0].b[1]: expected a whole number, found the text `x`"]);
}

#[test]
fn null_is_absent_unless_asked_for() {
    let (value, problems) = check("tls:\nother: ~\n", |r| {
        (r.take_even_null("tls").is_some(), r.take("other").is_some())
    });
    assert_eq!((value, problems), (Some((true, false)), vec![]));
}

#[test]
fn known_fields_without_effect_are_said() {
    let (_, problems) = check("a: 1\nb: 2\n", |r| {
        r.ignored("a", "we do that anyway");
        r.skip("b");
    });
    assert_eq!(problems, ["f:1:4: warning: a: `a` has no effect: we do that anyway"]);
}

#[test]
fn durations_choices_and_networks() {
    let (value, problems) = check("d: 1m\nn: 5\nc: round\ni: 10.1.2.3/8\nj: x\n", |r| {
        let choice = r.take("c").and_then(|field| field.choice(&[("rounds", 1), ("other", 2)]));
        assert_eq!(choice, None);
        let network = r.take("i").and_then(|field| field.ip_net());
        assert_eq!(network.map(|network| network.to_string()).as_deref(), Some("10.0.0.0/8"));
        assert_eq!(r.take("j").and_then(|field| field.ip_net()), None);
        let duration = |name| r.take(name).and_then(|field| field.duration());
        (duration("d"), duration("n"))
    });
    let secs = |n| Some(Duration::from_secs(n));
    assert_eq!(value, Some((secs(60), secs(5))));
    assert_eq!(problems.len(), 2);
    assert!(problems[0].contains("did you mean `rounds`?"), "{problems:?}");
}

#[test]
fn suggestions_are_near() {
    let names = ["middlewares", "services", "match", "priority"];
    assert_eq!(nearest("middleware", names), Some("middlewares"));
    assert_eq!(nearest("servcies", names), Some("services"));
    assert_eq!(nearest("Match", names), Some("match"));
    assert_eq!(nearest("kind", names), None);
    assert_eq!(nearest(&"x".repeat(1000), names), None);
}
