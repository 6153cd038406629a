use hickory_proto::op::Message;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::testing::{DB, entries, index, message, names, query, read, shown, with_edns, zone};

fn answered(host: &str, query_type: RecordType) -> String {
    match answer(&query(host, query_type), Transport::Udp, &names()) {
        Answer::Reply(reply) => shown(&reply.bytes),
        Answer::Forward(_) => "forward".to_owned(),
        Answer::Ask { service, is_ours, .. } => format!("ask {service} {is_ours}"),
        Answer::Drop => "drop".to_owned(),
    }
}

fn reply_to(bytes: &[u8]) -> Message {
    match answer(bytes, Transport::Udp, &names()) {
        Answer::Reply(reply) => read(&reply.bytes),
        other => panic!("{other:?}"),
    }
}

fn check(host: &str, query_type: RecordType, expected: &str) {
    assert_eq!(answered(host, query_type), expected, "{host} {query_type}");
}

#[test]
fn names_of_services_have_their_addresses() {
    for host in [
        "payments",
        "payments.shop",
        "payments.shop.svc",
        "payments.shop.svc.cluster.local",
        "PayMents.SHOP.svc.Cluster.local",
    ] {
        check(host, RecordType::A, "NoError 10.78.0.1");
        check(host, RecordType::AAAA, "NoError fd78::1");
        check(host, RecordType::ANY, "NoError 10.78.0.1 fd78::1");
    }
    check("payments.other", RecordType::A, "NoError 10.78.0.2");
}

#[test]
fn a_name_without_data_of_a_kind_exists() {
    check("payments.other", RecordType::AAAA, "NoError");
    check("payments", RecordType::MX, "NoError");
    check("payments", RecordType::CNAME, "NoError");
    check("empty", RecordType::A, "NoError");
    check("_http._tcp.payments", RecordType::A, "NoError");
    for parent in ["cluster.local", "svc.cluster.local", "shop.svc.cluster.local", "_tcp.payments"]
    {
        check(parent, RecordType::A, "NoError");
    }
}

#[test]
fn names_of_the_domain_that_do_not_exist_are_denied() {
    for host in [
        "nobody.shop.svc.cluster.local",
        "payments.nowhere.svc.cluster.local",
        "nowhere.svc.cluster.local",
        "op.svc.cluster.local",
        "x.payments.shop.svc.cluster.local",
        "example.com.shop.svc.cluster.local",
        "example.com.cluster.local",
        "_nothing._tcp.payments.shop.svc.cluster.local",
        "_http._udp.payments.shop.svc.cluster.local",
        "*.shop.svc.cluster.local",
    ] {
        check(host, RecordType::A, "NXDomain");
        check(host, RecordType::SRV, "NXDomain");
    }
}

#[test]
fn all_other_names_are_forwarded() {
    for host in ["example.com", "nobody", "payments.nowhere", "xcluster.local", "local", ""] {
        check(host, RecordType::A, "forward");
    }
    let mut chaos = message(0, "payments", RecordType::A);
    chaos.queries[0].query_class = DNSClass::CH;
    let chaos = answer(&chaos.to_vec().unwrap(), Transport::Udp, &names());
    assert!(matches!(chaos, Answer::Forward(_)));
}

#[test]
fn hosts_elsewhere_with_addresses_in_the_mesh_are_not_asked_for_others() {
    check("api.example.com", RecordType::A, "NoError 10.78.0.3");
    check("api.example.com", RecordType::AAAA, "NoError");
    check("api.example.com", RecordType::HTTPS, "NoError");
    check("api.example.com", RecordType::MX, "forward");
    check("any.wild.example", RecordType::A, "NoError 10.78.0.4");
    check("wild.example", RecordType::A, "forward");
    check("elsewhere.example.com", RecordType::A, "forward");
}

