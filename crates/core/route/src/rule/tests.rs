use proptest::prelude::*;
use weft_message::{FieldName, Method};
use weft_model::route::PathMatch;
use weft_model::text::{Pattern, TextMatch};

use super::*;

fn host(name: &str) -> Matcher {
    Matcher::Host(HostMatch::Exact(name.into()))
}

fn host_pattern(pattern: &str) -> Matcher {
    Matcher::Host(HostMatch::Regex(Pattern::new(pattern).unwrap()))
}

fn path(path: &str) -> Matcher {
    Matcher::Path(PathMatch::Exact(path.into()))
}

fn prefix(path: &str) -> Matcher {
    Matcher::Path(PathMatch::Prefix(path.into()))
}

fn path_pattern(pattern: &str) -> Matcher {
    Matcher::Path(PathMatch::Regex(Pattern::new(pattern).unwrap()))
}

fn header(name: &str, text: TextMatch) -> Matcher {
    Matcher::Header(FieldName::new(name).unwrap(), text)
}

fn exact(text: &str) -> TextMatch {
    TextMatch::Exact(text.into())
}

fn pattern(text: &str) -> TextMatch {
    TextMatch::Regex(Pattern::new(text).unwrap())
}

fn query(name: &str, text: TextMatch) -> Matcher {
    Matcher::Query(name.into(), text)
}

fn client(net: &str) -> Matcher {
    Matcher::ClientIp(net.parse().unwrap())
}

fn not(matcher: Matcher) -> Matcher {
    Matcher::Not(Box::new(matcher))
}

fn sni(name: &str) -> TcpMatcher {
    TcpMatcher::Sni(HostMatch::Exact(name.into()))
}

fn check(rule: &str, expected: Matcher) {
    assert_eq!(parse_http(rule), Ok(expected), "{rule}");
}

fn check_v2(rule: &str, expected: Matcher) {
    assert_eq!(parse_http_v2(rule), Ok(expected), "{rule}");
}

/// Checks the fault of a rule, and the text that it points at.
#[track_caller]
fn faulty<M: std::fmt::Debug>(
    parse: impl Fn(&str) -> Result<M, InvalidRule>,
    rule: &str,
    place: &str,
    message: &str,
) {
    let fault = parse(rule).unwrap_err();
    assert_eq!(&rule[fault.offset()..fault.offset() + fault.length()], place, "{rule}");
    let full = match fault.remedy() {
        Some(remedy) => format!("{}; {remedy}", fault.problem()),
        None => fault.problem().to_owned(),
    };
    assert_eq!(full, message, "{rule}");
    assert!(fault.to_string().starts_with(fault.problem()));
}

#[track_caller]
fn check_fault(rule: &str, place: &str, message: &str) {
    faulty(parse_http, rule, place, message);
}

#[test]
fn every_http_matcher_is_read() {
    check("Host(`Shop.Example`)", host("shop.example"));
    check("Host(`shop.example.`)", host("shop.example"));
    check("Host(`2001:DB8::1`)", host("[2001:db8::1]"));
    check("Host(`[2001:db8:0::1]`)", host("[2001:db8::1]"));
    check("Host(`127.0.0.1`)", host("127.0.0.1"));
    check("Host(`my_service`)", host("my_service"));
    check("Host(`*.shop.example`)", Matcher::Host(HostMatch::OneLabel("shop.example".into())));
    check("Host(`*`)", Matcher::Host(HostMatch::Any));
    check("HostRegexp(`^[a-z]+\\.shop$`)", host_pattern("^[a-z]+\\.shop$"));
    check("Path(`/`)", path("/"));
    check("Path(`/a b/%7e%c3%a9é/%2f`)", path("/a%20b/~%C3%A9%C3%A9/%2F"));
    check("Path(`/a%`)", path("/a%25"));
    check("PathPrefix(`/api/`)", prefix("/api/"));
    check("PathPrefix(`/.`)", prefix("/."));
    check("PathPrefix(`/items[0]`)", prefix("/items[0]"));
    check("PathRegexp(`^/v[0-9]+/`)", path_pattern("^/v[0-9]+/"));
    check("Header(`X-Team`, `a b`)", header("x-team", exact("a b")));
    check("HeaderRegexp(`x-team`, `^a`)", header("x-team", pattern("^a")));
    check("Query(`q`)", query("q", exact("")));
    check("Query(`q`, `1`)", query("q", exact("1")));
    check("QueryRegexp(`q`)", query("q", exact("")));
    check("QueryRegexp(`q`, `[0-9]`)", query("q", pattern("[0-9]")));
    check("Method(`get`)", Matcher::Method(Method::Get));
    check("Method(`PURGE`)", Matcher::Method(Method::parse(b"PURGE").unwrap()));
    check("ClientIP(`10.1.2.3`)", client("10.1.2.3/32"));
    check("ClientIP(`10.1.2.3/8`)", client("10.0.0.0/8"));
    check("ClientIP(`2001:db8::/32`)", client("2001:db8::/32"));
    check("ClientIP(`::ffff:10.1.2.3/104`)", client("10.0.0.0/8"));
}

