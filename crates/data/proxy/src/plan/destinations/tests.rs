use weft_message::PathRules;
use weft_model::id::ListenerId;
use weft_model::listener::Limits;
use weft_model::mesh::{IndexEntry, Location, Mtls, Protocol, ServicePort};

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
        range: None,
        port,
        protocol: Protocol::Detect,
        name: "".into(),
        mtls: Mtls::Permissive,
        closed: None,
    };
    listener("", "0.0.0.0:0", Intake::Destination(destination))
}

fn entry(addr: &str, port: u16) -> IndexEntry {
    IndexEntry {
        name: ServiceName::new("cart.shop"),
        addrs: [addr.parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [ServicePort { number: port, name: "".into(), protocol: Protocol::Detect }].into(),
        location: Location::Mesh,
    }
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
    let services = Directory::new([entry("10.78.0.9", 80)]);
    let destinations = Destinations::new(&listeners, Arc::new(services), Neighbours::default());
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
    check("10.78.0.9:80", Standing::Unlearned(ServiceName::new("cart.shop")), Standing::Nothing);
    check("10.78.0.9:81", Standing::NoPort(Box::new(entry("10.78.0.9", 80))), Standing::Nothing);
}

#[test]
fn only_services_of_the_mesh_have_no_other_ports() {
    let listeners = [destination(Direction::Outbound, &[], None)];
    let check = |addr: &str, location, is_closed: bool| {
        let known = IndexEntry { location, ..entry(addr, 80) };
        let services = Arc::new(Directory::new([known]));
        let destinations = Destinations::new(&listeners, services, Neighbours::default());
        let addr = SocketAddr::new(addr.parse().unwrap(), 81);
        let expected = match is_closed {
            true => Standing::NoPort(Box::new(entry(&addr.ip().to_string(), 80))),
            false => Standing::Listener(0),
        };
        assert_eq!(destinations.outbound(addr), expected, "{addr}");
    };
    for addr in ["10.78.0.9", "172.20.0.9", "192.168.0.9", "100.64.0.9", "240.0.0.9", "fd78::9"] {
        check(addr, Location::Mesh, true);
        // A host that a document gives a name to may have others.
        check(addr, Location::External, false);
    }
    check("192.0.2.9", Location::Mesh, false);
    check("2001:db8::9", Location::Mesh, false);
}

#[test]
fn an_address_that_may_be_a_workloads_is_asked_about_once() {
    use Direction::Outbound;
    let listeners = [
        destination(Outbound, &[], None),
        destination(Outbound, &["10.77.0.2"], Some(8080)),
        destination(Outbound, &["10.77.0.2"], None),
    ];
    // 10.77.0.2 is the endpoint of a headless service as well.
    let headless = IndexEntry {
        addrs: [].into(),
        endpoint_addrs: ["10.77.0.2".parse().unwrap()].into(),
        ..entry("10.77.0.2", 5432)
    };
    let neighbours = Neighbours {
        networks: ["10.77.0.0/24", "fd77::/64"].map(|text| text.parse().unwrap()).into(),
        missing: Arc::new([ServiceName::new("10.77.0.1")].into()),
    };
    let services = Arc::new(Directory::new([headless]));
    let destinations = Destinations::new(&listeners, services, neighbours);
    let check = |addr: &str, expected: Standing| {
        assert_eq!(destinations.outbound(addr.parse().unwrap()), expected, "{addr}");
    };
    let ask = |name: &str| Standing::Unlearned(ServiceName::new(name));
    check("10.77.0.2:8080", Standing::Listener(1));
    check("10.77.0.2:9000", Standing::Listener(2));
    check("10.77.0.2:5432", ask("cart.shop"));
    check("10.77.0.3:8080", ask("10.77.0.3"));
    check("[fd77::3]:8080", ask("fd77::3"));
    // Nobody's, and nobody's business.
    check("10.77.0.1:53", Standing::Listener(0));
    check("10.77.1.3:8080", Standing::Listener(0));
}

#[test]
fn the_proxy_knows_itself() {
    let listeners = [
        listener("outbound", "0.0.0.0:15001", Intake::Captured(Direction::Outbound)),
        listener("mesh", "10.77.0.2:15008", Intake::Mesh),
        destination(Direction::Inbound, &["10.77.0.2"], None),
    ];
    let destinations = Destinations::new(&listeners, Arc::default(), Neighbours::default());
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

#[test]
fn of_ranges_the_first_that_has_the_address_and_port_stands_for_it() {
    let range = |within: &str, except: &[&str], port: Option<u16>| {
        let mut listener = destination(Direction::Outbound, &[], port);
        let Intake::Destination(destination) = &mut listener.intake else { unreachable!() };
        let except = except.iter().map(|net| net.parse().unwrap()).collect();
        destination.range = Some(AddressRange { within: within.parse().unwrap(), except });
        listener
    };
    let listeners = [
        range("192.0.2.0/25", &["192.0.2.9/32"], Some(80)),
        range("192.0.2.0/25", &["192.0.2.9/32"], None),
        range("192.0.2.0/24", &[], Some(443)),
        destination(Direction::Outbound, &[], Some(80)),
        destination(Direction::Outbound, &[], None),
        destination(Direction::Outbound, &["192.0.2.1"], Some(81)),
    ];
    let made = Destinations::new(&listeners, Arc::default(), Neighbours::default());
    for (addr, expected) in [
        ("192.0.2.1:80", 0),
        ("192.0.2.1:443", 1),
        ("192.0.2.9:443", 2),
        ("192.0.2.9:80", 3),
        ("198.51.100.1:443", 4),
        ("192.0.2.1:81", 5),
    ] {
        assert_eq!(made.outbound(addr.parse().unwrap()), Standing::Listener(expected), "{addr}");
    }
}
