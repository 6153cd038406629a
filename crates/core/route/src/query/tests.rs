use proptest::prelude::*;
use weft_message::RequestHead;
use weft_model::text::Pattern;

use super::*;

fn check(query: &str, name: &str, wanted: &TextMatch, expected: bool) {
    assert_eq!(query_holds(Some(query), name, wanted), expected, "{query} {name} {wanted:?}");
}

#[test]
fn values_are_decoded() {
    let exact = |text: &str| TextMatch::Exact(text.into());
    check("a=1&b=2", "b", &exact("2"), true);
    check("a=1&a=2", "a", &exact("2"), true);
    check("a=1", "a", &exact("2"), false);
    check("a", "a", &exact(""), true);
    check("", "", &exact(""), false);
    check("&&", "", &exact(""), false);
    check("=", "", &exact(""), true);
    check("a=b=c", "a", &exact("b=c"), true);
    check("%61=%31+%2B", "a", &exact("1 +"), true);
    check("a=%", "a", &exact("%"), true);
    check("a=%4", "a", &exact("%4"), true);
    check("a=%4g", "a", &exact("%4g"), true);
    check("a=%ff", "a", &exact("\u{fffd}"), true);
    check("a=%ff", "a", &TextMatch::Regex(Pattern::new("^.$").unwrap()), true);
    check("a=%2F", "a", &TextMatch::Regex(Pattern::new("^/$").unwrap()), true);
    check("a=%2F", "a", &TextMatch::Present, true);
    assert!(!query_holds(None, "a", &TextMatch::Present));
}

proptest! {
    /// The decoder of the head is the one view of a query; this one only saves its allocations.
    #[test]
    fn the_head_agrees(query in "[ab=&%+0-9A-F]{0,24}", name in "[ab+ ]{0,2}", text in "\\PC{0,3}") {
        let mut head = RequestHead::new();
        head.set_query(Some(&query)).unwrap();
        let values: Vec<_> = head.query_values(&name).collect();
        let pattern = Pattern::new("^[^a]*$").unwrap();
        let texts = values.iter().map(|value| value.to_string()).chain([text]);
        for text in texts {
            let wanted = TextMatch::Exact(text.into());
            let expected = values.iter().any(|value| wanted.is_match(value));
            prop_assert_eq!(query_holds(Some(&query), &name, &wanted), expected);
        }
        for wanted in [TextMatch::Present, TextMatch::Regex(pattern)] {
            let expected = values.iter().any(|value| wanted.is_match(value));
            prop_assert_eq!(query_holds(Some(&query), &name, &wanted), expected);
        }
    }
}