#[test]
fn headless_services_have_the_addresses_of_their_endpoints() {
    check("db", RecordType::A, "NoError 10.77.0.8 10.77.0.9");
    check("db", RecordType::AAAA, "NoError fd77::9");
    check("db-0.db", RecordType::A, "NoError 10.77.0.9");
    check("db-0.db", RecordType::AAAA, "NoError fd77::9");
    check("10-77-0-8.db", RecordType::A, "NoError 10.77.0.8");
    check("10-77-0-8.db", RecordType::AAAA, "NoError");
    check("10-77-0-7.db.shop.svc.cluster.local", RecordType::A, "NXDomain");
    let unknown = Names::new(&zone(), entries(), []);
    for (host, ours) in [("db-0.db", false), ("db-0.db.shop.svc.cluster.local", true)] {
        match answer(&query(host, RecordType::A), Transport::Udp, &unknown) {
            Answer::Ask { service, is_ours, .. } => {
                assert_eq!((service.as_str(), is_ours), (DB, ours), "{host}");
            }
            other => panic!("{host}: {other:?}"),
        }
    }
}

#[test]
fn ports_have_places() {
    check("_http._tcp.payments", RecordType::SRV, "NoError payments.shop.svc.cluster.local.:80");
    check(
        "_GRPC._tcp.payments.shop.svc.cluster.local",
        RecordType::SRV,
        "NoError payments.shop.svc.cluster.local.:9000",
    );
    check("_http._tcp.any.wild.example", RecordType::SRV, "NoError any.wild.example.:80");
    check(
        "_http._tcp.db",
        RecordType::SRV,
        "NoError 10-77-0-8.db.shop.svc.cluster.local.:80 \
         db-0.db.shop.svc.cluster.local.:80 db-0.db.shop.svc.cluster.local.:80",
    );
    check("payments", RecordType::SRV, "NoError");
    check("_http._tcp.example.com", RecordType::SRV, "forward");
    let reply = reply_to(&query("_http._tcp.payments", RecordType::SRV));
    let hints: Vec<RecordType> = reply.additionals.iter().map(Record::record_type).collect();
    assert_eq!(hints, [RecordType::A, RecordType::AAAA]);
}

#[test]
fn addresses_have_names() {
    let v6 = |last: char| format!("{last}{}.8.7.d.f.ip6.arpa", ".0".repeat(27));
    let payments = "NoError payments.shop.svc.cluster.local.";
    check("1.0.78.10.in-addr.arpa", RecordType::PTR, payments);
    check(&v6('1'), RecordType::PTR, payments);
    check("9.0.77.10.in-addr.arpa", RecordType::PTR, &format!("NoError db-0.{DB}."));
    check("8.0.77.10.in-addr.arpa", RecordType::PTR, &format!("NoError 10-77-0-8.{DB}."));
    check("1.0.78.10.in-addr.arpa", RecordType::A, "NoError");
    check("1.0.0.10.in-addr.arpa", RecordType::PTR, "forward");
    check("78.10.in-addr.arpa", RecordType::PTR, "forward");
    check(&v6('2'), RecordType::PTR, "forward");
    check("4.0.78.10.in-addr.arpa", RecordType::PTR, "forward");
}

#[test]
fn zones_are_not_handed_out() {
    check("cluster.local", RecordType::AXFR, "Refused");
    check("example.com", RecordType::IXFR, "Refused");
    check("cluster.local", RecordType::SOA, "NoError SOA");
    check("cluster.local", RecordType::NS, "NoError");
}

#[test]
fn the_case_of_a_question_is_kept() {
    let reply = reply_to(&query("PaYmEnTs.shop", RecordType::A));
    assert!(reply.queries[0].name.eq_case(&reply.answers[0].name));
    assert_eq!(reply.answers[0].name.to_ascii(), "PaYmEnTs.shop.");
}

