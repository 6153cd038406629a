use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

fn request(authority: &str, lines: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_authority(authority).unwrap();
    for (name, value) in lines {
        head.fields.append(*name, value.as_bytes()).unwrap();
    }
    head
}

fn hop(trusted: bool) -> Hop<'static> {
    Hop {
        peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        scheme: Scheme::Http,
        trusted,
        websocket: false,
        server: "edge-1",
    }
}

/// Fields as text, sorted by name.
fn seen(head: &RequestHead) -> Vec<String> {
    let mut lines: Vec<_> = head
        .fields
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect();
    lines.sort();
    lines
}

// gateway.md 4.2: "Header trust".
#[test]
fn an_untrusted_hop_claims_nothing() {
    let mut head = request(
        "shop.example:8080",
        &[
            ("X-Forwarded-For", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.2"),
            ("X.Forwarded.Host", "evil"),
            ("X-Forwarded-Host", "evil"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Port", "443"),
            ("X-Forwarded-Prefix", "/evil"),
            ("X-Forwarded-Uri", "/evil"),
            ("X-Forwarded-Method", "EVIL"),
            ("X-Forwarded-Server", "evil"),
            ("X-Forwarded-Tls-Client-Cert", "evil"),
            ("X-Forwarded_Tls-Client.Cert-Info", "evil"),
            ("X-Real-Ip", "10.0.0.1"),
            ("X_Real-Ip", "10.0.0.1"),
            ("Forwarded", "for=10.0.0.1"),
            ("X-Forwarded-Client-Cert", "evil"),
            ("L5d-Client-Id", "evil"),
            ("L5d_Client_Id", "evil"),
            ("Weftway-Destination", "10.0.0.1:80"),
            ("Weftway_Destination", "10.0.0.1:80"),
            ("X-Forwarded-Other", "stays"),
        ],
    );
    apply(&mut head, &hop(false));
    let expected = [
        "X-Forwarded-Other: stays",
        "x-forwarded-host: shop.example:8080",
        "x-forwarded-port: 8080",
        "x-forwarded-proto: http",
        "x-forwarded-server: edge-1",
        "x-real-ip: 192.0.2.1",
    ];
    assert_eq!(seen(&head), expected);
}

#[test]
fn a_trusted_hop_is_believed() {
    let mut head = request(
        "inner",
        &[
            ("X-Forwarded-For", "10.0.0.1, 10.0.0.2"),
            ("X-Forwarded-For", "10.0.0.3"),
            ("X_Forwarded_For", "evil"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "outer"),
            ("X-Real-Ip", "10.0.0.1"),
            ("Weftway-Destination", "10.0.0.1:80"),
        ],
    );
    apply(&mut head, &hop(true));
    append_for(&mut head.fields, hop(true).peer);
    let expected = [
        "x-forwarded-for: 10.0.0.1, 10.0.0.2, 10.0.0.3, 192.0.2.1",
        "x-forwarded-host: outer",
        "x-forwarded-port: 443",
        "x-forwarded-proto: https",
        "x-forwarded-server: edge-1",
        "x-real-ip: 10.0.0.1",
    ];
    assert_eq!(seen(&head), expected);
}

#[test]
fn websockets_and_addresses() {
    let mut head = request("a", &[]);
    let mapped = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
    apply(&mut head, &Hop { peer: mapped, scheme: Scheme::Https, websocket: true, ..hop(false) });
    assert_eq!(head.fields.get_str(Known::XForwardedProto), Some("wss"));
    assert_eq!(head.fields.get_str(Known::XForwardedPort), Some("443"));
    assert_eq!(head.fields.get_str(Known::XRealIp), Some("192.0.2.7"));
    let mut fields = Fields::new();
    append_for(&mut fields, IpAddr::V6(Ipv6Addr::LOCALHOST));
    assert_eq!(fields.get_str(Known::XForwardedFor), Some("::1"));
}

#[test]
fn nothing_is_made_up() {
    let mut head = request("", &[]);
    apply(&mut head, &Hop { server: "", ..hop(false) });
    assert!(!head.fields.contains(Known::XForwardedHost));
    assert!(!head.fields.contains(Known::XForwardedServer));
    assert_eq!(head.fields.get_str(Known::XForwardedPort), Some("80"));
}
