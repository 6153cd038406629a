use super::*;
use crate::testing::{DB, db, entries, entry, ip, name, names, zone};

#[test]
fn addresses_have_names_of_one_label() {
    let check = |addr: &str, label: &str| {
        assert_eq!(dashed(ip(addr)), label);
        assert_eq!(undashed(label), Some(ip(addr)));
    };
    check("10.77.0.9", "10-77-0-9");
    check("fd77::9", "fd77-0-0-0-0-0-0-9");
    check("::1", "0-0-0-0-0-0-0-1");
    assert_eq!(undashed("fd77--9"), Some(ip("fd77::9")), "as others shorten it");
    assert_eq!(undashed("db-0"), None);
    assert_eq!(undashed(""), None);
}

#[test]
fn ports_have_names_before_those_of_hosts() {
    assert_eq!(service_label("_http._tcp.payments"), Some((Some("http"), "payments")));
    assert_eq!(service_label("_tcp._tcp.payments"), Some((Some("tcp"), "payments")));
    assert_eq!(service_label("_tcp.payments.shop"), Some((None, "payments.shop")));
    assert_eq!(service_label("_http._udp.payments"), None);
    assert_eq!(service_label("_http"), None);
    assert_eq!(service_label("payments"), None);
}

#[test]
fn names_with_strange_bytes_are_not_taken_for_others() {
    let strange = Name::from_labels([&b"payments.shop"[..], b"svc", b"cluster", b"local"]).unwrap();
    assert_eq!(names().find(&strange), Found::Missing);
    let strange = Name::from_labels([&b"x.cluster"[..], b"local"]).unwrap();
    assert_eq!(names().find(&strange), Found::Foreign);
}

#[test]
fn a_domain_is_a_name() {
    for wrong in ["", ".", "a..b", &"a".repeat(64)] {
        assert_eq!(Zone::new(wrong, "shop").unwrap_err(), InvalidDomain(wrong.into()), "{wrong}");
    }
    assert_eq!(Zone::new("Cluster.Local.", "shop"), Ok(zone()));
}

#[test]
fn names_below_a_headless_service_need_the_service_in_full() {
    let unknown = Names::new(&zone(), entries(), []);
    for asking in ["db-0.db", "db-0.db.shop.svc.cluster.local", "_http._tcp.db"] {
        assert_eq!(unknown.find(&name(asking)), Found::Ask(ServiceName::new(DB)), "{asking}");
        let found = names().find(&name(asking));
        assert!(matches!(found, Found::Host { .. } | Found::Port(_)), "{asking}: {found:?}");
    }
    assert_eq!(names().find(&name("db-1.db.shop.svc.cluster.local")), Found::Missing);
    assert_eq!(names().find(&name("db-1.db")), Found::Foreign);
}

#[test]
fn services_with_addresses_are_not_kept_in_full() {
    let whole = |addrs: &[&str]| {
        let entry = entry("payments.shop.svc.cluster.local", addrs, &[]);
        Arc::new(Service { entry, ..Service::clone(&db()) })
    };
    assert!(Names::new(&zone(), Arc::default(), [whole(&["10.78.0.1"])]).headless.is_empty());
    assert_eq!(Names::new(&zone(), Arc::default(), [whole(&[])]).headless.len(), 1);
}
