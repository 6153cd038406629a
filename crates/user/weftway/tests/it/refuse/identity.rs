//! What the gateway, its middlewares and its authorizers set cannot be sent by a client, under no
//! name that an origin could read as the same.

use weft_testkit::{Echo, Next, RawOrigin};

use super::forwarded::{check_clean, spoofed};
use super::{Ask, WIRES, Wire};
use crate::common::{TEST_USER, USERS, through};

/// Every name under which an origin may read `name`, but for case in HTTP/2.
pub(super) fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![name.to_owned(), name.to_uppercase(), name.to_lowercase()];
    all.extend(["_", ".", "~", "!", "'", "|"].map(|other| name.replace('-', other)));
    all.push(name.replacen('-', "_", 1));
    all
}

/// What an origin reads under a name, if it folds all that is no letter or digit.
pub(super) fn as_read<'a>(echo: &'a Echo, name: &str) -> Vec<&'a str> {
    let fold = |name: &str| -> String {
        name.chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
            .collect()
    };
    let wanted = fold(name);
    let is_read = |(have, _): &&(String, String)| fold(have) == wanted;
    echo.headers.iter().filter(is_read).map(|(_, value)| value.as_str()).collect()
}

// === impl Ask ===

impl Ask {
    /// Says `value` under every spelling of a name.
    fn spelled(self, name: &str, value: &str) -> Self {
        spellings(name).iter().fold(self, |ask, name| ask.field(name, value))
    }
}

/// Row: every identity header the gateway itself sets, and its aliases.
#[test]
fn an_identity_that_a_client_claims_is_removed_whatever_it_sends() {
    let origin = RawOrigin::start("echo");
    let spec = "  basicAuth:\n    secret: users\n    headerField: X-Auth-User";
    let gateway = through(&origin, &[("it", spec)]).document("users.yaml", USERS).start();
    for wire in WIRES {
        for alias in spellings("X-Auth-User") {
            let ask = Ask::get("/").field(&alias, "root").fields([TEST_USER]);
            let echo = wire.echo(&gateway, &ask);
            assert_eq!(as_read(&echo, "x-auth-user"), ["test"], "{wire:?} {alias}");
        }
        let echo =
            wire.echo(&gateway, &Ask::get("/").spelled("X-Auth-User", "root").fields([TEST_USER]));
        assert_eq!(as_read(&echo, "x-auth-user"), ["test"], "{wire:?}");
    }
    let ask = Ask::get("/")
        .field("Connection", "X-Auth-User, X_Auth_User")
        .field("X-Auth-User", "root")
        .fields([TEST_USER]);
    assert_eq!(as_read(&Wire::Http1.echo(&gateway, &ask), "x-auth-user"), ["test"]);
}

#[test]
fn what_a_route_sets_or_removes_cannot_be_sent_by_another_name() {
    let origin = RawOrigin::start("echo");
    let spec = "  headers:\n    customRequestHeaders:\n      X-Tenant-Id: acme\n      X-Internal-Debug: ''\n";
    let gateway = through(&origin, &[("it", spec)]).start();
    for wire in WIRES {
        let ask = Ask::get("/").spelled("X-Tenant-Id", "evil").spelled("X-Internal-Debug", "on");
        let echo = wire.echo(&gateway, &ask);
        assert_eq!(as_read(&echo, "X-Tenant-Id"), ["acme"], "{wire:?}");
        assert_eq!(as_read(&echo, "X-Internal-Debug"), [""; 0], "{wire:?}");
    }
}

