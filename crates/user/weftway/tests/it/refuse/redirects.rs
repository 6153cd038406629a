//! Redirects that could lead to somebody else's host.

use weft_testkit::{Gateway, RawOrigin};

use super::{Ask, WIRES};
use crate::common::through;

/// A gateway that redirects by this middleware.
fn redirecting(spec: &str) -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = through(&origin, &[("it", spec)]).start();
    (origin, gateway)
}

const SCHEME: &str = "  redirectScheme:\n    scheme: https";

const SLASH: &str =
    "  redirectRegex:\n    regex: ^(https?://[^/]+)?(/.*[^/])$\n    replacement: ${2}/";

/// Row: open redirect: `//evil`, `/\evil`, `https:evil` through RedirectRegex or trailing-slash
/// redirects; Host header into Location.
#[test]
fn redirects_stay_on_their_host() {
    for (spec, cases) in [
        (SCHEME, &[("//evil.test/x", "https://a.test/evil.test/x")][..]),
        (
            SLASH,
            &[
                ("//evil.test/x", "/evil.test/x/"),
                ("/x", "/x/"),
                ("/%0d%0aSet-Cookie:x=y", "/%0D%0ASet-Cookie:x=y/"),
            ],
        ),
    ] {
        let (origin, gateway) = redirecting(spec);
        for wire in WIRES {
            for (target, location) in cases {
                let response = wire.response(&gateway, &Ask::get(target));
                assert_eq!(response.header("location"), Some(*location), "{wire:?} {target}");
                assert_eq!(response.header("set-cookie"), None, "{wire:?} {target}");
            }
            for target in ["/\\evil.test", "/%5cevil.test", "https:evil.test"] {
                wire.check_refused(&gateway, &Ask::get(target), 400);
            }
            for host in ["evil.test/", "evil.test\\", "a.test@evil.test"] {
                wire.check_refused(&gateway, &Ask::get("/x").host(host), 400);
            }
        }
        assert!(origin.requests().is_empty());
    }
}
