use weft_model::text::Pattern;

use super::*;

/// Checks the translation, and which texts it matches.
fn check(text: &str, translated: &str, matching: &[&str], others: &[&str]) {
    assert_eq!(from_go(text), translated, "{text}");
    let pattern = Pattern::new(translated).unwrap();
    for one in matching {
        assert!(pattern.is_match(one), "{text} must match {one}");
    }
    for one in others {
        assert!(!pattern.is_match(one), "{text} must not match {one}");
    }
}

#[test]
fn what_is_the_same_stays() {
    for text in ["^/v[0-9]+/$", "(?i)a|b", r"\.\pL\x41", "[[:alpha:]]", "[^a-z]", "(?P<n>a)", "é+"]
    {
        assert_eq!(from_go(text), text);
    }
}

#[test]
fn named_classes_are_ascii() {
    check(r"^\d$", "^[0-9]$", &["1"], &["\u{0661}"]);
    check(r"^\w$", "^[0-9A-Za-z_]$", &["a"], &["é"]);
    check(r"^[\w-]$", r"^[0-9A-Za-z_\-]$", &["-", "_"], &["é", "."]);
    check(r"^[^\s/]$", r"^[^\t\n\f\r /]$", &["\u{b}"], &[" ", "/"]);
    check(r"^[\D]$", "^[[^0-9]]$", &["a"], &["1"]);
    check(r"a\b", r"a(?-u:\b)", &["aé"], &["ab"]);
}

#[test]
fn quotations_are_literal() {
    check(r"^\Qa.b\E.$", r"^a\.b.$", &["a.bc"], &["axbc"]);
    check(r"\Q[", r"\[", &["["], &["a"]);
    check(r"\<a\>", "<a>", &["<a>"], &["a"]);
}

#[test]
fn signs_in_a_class_are_plain() {
    check(r"^[[a]$", r"^[\[a]$", &["[", "a"], &["b"]);
    check(r"^[]a]$", r"^[\]a]$", &["]", "a"], &["b"]);
    check(r"^[^]a]$", r"^[^\]a]$", &["b"], &["]", "a"]);
    check(r"^[a&&b]$", r"^[a\&\&b]$", &["&"], &["c"]);
    check(r"^[a~~b]$", r"^[a\~\~b]$", &["~"], &["c"]);
    check(r"^[-a]$", r"^[\-a]$", &["-"], &["b"]);
    check(r"^[a-]$", r"^[a\-]$", &["-"], &["b"]);
    check(r"^[a-c]$", r"^[a-c]$", &["b"], &["-"]);
}

#[test]
fn what_is_cut_short_stays_wrong() {
    for text in ["[a", r"a\", "[[:alpha:]", "[", r"[\"] {
        assert!(Pattern::new(&from_go(text)).is_err(), "{text}");
    }
}
