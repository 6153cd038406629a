//! Who the client is: forwarding headers are the gateway's own, unless a trusted hop set them.

use weft_testkit::documents::ingress_route;
use weft_testkit::{Echo, H2Origin, RawOrigin};

use super::identity::{as_read, spellings};
use super::{Ask, WIRES, Wire};
use crate::common::{builder, pair, through};

/// What a client may not say of itself, and what an origin reads instead.
const SPOOFED: &[(&str, &str, &[&str])] = &[
    ("X-Forwarded-For", "10.0.0.1", &["127.0.0.1"]),
    ("X-Forwarded-Proto", "https", &["http"]),
    ("X-Forwarded-Host", "evil.test", &["a.test"]),
    ("X-Forwarded-Port", "443", &["80"]),
    ("X-Forwarded-Prefix", "/evil", &[]),
    ("X-Forwarded-Uri", "/evil", &[]),
    ("X-Forwarded-Method", "DELETE", &[]),
    ("X-Forwarded-Server", "evil", &[]),
    ("X-Real-Ip", "10.0.0.1", &["127.0.0.1"]),
    ("Forwarded", "for=10.0.0.1;host=evil", &[]),
    ("Via", "1.1 evil", &[]),
    ("X-Original-URL", "/evil", &[]),
    ("X-Rewrite-URL", "/evil", &[]),
    ("X-HTTP-Method-Override", "DELETE", &[]),
    ("X-Forwarded-Tls-Client-Cert", "evil", &[]),
    ("X-Forwarded-Tls-Client-Cert-Info", "evil", &[]),
    ("X-Forwarded-Client-Cert", "evil", &[]),
];

/// The fields under their own names.
pub(super) fn spoofed() -> impl Iterator<Item = (&'static str, &'static str)> {
    SPOOFED.iter().map(|(name, value, _)| (*name, *value))
}

/// Whatever the client said, an origin reads what the gateway knows.
pub(super) fn check_clean(echo: &Echo, what: &str) {
    let server = weft_testkit::host_name();
    for (name, _, expected) in SPOOFED {
        let expected = match *name {
            "X-Forwarded-Server" => &[&*server][..],
            // Via and the like are not ours to set: what is left of them must not be the client's.
            _ => *expected,
        };
        assert_eq!(as_read(echo, name), expected, "{what}: {name} in {:?}", echo.headers);
    }
    for (name, value) in &echo.headers {
        let bad = ["10.0.0.1", "evil", "DELETE"].iter().find(|bad| value.contains(**bad));
        assert!(bad.is_none(), "{what}: {name}: {value}");
    }
}

/// Row: spoofed X-Forwarded-{For,Proto,Host,Port,Prefix,Uri,Method,Server}, X-Real-Ip, Forwarded,
/// Via, X-Original-URL, X-Rewrite-URL, X-HTTP-Method-Override. Over both versions.
#[test]
fn forwarding_headers_of_strangers_are_replaced() {
    // A trusted net that the client is not in changes nothing.
    for arguments in [&[][..], &["--trust-forwarded-from", "10.0.0.0/8"]] {
        let (_origin, gateway) = pair(arguments);
        for wire in WIRES {
            let once = Ask::get("/").fields(spoofed());
            check_clean(&wire.echo(&gateway, &once), &format!("{wire:?} {arguments:?}"));
            let twice = once.fields(spoofed());
            check_clean(&wire.echo(&gateway, &twice), &format!("{wire:?} {arguments:?}, twice"));
        }
    }
}

#[test]
fn forwarding_headers_are_replaced_towards_both_kinds_of_origin() {
    let (one, two) = (RawOrigin::start("one"), H2Origin::start("two"));
    let routes = ingress_route(&[("PathPrefix(`/`)", "one:80"), ("PathPrefix(`/two`)", "two:80")])
        .replace(
            "    - name: two\n      port: 80\n",
            "    - name: two\n      port: 80\n      scheme: h2c\n",
        );
    let gateway = builder()
        .document("routes.yaml", &routes)
        .backend("one:80", one.addr())
        .backend("two:80", two.addr())
        .start();
    for wire in WIRES {
        for backend in ["one", "two"] {
            let mut ask = Ask::get(&format!("/{backend}")).fields(spoofed());
            for (name, value) in spoofed().filter(|(name, _)| name.contains('-')) {
                ask =
                    ask.field(&name.replace('-', "_"), value).field(&name.replace('-', "."), value);
            }
            let echo = wire.echo(&gateway, &ask);
            assert_eq!(echo.backend, backend);
            check_clean(&echo, &format!("{wire:?} {backend}"));
        }
    }
}