#[test]
fn names_are_taken_in_four_spellings() {
    for name in ["HostRegexp", "hostregexp", "HOSTREGEXP", "Hostregexp"] {
        check(&format!("{name}(`a`)"), host_pattern("a"));
    }
    for name in ["ClientIP", "clientip", "CLIENTIP", "Clientip"] {
        check(&format!("{name}(\"::1\")"), client("::1/128"));
    }
    check_fault(
        "hostRegexp(`a`)",
        "hostRegexp",
        "unknown matcher `hostRegexp`; did you mean `HostRegexp`?",
    );
    check_fault("hosT(`a`)", "hosT", "unknown matcher `hosT`; did you mean `Host`?");
}

#[test]
fn rules_combine() {
    check(
        "Host(`a`) && (PathPrefix(`/x`) || !Method(`GET`)) || Query(`q`,`1`)",
        Matcher::Any(vec![
            Matcher::All(vec![
                host("a"),
                Matcher::Any(vec![prefix("/x"), not(Matcher::Method(Method::Get))]),
            ]),
            query("q", exact("1")),
        ]),
    );
    check("!(Host(`a`) && Path(`/`))", not(Matcher::All(vec![host("a"), path("/")])));
}

#[test]
fn calls_that_are_wrong_say_how() {
    check_fault("", "", "expected a matcher, found the end");
    check_fault("Hots(`a`)", "Hots", "unknown matcher `Hots`; did you mean `Host`?");
    check_fault(
        "PathPrefx(`/a`)",
        "PathPrefx",
        "unknown matcher `PathPrefx`; did you mean `PathPrefix`?",
    );
    check_fault(
        "Frobnicate(`a`)",
        "Frobnicate",
        "unknown matcher `Frobnicate`; the matchers are Host, HostRegexp, Path, PathPrefix, \
         PathRegexp, Header, HeaderRegexp, Query, QueryRegexp, Method, ClientIP",
    );
    check_fault(
        "Path(`/`) && Headers(`a`, `b`)",
        "Headers",
        "unknown matcher `Headers`; v3 calls it `Header`; set `syntax: v2` to keep the old language",
    );
    check_fault(
        "HostSNI(`a`)",
        "HostSNI",
        "unknown matcher `HostSNI`; that is for TCP routes; HTTP routes use `Host`",
    );
    check_fault("Host()", "Host()", "`Host` takes one value, found 0");
    check_fault(
        "Host(`a`, `b`)",
        "Host(`a`, `b`)",
        "`Host` takes one value, found 2; write Host(…) || Host(…)",
    );
    check_fault("Header(`a`)", "Header(`a`)", "`Header` takes 2 values, found 1");
    check_fault(
        "Query(`a`, `b`, `c`)",
        "Query(`a`, `b`, `c`)",
        "`Query` takes 1 to 2 values, found 3",
    );
    check_fault("Host(``)", "``", "a value of `Host` is empty");
    check_fault(
        "Query(`a`, \"\")",
        "\"\"",
        "a value of `Query` is empty; to match an empty value, leave it out",
    );
    check_fault("Host(1)", "1", "values are strings, not numbers; write `1`, backticks included");
    check_fault(
        "Host('a.b')",
        "'a.b'",
        "single quotes do not make a string; write `a.b`, backticks included",
    );
    check_fault(
        "Host(a.b) && Path(`/`)",
        "a.b",
        "the value `a.b` is not quoted; write `a.b`, backticks included",
    );
}

