//! Traefik rules: no panic, no hang; a fault lies within the rule; reading twice is the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weft_route::rule::{
    InvalidRule, default_priority, host_matches, hosts, parse_http, parse_http_v2, parse_tcp,
    parse_tcp_v2, sni_matches, sni_names,
};

fuzz_target!(|data: &[u8]| {
    let Ok(rule) = std::str::from_utf8(data) else { return };
    assert_eq!(default_priority(rule), rule.len() as i64);
    for parse in [parse_http, parse_http_v2] {
        match parse(rule) {
            Ok(matcher) => {
                assert!(hosts(&matcher).len() <= host_matches(&matcher).len());
                assert_eq!(parse(rule).as_ref(), Ok(&matcher));
            }
            Err(error) => check_fault(rule, &error),
        }
    }
    for parse in [parse_tcp, parse_tcp_v2] {
        match parse(rule) {
            Ok(matcher) => {
                assert!(sni_names(&matcher).len() <= sni_matches(&matcher).len());
                assert_eq!(parse(rule).as_ref(), Ok(&matcher));
            }
            Err(error) => check_fault(rule, &error),
        }
    }
});

fn check_fault(rule: &str, error: &InvalidRule) {
    let (start, end) = (error.offset(), error.offset() + error.length());
    assert!(rule.get(start..end).is_some(), "{start}..{end} of {rule:?}: {error}");
    assert!(!error.problem().is_empty());
}
