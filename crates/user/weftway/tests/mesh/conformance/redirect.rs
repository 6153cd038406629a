//! Redirects. The upstream cases look at the status only; where to is looked at here as well.

use crate::echo::{Call, redirected};

use super::{check_route, of_echo};

/// A route that redirects: for each prefix of paths, how. Then paths, and their answers.
#[track_caller]
fn check_redirects(name: &str, rules: &[(&str, &str)], cases: &[(&str, u16, &str)]) {
    let rule = |(path, how): &(&str, &str)| {
        format!(
            "  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    filters: [{{type: \
             RequestRedirect, requestRedirect: {{{how}}}}}]\n"
        )
    };
    let rules: String = rules.iter().map(rule).collect();
    let cases = cases.iter().map(|(path, status, location)| {
        (Call::get(&format!("echo{path}")), redirected(*status, location))
    });
    check_route(of_echo(name, &rules), &cases.collect::<Vec<_>>());
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_303_redirect() {
    check_redirects(
        "mesh-303-redirect",
        &[("/redirect", "statusCode: 303")],
        &[("/redirect", 303, "http://echo/redirect")],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_307_redirect() {
    check_redirects(
        "mesh-307-redirect",
        &[("/temporary", "statusCode: 307")],
        &[("/temporary", 307, "http://echo/temporary")],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_308_redirect() {
    check_redirects(
        "mesh-308-redirect",
        &[("/permanent", "statusCode: 308")],
        &[("/permanent", 308, "http://echo/permanent")],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_redirect_host_and_status() {
    check_redirects(
        "mesh-redirect-host-and-status",
        &[
            ("/hostname-redirect", "hostname: example.org"),
            ("/host-and-status", "statusCode: 301, hostname: example.org"),
        ],
        &[
            ("/hostname-redirect", 302, "http://example.org/hostname-redirect"),
            ("/host-and-status", 301, "http://example.org/host-and-status"),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_redirect_path() {
    const PREFIX: &str =
        "path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}";
    const FULL: &str = "path: {type: ReplaceFullPath, replaceFullPath: /replacement-full}";
    let with = |how: &str, more: &str| format!("{how}, {more}");
    check_redirects(
        "mesh-redirect-path",
        &[
            ("/original-prefix", PREFIX),
            ("/full", "path: {type: ReplaceFullPath, replaceFullPath: /full-path-replacement}"),
            ("/path-and-host", &with(PREFIX, "hostname: example.org")),
            ("/path-and-status", &with(PREFIX, "statusCode: 301")),
            ("/full-path-and-host", &with(FULL, "hostname: example.org")),
            ("/full-path-and-status", &with(FULL, "statusCode: 301")),
        ],
        &[
            ("/original-prefix/lemon", 302, "http://echo/replacement-prefix/lemon"),
            ("/full/path/original", 302, "http://echo/full-path-replacement"),
            ("/path-and-host", 302, "http://example.org/replacement-prefix"),
            ("/path-and-status", 301, "http://echo/replacement-prefix"),
            ("/full-path-and-host", 302, "http://example.org/replacement-full"),
            ("/full-path-and-status", 301, "http://echo/replacement-full"),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_redirect_port() {
    check_redirects(
        "mesh-redirect-port",
        &[
            ("/port", "port: 8083"),
            ("/port-and-host", "hostname: example.org, port: 8083"),
            ("/port-and-status", "port: 8083, statusCode: 301"),
            ("/port-and-host-and-status", "port: 8083, hostname: example.org, statusCode: 302"),
        ],
        &[
            ("/port", 302, "http://echo:8083/port"),
            ("/port-and-host", 302, "http://example.org:8083/port-and-host"),
            ("/port-and-status", 301, "http://echo:8083/port-and-status"),
            ("/port-and-host-and-status", 302, "http://example.org:8083/port-and-host-and-status"),
        ],
    );
}

#[test]
#[ignore = "needs root, ip and nft: cargo xtask mesh"]
fn mesh_httproute_scheme_redirect() {
    check_redirects(
        "mesh-redirect-scheme",
        &[
            ("/scheme", "scheme: https"),
            ("/scheme-and-host", "hostname: example.org, scheme: https"),
            ("/scheme-and-status", "scheme: https, statusCode: 301"),
            (
                "/scheme-and-host-and-status",
                "scheme: https, statusCode: 302, hostname: example.org",
            ),
        ],
        &[
            ("/scheme", 302, "https://echo/scheme"),
            ("/scheme-and-host", 302, "https://example.org/scheme-and-host"),
            ("/scheme-and-status", 301, "https://echo/scheme-and-status"),
            ("/scheme-and-host-and-status", 302, "https://example.org/scheme-and-host-and-status"),
        ],
    );
}