#[test]
fn hosts_that_no_request_has_are_refused() {
    let fault = |value: &str, message: &str| {
        check_fault(&format!("Host(`{value}`)"), &format!("`{value}`"), message);
    };
    fault(
        "bücher.example",
        "the host has characters beyond ASCII; \
         write its labels in punycode (`xn--…`), as clients send them",
    );
    fault(
        "a:80",
        "the port is no part of the host; leave it out; the entry point decides the port",
    );
    fault("http://a", "a URL is no host; leave out the scheme and the path");
    fault("a/b", "a host has no path; use `Path` or `PathPrefix` for it");
    fault(
        "a.*.b",
        "a star stands for the first label only; write `*.example.com`, or use a pattern",
    );
    fault(
        "*a.b",
        "a star stands for the first label only; write `*.example.com`, or use a pattern",
    );
    fault("*.*", "a star stands for the first label only; write `*.example.com`, or use a pattern");
    fault("{sub:[a-z]+}.b", "the host is a pattern; use `HostRegexp`, or `HostSNIRegexp` for TCP");
    fault("a b", "the host contains white space or a control character");
    fault("a..b", "the host has an empty label");
    fault(".a", "the host has an empty label");
    fault("*.", "a star stands for the first label only; write `*.example.com`, or use a pattern");
    fault(".", "the host has an empty label");
}

#[test]
fn paths_that_no_request_has_are_refused() {
    let fault = |call: &str, value: &str, message: &str| {
        check_fault(&format!("{call}(`{value}`)"), &format!("`{value}`"), message);
    };
    let start = "the path does not start with a slash; write `/a`, backticks included";
    fault("Path", "a", start);
    fault("PathPrefix", "a", start);
    let never = "no request has that path; \
                 requests are compared after `//`, `.` and `..` have been resolved";
    fault("Path", "//a", never);
    fault("Path", "/a//", never);
    fault("Path", "/a/./b", never);
    fault("Path", "/a/%2e%2E", never);
    fault("Path", "/.", never);
    fault("PathPrefix", "/a/../b", never);
    fault(
        "Path",
        "/a?b=c",
        "the query is no part of the path; use the matcher `Query`, or write `%3F` for a question mark",
    );
    fault("Path", "/a#b", "requests carry no fragment; write `%23` for a hash sign");
    fault("Path", "/a\tb", "a control character cannot occur in a path");
}

#[test]
fn other_values_are_checked() {
    check_fault(
        "Header(`a b`, `c`)",
        "`a b`",
        "not the name of a header; use letters, digits and `-`, and no spaces",
    );
    check_fault(
        "Header(`host`, `c`)",
        "`host`",
        "the host is not among the headers; use `Host` or `HostRegexp`",
    );
    check_fault("Method(`G T`)", "`G T`", "not the name of a method");
    check_fault(
        "ClientIP(`10.0.0.0/33`)",
        "`10.0.0.0/33`",
        "neither an address nor a range in CIDR notation; \
         write for instance `10.1.2.3`, `10.0.0.0/8` or `2001:db8::/32`",
    );
    check_fault(
        "Path(`/`) && PathRegexp(`/a(b`)",
        "(",
        "the regular expression does not compile: unclosed group",
    );
    check_fault(
        "PathRegexp(\"/a(b\\\\d\")",
        "\"/a(b\\\\d\"",
        "the regular expression does not compile: unclosed group",
    );
    check_fault(
        "PathRegexp(`^/(?!admin)`)",
        "(?!",
        "the regular expression does not compile: look-around, including look-ahead and \
         look-behind, is not supported; \
         the language is RE2, as in Go: it has neither, and stays linear",
    );
    check_fault(
        "PathRegexp(`((a{1000}){1000}){1000}`)",
        "`((a{1000}){1000}){1000}`",
        "the regular expression is too large when compiled",
    );
}