#[test]
fn an_authorizers_headers_are_its_own() {
    let (origin, judge) = (RawOrigin::start("echo"), RawOrigin::start("judge"));
    judge.on("/check", |x| {
        let names = x.request().header("x-mode") == Some("named");
        let headers: &[(&str, &str)] =
            if names { &[("X-Auth-User", "alice"), ("X-Auth-Role", "guest")] } else { &[] };
        x.respond(200, headers, "")?;
        Ok(Next::KeepAlive)
    });
    let address = format!("  forwardAuth:\n    address: http://{}/check\n    ", judge.addr());
    for settings in
        ["authResponseHeaders: [X-Auth-User, X-Auth-Role]", "authResponseHeadersRegex: ^X-Auth-"]
    {
        let gateway = through(&origin, &[("it", &format!("{address}{settings}\n"))]).start();
        let check = |wire: Wire, ask: &Ask, user: &[&str], role: &[&str]| {
            let echo = wire.echo(&gateway, ask);
            assert_eq!(as_read(&echo, "X-Auth-User"), user, "{wire:?} {settings}");
            assert_eq!(as_read(&echo, "X-Auth-Role"), role, "{wire:?} {settings}");
        };
        let claims = Ask::get("/").spelled("X-Auth-User", "root").spelled("X-Auth-Role", "admin");
        let named = claims.clone().field("x-mode", "named");
        for wire in WIRES {
            check(wire, &named, &["alice"], &["guest"]);
            // An authorizer that says nothing names nobody.
            check(wire, &claims, &[], &[]);
        }
        let taken_off = named.field("Connection", "X-Auth-User, X-Auth-Role");
        check(Wire::Http1, &taken_off, &["alice"], &["guest"]);
    }
}

/// What the authorizer is asked is about this request, whatever the client says of it. Row: SSRF by
/// forwardAuth `Location`: where it redirects to is for the client, nobody here follows it.
#[test]
fn an_authorizer_is_asked_about_the_canonical_request() {
    let (origin, judge) = (RawOrigin::start("echo"), RawOrigin::start("judge"));
    let inside = RawOrigin::start("inside");
    let location = format!("http://{}/latest/meta-data", inside.addr());
    let answer = location.clone();
    judge.on("/check", move |x| {
        x.respond(302, &[("Location", &answer), ("X-Auth-User", "root")], "")?;
        Ok(Next::KeepAlive)
    });
    for trust in ["false", "true"] {
        let spec = format!(
            "  forwardAuth:\n    address: http://{}/check\n    trustForwardHeader: {trust}\n    \
             authResponseHeaders: [X-Auth-User]\n",
            judge.addr()
        );
        let gateway = through(&origin, &[("it", &spec)]).start();
        for wire in WIRES {
            let ask = Ask::get("/a/%2e%2e/b//c?d").method("DELETE").fields(spoofed());
            let response = wire.response(&gateway, &ask);
            assert_eq!((response.status, response.header("location")), (302, Some(&*location)));
            let asked = judge.requests().pop().unwrap();
            for (name, expected) in [
                ("x-forwarded-method", "DELETE"),
                ("x-forwarded-uri", "/b/c?d"),
                ("x-forwarded-host", "a.test"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-for", "127.0.0.1"),
            ] {
                let values: Vec<&str> = asked.headers_named(name).collect();
                assert_eq!(values, [expected], "{wire:?} {name}, trust {trust}");
            }
            let text = asked.head_text();
            assert!(!text.contains("evil") && !text.contains("10.0.0.1"), "{text}");
        }
    }
    assert_eq!(judge.requests().len(), 4);
    assert!(origin.requests().is_empty() && inside.connections().is_empty());
}

/// What goes with a request to a page of errors, or to a mirror, is as clean as the request itself.
#[test]
fn other_requests_made_for_a_request_are_as_clean() {
    let (origin, pages) = (RawOrigin::start("echo"), RawOrigin::start("pages"));
    origin.on_status("/x", 500, "secret trace");
    let spec = "  errors:\n    status: ['500-599']\n    query: /page/{status}?u={url}\n    service:\n      name: pages\n      port: 80\n";
    let gateway = through(&origin, &[("it", spec)]).backend("pages:80", pages.addr()).start();
    for wire in WIRES {
        let ask = Ask::get("/x?y=1").fields(spoofed()).spelled("X-Forwarded-For", "10.0.0.1");
        let response = wire.response(&gateway, &ask);
        assert_eq!(response.status, 500, "{wire:?}");
        assert!(!response.text().contains("secret trace"), "{}", response.text());
        let asked = pages.requests().pop().unwrap();
        assert!(asked.target.starts_with("/page/500?u="), "{}", asked.target);
        let text = asked.head_text();
        assert!(!text.contains("evil") && !text.contains("10.0.0.1"), "{text}");
        let echo = wire.echo(&gateway, &Ask::get("/other").fields(spoofed()));
        check_clean(&echo, "behind the middleware of errors");
    }
}