/// Row: aliases: underscores, dots, mixed case, duplicates; origins fold any non-alphanumeric.
#[test]
fn aliases_of_forwarding_headers_are_removed() {
    let (_origin, gateway) = pair(&[]);
    for wire in WIRES {
        // Every name by itself: together they would be too many lines for a head.
        for (name, value) in spoofed() {
            let names = spellings(name);
            let ask = Ask::get("/").fields(names.iter().map(|name| (name.as_str(), value)));
            check_clean(&wire.echo(&gateway, &ask), &format!("{wire:?} {name}"));
        }
    }
}

/// Row: `Connection: X-Forwarded-Host, X-Auth-User`. It takes fields off before we set ours, and
/// never what frames the message.
#[test]
fn the_connection_header_cannot_remove_ours() {
    let origin = RawOrigin::start("echo");
    let tenant = "  headers:\n    customRequestHeaders:\n      X-Tenant: acme\n";
    let gateway = through(&origin, &[("it", tenant)]).start();
    let names = "content-length, transfer-encoding, host, connection, x-tenant, x-forwarded-for, \
                 x-real-ip, x-forwarded-host, x-forwarded-proto, x-forwarded-port, te, trailer, \
                 upgrade, keep-alive";
    let lines: String = spoofed().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    for framing in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        let mut client = gateway.client();
        let head = format!("POST / HTTP/1.1\r\nHost: a.test\r\nConnection: {names}\r\n");
        let echo = client.request(format!("{head}X-Tenant: evil\r\n{lines}{framing}")).echo();
        assert_eq!((&*echo.host, echo.body.as_deref()), ("a.test", Some("hello")));
        assert_eq!(as_read(&echo, "x-tenant"), ["acme"]);
        check_clean(&echo, framing);
        // The framing was the same for both sides: the connection goes on.
        client.request("GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n").echo();
    }
    // Far too many names are an attack on whoever looks them up.
    let many = Ask::get("/").field("Connection", &("x,".repeat(5_000) + "close"));
    Wire::Http1.check_refused(&gateway, &many, 400);
}

#[test]
fn trusted_hops_are_believed() {
    let (_origin, gateway) = pair(&["--trust-forwarded-from", "127.0.0.0/8"]);
    for wire in WIRES {
        let ask = Ask::get("/").fields([
            ("X-Forwarded-For", "10.0.0.1"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "outer.test"),
            ("X-Forwarded-Server", "outer"),
        ]);
        let echo = wire.echo(&gateway, &ask);
        assert_eq!(echo.header("x-forwarded-for"), Some("10.0.0.1, 127.0.0.1"), "{wire:?}");
        assert_eq!(echo.header("x-forwarded-proto"), Some("https"), "{wire:?}");
        assert_eq!(echo.header("x-forwarded-host"), Some("outer.test"), "{wire:?}");
        // The last proxy on the way, as in Traefik.
        let server = weft_testkit::host_name();
        assert_eq!(echo.headers_named("x-forwarded-server").collect::<Vec<_>>(), [&*server]);
        // Aliases are believed from nobody.
        let echo = wire.echo(&gateway, &Ask::get("/").field("X_Forwarded_For", "10.0.0.1"));
        assert_eq!(echo.header("x_forwarded_for"), None, "{wire:?}");
        assert_eq!(echo.header("x-forwarded-for"), Some("127.0.0.1"), "{wire:?}");
    }
}

#[test]
fn trace_context_passes() {
    let (_origin, gateway) = pair(&[]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for wire in WIRES {
        let ask = Ask::get("/").field("traceparent", parent).field("tracestate", "a=b");
        let echo = wire.echo(&gateway, &ask);
        assert_eq!(echo.header("traceparent"), Some(parent), "{wire:?}");
        assert_eq!(echo.header("tracestate"), Some("a=b"), "{wire:?}");
    }
}