#[test]
fn tcp_rules() {
    let check = |rule: &str, expected| assert_eq!(parse_tcp(rule), Ok(expected), "{rule}");
    check("HostSNI(`*`)", TcpMatcher::Sni(HostMatch::Any));
    check("HOSTSNI(`Db.Example`)", sni("db.example"));
    check("HostSNI(`*.example`)", TcpMatcher::Sni(HostMatch::OneLabel("example".into())));
    check(
        "HostSNIRegexp(`^db-`)",
        TcpMatcher::Sni(HostMatch::Regex(Pattern::new("^db-").unwrap())),
    );
    check(
        "HostSNI(`a`) && !ClientIP(`10.0.0.0/8`) || ALPN(`h2`)",
        TcpMatcher::Any(vec![
            TcpMatcher::All(vec![
                sni("a"),
                TcpMatcher::Not(Box::new(TcpMatcher::ClientIp("10.0.0.0/8".parse().unwrap()))),
            ]),
            TcpMatcher::Alpn("h2".into()),
        ]),
    );
    let fault = |rule: &str, place: &str, message: &str| faulty(parse_tcp, rule, place, message);
    fault(
        "ALPN(`acme-tls/1`)",
        "`acme-tls/1`",
        "`acme-tls/1` is reserved for certificate challenges; leave the condition out",
    );
    fault(
        "Host(`a`)",
        "Host",
        "unknown matcher `Host`; that is for HTTP routes; TCP routes use `HostSNI`",
    );
    fault(
        "HostSNI(`a`, `b`)",
        "HostSNI(`a`, `b`)",
        "`HostSNI` takes one value, found 2; write HostSNI(…) || HostSNI(…)",
    );
}

#[test]
fn the_older_form_of_patterns_is_told_by_its_name() {
    for rule in ["HostRegexp(`{sub:[a-z]+}.a.test`)", "HostRegexp(`^{name}\\.a$`)"] {
        let error = parse_http(rule).expect_err("it is not of this language");
        assert!(error.problem().contains("older rule language"), "{}", error.problem());
        assert!(error.remedy().is_some_and(|remedy| remedy.contains("syntax: v2")));
    }
    for rule in ["HostRegexp(`^[a-z]{2}\\.a$`)", "HostRegexp(`^\\p{Latin}{1,3}$`)"] {
        assert!(parse_http(rule).is_ok(), "{rule}");
    }
    let error = parse_http("Header(`X Tenant`, `a`)").expect_err("a name has no spaces");
    assert_eq!(error.remedy(), Some("use letters, digits and `-`, and no spaces"));
}

#[test]
fn v2_takes_lists_and_templates() {
    check_v2("Host(`a`)", host("a"));
    check_v2("Host(`a`, `B`)", Matcher::Any(vec![host("a"), host("b")]));
    check_v2("HostHeader(`a`)", host("a"));
    check_v2(
        "HostRegexp(`{sub:[a-z]+}.Shop.example`)",
        host_pattern("^(?:[a-z]+)\\.shop\\.example$"),
    );
    check_v2("HostRegexp(`{sub}.a`)", host_pattern("^(?:[^.]+)\\.a$"));
    check_v2("HostRegexp(`a.b`)", host("a.b"));
    check_v2("Path(`/a`, `/b`)", Matcher::Any(vec![path("/a"), path("/b")]));
    check_v2("Path(`/a/{id}/b c`)", path_pattern("^/a/(?:[^/]+)/b%20c$"));
    check_v2("Path(`/a/{id:[0-9]{2}}`)", path_pattern("^/a/(?:[0-9]{2})$"));
    check_v2("PathPrefix(`/a`)", prefix("/a"));
    check_v2("PathPrefix(`/a/{id:\\d+}`)", path_pattern("^/a/(?:[0-9]+)"));
    check_v2("Headers(`A`, `b`)", header("a", exact("b")));
    check_v2("HeadersRegexp(`A`, `b.`)", header("a", pattern("b.")));
    check_v2(
        "Method(`GET`, `POST`)",
        Matcher::Any(vec![Matcher::Method(Method::Get), Matcher::Method(Method::Post)]),
    );
    check_v2("Query(`a=b`)", query("a", exact("b")));
    check_v2("Query(`a=`)", query("a", TextMatch::Present));
    check_v2("Query(`a=x=y`)", query("a", exact("x=y")));
    check_v2("Query(`a={n:[0-9]+}`)", query("a", pattern("^(?:[0-9]+)$")));
    check_v2(
        "Query(`a=b`, `c=d`)",
        Matcher::All(vec![query("a", exact("b")), query("c", exact("d"))]),
    );
    check_v2(
        "ClientIP(`10.0.0.1`, `::1`)",
        Matcher::Any(vec![client("10.0.0.1/32"), client("::1/128")]),
    );
    let expected = TcpMatcher::Any(vec![sni("a"), sni("b")]);
    assert_eq!(parse_tcp_v2("HostSNI(`a`, `b`)"), Ok(expected));
}

