use proptest::prelude::*;

use super::super::{parse_http, readable_part};
use super::*;

fn check(rule: &str, parts: Option<&[&str]>) {
    let trimmed = conjuncts(rule)
        .map(|parts| parts.into_iter().map(|part| part.trim().to_owned()).collect::<Vec<_>>());
    let expected = parts.map(|parts| parts.iter().map(|part| (*part).to_owned()).collect());
    assert_eq!(trimmed, expected, "{rule}");
}

#[test]
fn parts_are_those_of_the_outermost_and() {
    check("Host(`a`)", Some(&["Host(`a`)"]));
    check("Host(`a`) && Path(`/b`)", Some(&["Host(`a`)", "Path(`/b`)"]));
    check(
        "Host(`a`) && (Path(`/b`) || Path(`/c`))",
        Some(&["Host(`a`)", "(Path(`/b`) || Path(`/c`))"]),
    );
    check("Host(`a`) || Path(`/b`)", None);
    // What stands in strings is no operator.
    check("Host(`a&&b||`) && X(\"\\\"||\")", Some(&["Host(`a&&b||`)", "X(\"\\\"||\")"]));
    // Where something does not close, the rest is one part.
    check("Host(`a`) && (Path(`/b`) && X", Some(&["Host(`a`)", "(Path(`/b`) && X"]));
    check("Host(`a`) && Path(`/b && X(`c`)", Some(&["Host(`a`)", "Path(`/b && X(`c`)"]));
    // What closes too much is a fault of its own part.
    check("Host(`a`)) && Path(`/b`)", Some(&["Host(`a`))", "Path(`/b`)"]));
}

#[test]
fn what_can_be_read_of_a_rule_is_a_condition() {
    let part = |rule: &str| readable_part(rule, parse_http);
    assert_eq!(part("Host(`a.test`) && Headr(`x`, `y`)"), parse_http("Host(`a.test`)").ok());
    assert_eq!(
        part("Host(`a.test`) && Headr(`x`) && PathPrefix(`/b`)"),
        parse_http("Host(`a.test`) && PathPrefix(`/b`)").ok()
    );
    assert_eq!(part("Hst(`a.test`)"), None);
    assert_eq!(part("Host(`a.test`) && X || Host(`b.test`)"), None);
}

proptest! {
    #[test]
    fn no_text_panics(rule in "[`\"'()&|!a-c\\\\é ]{0,40}") {
        let parts = conjuncts(&rule);
        if let Some(parts) = parts {
            let operators = 2 * (parts.len() - 1);
            let length: usize = parts.iter().map(|part| part.len()).sum();
            prop_assert_eq!(length + operators, rule.len());
        }
    }
}