#[test]
fn answers_and_denials_hold_for_the_ttl() {
    let check = |host: &str, query_type, section: fn(Message) -> Vec<Record>| {
        let of = |zone: &Zone| {
            let names = Names::new(zone, entries(), []);
            match answer(&query(host, query_type), Transport::Udp, &names) {
                Answer::Reply(reply) => section(read(&reply.bytes)).remove(0),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(of(&zone()).ttl, 5, "{host}");
        let longer = of(&zone().with_ttl(std::time::Duration::from_secs(30)));
        assert_eq!(longer.ttl, 30, "{host}");
        longer
    };
    check("payments", RecordType::A, |reply| reply.answers);
    let denial = check("nobody.cluster.local", RecordType::A, |reply| reply.authorities);
    let RData::SOA(soa) = &denial.data else { panic!("{denial}") };
    assert_eq!((denial.name.to_ascii().as_str(), soa.minimum), ("cluster.local.", 30));
    let no_data = check("api.example.com", RecordType::AAAA, |reply| reply.authorities);
    assert_eq!(no_data.name.to_ascii(), "api.example.com.");
}

#[test]
fn the_first_address_changes_from_query_to_query() {
    let first = |id| {
        let bytes = message(id, "db", RecordType::A).to_vec().unwrap();
        shown(&reply_to(&bytes).to_vec().unwrap())
    };
    assert_eq!(first(2), "NoError 10.77.0.8 10.77.0.9");
    assert_eq!(first(3), "NoError 10.77.0.9 10.77.0.8");
}

#[test]
fn an_answer_has_a_bounded_number_of_addresses() {
    let addrs: Vec<String> = (0..2000).map(|n| format!("10.7.{}.{}", n / 250, n % 250)).collect();
    let addrs: Vec<&str> = addrs.iter().map(String::as_str).collect();
    let entry = crate::testing::entry("many.shop.svc.cluster.local", &[], &addrs);
    let names = Names::new(&zone(), index(&[entry]), []);
    match answer(&query("many", RecordType::A), Transport::Tcp, &names) {
        Answer::Reply(reply) => {
            let reply = read(&reply.bytes);
            assert_eq!((reply.answers.len(), reply.metadata.truncation), (ADDRS_MAX, false));
        }
        other => panic!("{other:?}"),
    }
}

/// What holds for every answer to any bytes.
fn check_any(bytes: &[u8], transport: Transport) -> Result<(), TestCaseError> {
    match answer(bytes, transport, &names()) {
        Answer::Reply(Reply { bytes: reply, .. }) => {
            prop_assert_eq!(&reply[..2], &bytes[..2]);
            prop_assert!(reply[2] & 0x80 != 0, "it is a reply");
            prop_assert!(Message::from_vec(&reply).is_ok());
            prop_assert!(transport == Transport::Tcp || reply.len() <= 4096);
        }
        Answer::Forward(question) | Answer::Ask { question, .. } => {
            prop_assert!(question.reply_bytes_max() >= 512);
        }
        Answer::Drop => prop_assert!(bytes.len() < 12 || bytes[2] & 0x80 != 0),
    }
    Ok(())
}

fn labels() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        "[a-zA-Z0-9_-]{1,12}",
        Just("payments".to_owned()),
        Just("db".to_owned()),
        Just("_http._tcp".to_owned()),
        Just("shop.svc".to_owned()),
        Just("cluster.local".to_owned()),
    ];
    vec(label, 0..6).prop_map(|labels| labels.join("."))
}

proptest! {
    #[test]
    fn any_bytes_are_answered_or_dropped(bytes in vec(any::<u8>(), 0..600)) {
        check_any(&bytes, Transport::Udp)?;
        check_any(&bytes, Transport::Tcp)?;
    }

    #[test]
    fn any_damage_to_a_query_is_survived(
        host in labels(),
        query_type in any::<u16>(),
        bytes_max in proptest::option::of(any::<u16>()),
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut asked = message(9, &host, RecordType::from(query_type));
        if let Some(bytes_max) = bytes_max {
            asked = with_edns(asked, bytes_max);
        }
        let mut bytes = asked.to_vec().unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check_any(&bytes, Transport::Udp)?;
    }

    #[test]
    fn names_of_the_domain_never_leave(host in labels(), query_type in any::<u16>()) {
        let host = format!("{host}.cluster.local");
        let host = host.trim_start_matches('.');
        let asked = message(9, host, RecordType::from(query_type));
        let answer = answer(&asked.to_vec().unwrap(), Transport::Udp, &names());
        prop_assert!(!matches!(answer, Answer::Forward(_)), "{:?}", answer);
    }
}