#[test]
fn v2_faults() {
    let fault =
        |rule: &str, place: &str, message: &str| faulty(parse_http_v2, rule, place, message);
    let balance = "the braces do not balance; a template is written `{name}` or `{name:pattern}`";
    fault("Path(`/{a`)", "`/{a`", balance);
    fault("Path(`/a}`)", "`/a}`", balance);
    fault("Path(`/{a:}`)", "`/{a:}`", "the pattern in the braces is empty");
    fault("Path(`{a}`)", "`{a}`", "the path does not start with a slash");
    fault("Path(`/{a:(}`)", "`/{a:(}`", "the regular expression does not compile; unclosed group");
    fault("Query(`a`)", "`a`", "the query parameter has no `=`; v2 writes `a=value`");
    fault("Headers(`a`)", "Headers(`a`)", "`Headers` takes 2 values, found 1");
    fault("Host()", "Host()", "`Host` takes one value or more, found 0");
    fault(
        "Header(`a`, `b`)",
        "Header",
        "unknown matcher `Header`; v2 calls it `Headers`; \
         leave out `syntax: v2` for the current language",
    );
}

#[test]
fn priority_is_the_length_in_bytes() {
    assert_eq!(default_priority("Host(`a`)"), 9);
    assert_eq!(default_priority("é"), 2);
}

#[test]
fn hosts_are_those_named_and_not_excluded() {
    let rule = "Host(`b`) && (Host(`a`) || Host(`*.c`) || Host(`b`)) && !Host(`d`) && !(!Host(`e`) && !Path(`/`))";
    let matcher = parse_http(rule).unwrap();
    assert_eq!(hosts(&matcher), ["b", "a", "e"]);
    assert_eq!(host_matches(&matcher).len(), 5);
    let matcher = parse_tcp("HostSNI(`b`) || !HostSNI(`a`) || HostSNI(`*`)").unwrap();
    assert_eq!(sni_names(&matcher), ["b"]);
    assert_eq!(sni_matches(&matcher).len(), 2);
}

/// Texts near the languages: their words and signs in any order.
fn near_rule() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "Host", "path", "QUERY", "Headers", "HostSNI", "Method", "(", ")", ",", "&&", "||", "!",
        "`", "\"", "'", "/", "a", "*", ".", "{", "}", ":", "[", "\\", "%", " ", "=", "1", "é",
    ]);
    prop::collection::vec(words, 0..30).prop_map(|words| words.concat())
}

/// A condition, and rules that say it in v3.
fn rule_and_matcher() -> impl Strategy<Value = (String, Matcher)> {
    let leaf = prop_oneof![
        Just(("Host(`a.b`)".to_owned(), host("a.b"))),
        Just(("PathPrefix(\"/x\")".to_owned(), prefix("/x"))),
        Just(("Query(`q`)".to_owned(), query("q", exact("")))),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        let join = |name: &'static str, all: Vec<(String, Matcher)>| {
            let (texts, matchers): (Vec<_>, Vec<_>) = all.into_iter().unzip();
            (format!("({})", texts.join(name)), matchers)
        };
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(move |all| {
                let (text, matchers) = join(" && ", all);
                (text, Matcher::All(matchers))
            }),
            prop::collection::vec(inner.clone(), 2..4).prop_map(move |all| {
                let (text, matchers) = join("||", all);
                (text, Matcher::Any(matchers))
            }),
            inner.prop_map(|(text, matcher)| match matcher {
                // Two negations are none.
                Matcher::Not(inner) => (format!("!{text}"), *inner),
                matcher => (format!("!{text}"), not(matcher)),
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_rule_is_read_as_it_was_written((rule, matcher) in rule_and_matcher()) {
        prop_assert_eq!(parse_http(&rule), Ok(matcher));
    }

    #[test]
    fn no_text_panics(rule in near_rule()) {
        for fault in [
            parse_http(&rule).err(),
            parse_http_v2(&rule).err(),
            parse_tcp(&rule).err(),
            parse_tcp_v2(&rule).err(),
        ].into_iter().flatten() {
            prop_assert!(rule.get(fault.offset()..fault.offset() + fault.length()).is_some());
        }
    }

    #[test]
    fn no_value_panics(value in "[^`]{1,12}") {
        for matcher in ["Host", "HostRegexp", "Path", "PathRegexp", "Method", "ClientIP", "Query"] {
            let rule = format!("{matcher}(`{value}`)");
            let _ = parse_http(&rule);
            let _ = parse_http_v2(&rule);
        }
    }
}
