use super::*;

/// Checks the arms of a rule: where each is filed and how many conditions are left.
fn check(rule: &str, expected: &[(&str, &str, usize)]) {
    let matcher = crate::rule::parse_http(rule).unwrap();
    let found: Vec<_> = arms(&matcher)
        .iter()
        .map(|arm| {
            let (host, path) = (arm.host_key(), arm.path_key());
            let host = format!("{:?} {}", host.kind, host.text);
            (host, format!("{:?} {}", path.kind, path.literal), arm.rest.len())
        })
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(host, path, rest)| ((*host).to_owned(), (*path).to_owned(), *rest))
        .collect();
    assert_eq!(found, expected, "{rule}");
}

#[test]
fn conditions_on_host_and_path_become_keys() {
    check("Host(`a`)", &[("Exact a", "Prefix ", 0)]);
    check("Host(`*`) && Path(`/x`)", &[("Rest ", "Exact /x", 0)]);
    check("Host(`a`) && Path(`/x`) && Method(`GET`)", &[("Exact a", "Exact /x", 1)]);
    check("!!Host(`a`)", &[("Exact a", "Prefix ", 0)]);
    check("!Host(`a`)", &[("Rest ", "Prefix ", 1)]);
    check("Method(`GET`) || Query(`q`)", &[("Rest ", "Prefix ", 1)]);
    check("HostRegexp(`^.*\\.a$`) && PathRegexp(`^/x.`)", &[("Ends a", "Prefix /x", 2)]);
}

#[test]
fn alternatives_become_arms() {
    check(
        "(Host(`a`) || Host(`*.b`)) && (Path(`/x`) || PathPrefix(`/y`)) && Query(`q`)",
        &[
            ("Exact a", "Exact /x", 1),
            ("Exact a", "Prefix /y", 1),
            ("OneLabel b", "Exact /x", 1),
            ("OneLabel b", "Prefix /y", 1),
        ],
    );
    check("Host(`a`) || Query(`q`)", &[("Exact a", "Prefix ", 0), ("Rest ", "Prefix ", 1)]);
    check("PathRegexp(`^/(a|b)$`)", &[("Rest ", "Exact /a", 1), ("Rest ", "Exact /b", 1)]);
}

#[test]
fn of_two_keys_the_more_selective_is_kept() {
    check("PathPrefix(`/`) && PathPrefix(`/x`)", &[("Rest ", "Prefix /x", 1)]);
    check("Path(`/x`) && PathPrefix(`/x/y`)", &[("Rest ", "Exact /x", 1)]);
    check("Host(`*.b`) && Host(`a.b`)", &[("Exact a.b", "Prefix ", 1)]);
    check("Host(`a`) && Host(`a`)", &[("Exact a", "Prefix ", 0)]);
}
