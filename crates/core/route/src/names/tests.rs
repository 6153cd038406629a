use weft_model::text::Pattern;

use super::*;

fn key(kind: NameKind, text: &str) -> NameKey<'_> {
    NameKey { kind, text: text.into() }
}

fn check_keys(host: &HostMatch, expected: &[(NameKind, &str)], exhaustive: bool) {
    let found = NameKeys::of(host);
    let expected: Vec<_> = expected.iter().map(|(kind, text)| key(*kind, text)).collect();
    assert_eq!((found.keys.as_slice(), found.exhaustive), (&*expected, exhaustive), "{host:?}");
}

#[test]
fn conditions_are_filed() {
    check_keys(&HostMatch::Exact("a.b".into()), &[(NameKind::Exact, "a.b")], true);
    check_keys(&HostMatch::OneLabel("b".into()), &[(NameKind::OneLabel, "b")], true);
    check_keys(&HostMatch::AnyLabels("b".into()), &[(NameKind::AnyLabels, "b")], true);
    check_keys(&HostMatch::Any, &[(NameKind::Rest, "")], true);
}

#[test]
fn patterns_are_filed_by_their_ends() {
    let check = |text: &str, expected: &[(NameKind, &str)]| {
        check_keys(&HostMatch::Regex(Pattern::new(text).unwrap()), expected, false);
    };
    check(r"^.+\.a\.b$", &[(NameKind::Ends, "a.b")]);
    check(r"^x.*y\.a\.b$", &[(NameKind::Ends, "a.b")]);
    check(r"^(x|y)\.a$", &[(NameKind::Exact, "x.a"), (NameKind::Exact, "y.a")]);
    check(r"^.+(x|y)\.a$", &[(NameKind::Ends, "a")]);
    check(r"^.+(x\.a|y\.b)$", &[(NameKind::Ends, "a"), (NameKind::Ends, "b")]);
    check(r"^.+(x\.a|y)$", &[(NameKind::Rest, "")]);
    check(r"^.+y$", &[(NameKind::Rest, "")]);
    check(r"\.$", &[(NameKind::Rest, "")]);
    check(r"a\.b", &[(NameKind::Rest, "")]);
}

#[test]
fn a_name_visits_its_keys_the_most_selective_first() {
    let long = format!("{}.z", "a".repeat(300));
    let mut names = Names::default();
    names.insert(&NameKey::REST, "rest");
    for (kind, text, value) in [
        (NameKind::Exact, "x.a.b", "exact"),
        (NameKind::OneLabel, "a.b", "one a.b"),
        (NameKind::OneLabel, "b", "one b"),
        (NameKind::AnyLabels, "a.b", "any a.b"),
        (NameKind::AnyLabels, "b", "any b"),
        (NameKind::Ends, "b", "ends b"),
        (NameKind::Exact, &long, "long"),
    ] {
        names.insert(&key(kind, text), value);
    }
    let visited = |name: &str| {
        let mut visited = Vec::new();
        names.visit(name, |value| visited.push(*value));
        visited
    };
    assert_eq!(visited("x.a.b"), ["exact", "one a.b", "any a.b", "any b", "ends b", "rest"]);
    assert_eq!(visited("y.x.a.b"), ["any a.b", "any b", "ends b", "rest"]);
    assert_eq!(visited("a.b"), ["one b", "any b", "ends b", "rest"]);
    assert_eq!(visited(".b"), ["ends b", "rest"]);
    assert_eq!(visited("b"), ["rest"]);
    assert_eq!(visited(""), ["rest"]);
    assert_eq!(visited(&long), ["long", "rest"]);
}

#[test]
fn removed_values_are_gone() {
    let mut names = Names::default();
    for key in [NameKey::REST, key(NameKind::Exact, "a")] {
        names.insert(&key, 1);
        assert_eq!(names.get(&key), Some(&1));
        names.get_mut(&key).into_iter().for_each(|value| *value = 2);
        assert_eq!(names.values_mut().map(|value| *value).collect::<Vec<_>>(), [2]);
        names.remove(&key);
        assert_eq!(names.get(&key), None);
    }
}
