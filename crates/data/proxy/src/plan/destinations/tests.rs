use weft_message::PathRules;
use weft_model::id::{ListenerId, ServiceName};
use weft_model::listener::Limits;
use weft_model::mesh::{Location, Mtls, Protocol, ServicePort};

use super::*;

fn listener(id: &str, addr: &str, intake: Intake) -> Listener {
    Listener {
        id: ListenerId::new(id),
        addr: addr.parse().unwrap(),
        intake,
        proxy_protocol_from: Vec::new(),
        forwarded_from: Vec::new(),
        limits: Limits::DEFAULT,
        path_rules: PathRules::default(),
        plain: None,
        tls: None,
    }
}

fn destination(direction: Direction, addrs: &[&str], port: Option<u16>) -> Listener {
    let destination = Destination {
        direction,
        addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
        port,
        protocol: Protocol::Detect,
        name: "".into(),
        mtls: Mtls::Permissive,
        closed: None,
    };
    listener("", "0.0.0.0:0", Intake::Destination(destination))
}

fn entry(addr: &str, port: u16) -> Arc<IndexEntry> {
    Arc::new(IndexEntry {
        name: ServiceName::new("cart.shop"),
        addrs: [addr.parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: port, name: "".into(), protocol: Protocol::Detect }].into(),
        location: Location::Mesh,
    })
}

#[test]
fn the_closest_destination_stands_for_an_address() {
    use Direction::{Inbound, Outbound};
    let listeners = [
        destination(Outbound, &[], None),
        destination(Outbound, &[], Some(5432)),
        destination(Outbound, &["10.78.0.1", "fd78::1"], None),
        destination(Outbound, &["10.78.0.1", "fd78::1"], Some(80)),
        destination(Outbound, &["10.78.0.1"], Some(80)),
        destination(Inbound, &["10.77.0.2"], None),
        destination(Inbound, &["10.77.0.2"], Some(8080)),
    ];
    let services = AddressIndex::new([&entry("10.78.0.9", 80)]);
    let destinations = Destinations::new(&listeners, Arc::new(services));
    let check = |addr: &str, outbound, inbound| {
        let addr = addr.parse().unwrap();
        assert_eq!(destinations.outbound(addr), outbound, "{addr}");
        assert_eq!(destinations.inbound(addr), inbound, "{addr}");
    };
    let at = Standing::Listener;
    check("10.78.0.1:80", at(3), Standing::Nothing);
    check("[fd78::1]:80", at(3), Standing::Nothing);
    check("10.78.0.1:81", at(2), Standing::Nothing);
    check("192.0.2.1:5432", at(1), Standing::Nothing);
    check("192.0.2.1:443", at(0), Standing::Nothing);
    check("10.77.0.2:8080", at(0), at(6));
    check("10.77.0.2:8081", at(0), at(5));
    // In use nowhere yet; of no port that is the service's, nothing is to be learned.
    check("10.78.0.9:80", Standing::Unlearned(entry("10.78.0.9", 80)), Standing::Nothing);
    check("10.78.0.9:81", at(0), Standing::Nothing);
}

#[test]
fn the_proxy_knows_itself() {
    let listeners = [
        listener("outbound", "0.0.0.0:15001", Intake::Captured(Direction::Outbound)),
        listener("mesh", "10.77.0.2:15008", Intake::Mesh),
        destination(Direction::Inbound, &["10.77.0.2"], None),
    ];
    let destinations = Destinations::new(&listeners, Arc::default());
    let local = "127.0.0.1:15001".parse().unwrap();
    for (addr, expected) in [
        ("127.0.0.1:15001", true),
        ("10.77.0.2:15001", true),
        ("10.77.0.2:15008", true),
        // Another workload's proxy.
        ("10.77.0.3:15001", false),
        ("10.77.0.3:15008", false),
        ("10.77.0.2:8080", false),
    ] {
        assert_eq!(destinations.is_proxy(addr.parse().unwrap(), local), expected, "{addr}");
    }
    assert!(destinations.is_own("10.77.0.2".parse().unwrap()));
    assert!(!destinations.is_own("10.77.0.3".parse().unwrap()));
}
