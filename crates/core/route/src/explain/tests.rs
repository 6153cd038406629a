use proptest::prelude::*;
use weft_message::RequestHead;

use super::*;
use crate::HttpTable;
use crate::testing::{any_client, any_request, client, request, routes, rules};

/// Checks the explanation of a request among some rules, a line each.
fn check(table: &HttpTable, head: &RequestHead, expected: &[&str]) {
    let lines: Vec<String> = table
        .explain(head, client())
        .into_iter()
        .map(|candidate| match candidate.verdict {
            Verdict::Taken => format!("{} taken", candidate.index),
            Verdict::Outranked => format!("{} outranked", candidate.index),
            Verdict::Failed(Failure { aspect, wanted, found }) => {
                format!("{} {aspect:?} {wanted} but {found}", candidate.index)
            }
        })
        .collect();
    assert_eq!(lines, expected, "{head:?}");
}

#[test]
fn the_nearest_come_first() {
    let table = HttpTable::new(&rules(&[
        "Host(`a`)",
        "Host(`a`) && PathPrefix(`/x`)",
        "Host(`a`) && PathPrefix(`/x`) && !Header(`x-a`, `1`)",
        "Host(`a`) && Path(`/y`)",
        "Host(`b`) && PathPrefix(`/x`) && Method(`POST`)",
        "Host(`a`) && PathPrefix(`/x`) && (Method(`POST`) || Query(`q`, `1`) && Path(`/`))",
    ]));
    check(
        &table,
        &request("GET", "a", "/x", &[("x-a", "1")]),
        &[
            "1 taken",
            "0 outranked",
            "5 Method Method(`POST`) but GET",
            "2 Header !Header(`x-a`, `1`) but 1",
            "3 Path Path(`/y`) but /x",
        ],
    );
    check(
        &table,
        &request("GET", "c", "/x", &[]),
        &[
            "2 Host Host(`a`) but c",
            "1 Host Host(`a`) but c",
            "0 Host Host(`a`) but c",
            "5 Host Host(`a`) but c",
            "4 Host Host(`b`) but c",
            "3 Host Host(`a`) but c",
        ],
    );
}

#[test]
fn conditions_are_shown_as_rules() {
    for rule in [
        "Host(`a`)",
        "Host(`*.a`)",
        "HostRegexp(`^a`)",
        "Path(`/a`)",
        "PathPrefix(`/a`)",
        "PathRegexp(`^/a`)",
        "Method(`GET`)",
        "Header(`a`, `b`)",
        "HeaderRegexp(`a`, `b`)",
        "Query(`a`, `b`)",
        "QueryRegexp(`a`, `b`)",
        "ClientIP(`10.0.0.0/8`)",
        "!(Host(`a`) && (Path(`/a`) || !Path(`/b`)))",
    ] {
        let matcher = crate::rule::parse_http(rule).unwrap();
        let shown = Shown(&matcher).to_string();
        assert_eq!(crate::rule::parse_http(&shown), Ok(matcher), "{rule}");
        assert_eq!(shown.trim_matches(['(', ')']), rule.trim_matches(['(', ')']));
    }
    let shown = |matcher| Shown(&matcher).to_string();
    assert_eq!(shown(Matcher::Host(HostMatch::AnyLabels("a".into()))), "Hostname(`*.a`)");
    assert_eq!(shown(Matcher::Host(HostMatch::Any)), "Host(`*`)");
    assert_eq!(shown(Matcher::Path(PathMatch::Segments("/a".into()))), "PathElements(`/a`)");
    assert_eq!(shown(Matcher::Query("a".into(), TextMatch::Present)), "Query(`a`)");
    let authority = |text| shown(Matcher::Authority(text));
    assert_eq!(authority(TextMatch::Exact("a:80".into())), "Authority(`a:80`)");
    let pattern = weft_model::text::Pattern::new("^a").unwrap();
    assert_eq!(authority(TextMatch::Regex(pattern)), "AuthorityRegexp(`^a`)");
    assert_eq!(authority(TextMatch::Present), "Authority(`*`)");
    assert_eq!(shown(Matcher::Scheme(weft_message::Scheme::Https)), "Scheme(`https`)");
}

#[test]
fn authority_and_scheme_are_told_of() {
    let rank = |tie| weft_model::route::Rank { tie, ..Default::default() };
    let authority = Matcher::Authority(TextMatch::Exact("a:8080".into()));
    let scheme = Matcher::Scheme(weft_message::Scheme::Https);
    let table = HttpTable::new(&[
        crate::testing::route(rank(2), authority),
        crate::testing::route(rank(1), scheme),
    ]);
    let near = "1 Scheme Scheme(`https`) but http";
    check(&table, &request("GET", "a:8080", "/", &[]), &["0 taken", near]);
    let far = "0 Host Authority(`a:8080`) but a";
    check(&table, &request("GET", "a", "/", &[]), &[near]);
    let only = HttpTable::new(&table.routes()[..1]);
    check(&only, &request("GET", "a", "/", &[]), &[far]);
}

proptest! {
    #[test]
    fn the_winner_is_the_one_found(
        routes in routes(),
        head in any_request(),
        client_ip in any_client(),
    ) {
        let table = HttpTable::new(&routes);
        let explained = table.explain(&head, client_ip);
        let winner = explained.iter().find(|candidate| candidate.verdict == Verdict::Taken);
        let found = table.find(&head, client_ip);
        prop_assert_eq!(
            winner.map(|candidate| candidate.index),
            found.map(|matched| matched.index())
        );
        prop_assert!(explained.len() <= CANDIDATES_MAX);
        for candidate in explained {
            let takes = holds(&candidate.route.matcher, &Ask::new(&head, client_ip));
            prop_assert_eq!(takes, !matches!(candidate.verdict, Verdict::Failed(_)));
        }
    }
}
