use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(pattern: &str, template: &str, source: &str, expected: Option<&str>) {
    let regex = Regex::new(pattern).expect("a valid pattern");
    let mut out = String::new();
    let any = replace_all(&regex, Template::parse(template), source, &mut out);
    assert_eq!(any.then_some(out.as_str()), expected, "{pattern} {template} {source}");
}

#[test]
fn replaces_as_go_does() {
    // Pattern, template, source, result.
    let cases: &[(&str, &str, &str, Option<&str>)] = &[
        ("a", "b", "xyz", None),
        ("a(x*)b", "T", "-ab-axxb-", Some("-T-T-")),
        ("a(x*)b", "$1", "-ab-axxb-", Some("--xx-")),
        ("a(x*)b", "$1W", "-ab-axxb-", Some("---")),
        ("a(x*)b", "${1}W", "-ab-axxb-", Some("-W-xxW-")),
        ("a(x*)b", "$0", "-ab-", Some("-ab-")),
        ("a(x*)b", "$2", "-ab-", Some("--")),
        ("a(x*)b", "$01", "-axb-", Some("--")),
        ("a", "$$", "a", Some("$")),
        ("a", "$$1", "a", Some("$1")),
        ("a", "$", "a", Some("$")),
        ("a", "1$", "a", Some("1$")),
        ("a", "$-", "a", Some("$-")),
        ("a", "${", "a", Some("${")),
        ("a", "${}", "a", Some("${}")),
        ("a", "${0", "a", Some("${0")),
        ("a", "${0 }", "a", Some("${0 }")),
        ("a", "${0}", "a", Some("a")),
        ("(?P<first>a)(?P<second>b)?", "${second}${first}", "ab", Some("ba")),
        ("(?P<first>a)(?P<second>b)?", "$second.$first", "a", Some(".a")),
        ("(?P<first>a)", "$first_", "a", Some("")),
        ("", "-", "ab", Some("-a-b-")),
        ("a*", "x", "baac", Some("xbxcx")),
        ("^/old/(.*)$", "/new/$1", "/old/a/b", Some("/new/a/b")),
        ("é(.)", "$1è", "éa", Some("")),
        ("é(.)", "${1}è", "éa", Some("aè")),
    ];
    for (pattern, template, source, expected) in cases {
        check(pattern, template, source, *expected);
    }
}

#[test]
fn names_groups_that_do_not_exist() {
    let regex = Regex::new("(?P<a>x)(y)").expect("a valid pattern");
    let unknown = Template::parse("$0 $1 $2 $3 $a ${b} $1x $$4").unknown_groups(&regex);
    assert_eq!(unknown, ["3", "b", "1x"]);
}

#[test]
fn large_numbers_are_names() {
    let template = Template::parse("$99999999999999999999999");
    assert_eq!(template.pieces().collect::<Vec<_>>(), [Piece::Name("99999999999999999999999")]);
}

proptest! {
    #[test]
    fn doubled_dollars_are_verbatim(text in "[a-z$/{}0-9]{0,20}") {
        let template = text.replace('$', "$$");
        let regex = Regex::new("^.*$").expect("a valid pattern");
        let mut out = String::new();
        replace_all(&regex, Template::parse(&template), "source", &mut out);
        prop_assert_eq!(out, text);
    }

    #[test]
    fn any_template_expands(template in any::<String>(), source in any::<String>()) {
        let regex = Regex::new("(.)(?P<n>.)?").expect("a valid pattern");
        let mut out = String::new();
        replace_all(&regex, Template::parse(&template), &source, &mut out);
    }
}
