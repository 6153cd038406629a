use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::id::ServiceName;
use crate::mesh::{Location, Protocol, ServicePort};

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        Just(Protocol::Detect),
        Just(Protocol::Http),
        Just(Protocol::Http2),
        Just(Protocol::Tls),
        Just(Protocol::Tcp),
    ]
}

/// Few addresses, so that services get into each other's way.
fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0_u8..6).prop_map(|last| [10, 78, 0, last].into()),
        (0_u16..6).prop_map(|last| [0xfd78, 0, 0, 0, 0, 0, 0, last].into()),
    ]
}

fn port() -> impl Strategy<Value = ServicePort> {
    (80_u16..84, "[a-z]{0,5}", protocol()).prop_map(|(number, name, protocol)| ServicePort {
        number,
        name: name.into(),
        protocol,
    })
}

fn entry() -> impl Strategy<Value = IndexEntry> {
    let name = prop_oneof!["[a-d]{1,2}", "[a-d]{150}"];
    let location =
        prop_oneof![Just(Location::Mesh), Just(Location::Unguarded), Just(Location::External)];
    (name, any::<bool>(), location, vec(ip(), 0..3), vec(port(), 0..3)).prop_map(
        |(name, is_headless, location, addrs, ports)| {
            let (addrs, endpoint_addrs) =
                if is_headless { (vec![], addrs) } else { (addrs, vec![]) };
            IndexEntry {
                name: ServiceName::new(name),
                addrs: addrs.into(),
                endpoint_addrs: endpoint_addrs.into(),
                ports: ports.into(),
                location,
            }
        },
    )
}

/// Puts, with a version each, and removals.
fn change() -> impl Strategy<Value = Result<(IndexEntry, String), String>> {
    prop_oneof![
        3 => (entry(), "[0-9a-f]{0,16}").prop_map(Ok),
        1 => "[a-d]{1,2}".prop_map(Err),
    ]
}

proptest! {
    #[test]
    fn a_directory_is_a_map(rounds in vec(vec(change(), 0..8), 0..6)) {
        let mut directory = Directory::default();
        let mut map: BTreeMap<ServiceName, (String, Arc<IndexEntry>)> = BTreeMap::new();
        for round in rounds {
            let mut changes = Changes::default();
            prop_assert!(changes.is_empty());
            for change in round {
                match change {
                    Ok((entry, version)) => {
                        changes.put(&entry, &version);
                        map.insert(entry.name.clone(), (version, Arc::new(entry)));
                    }
                    Err(name) => {
                        changes.remove(&name);
                        map.remove(name.as_str());
                    }
                }
                prop_assert!(!changes.is_empty());
            }
            directory = directory.with(changes);
            let listed = directory.iter().map(|listed| {
                (ServiceName::new(listed.name()), (listed.version().to_owned(), Arc::new(listed.entry())))
            });
            prop_assert_eq!(listed.collect::<BTreeMap<_, _>>(), map.clone());
            prop_assert_eq!((directory.len(), directory.is_empty()), (map.len(), map.is_empty()));
            for (name, (version, entry)) in &map {
                let found = directory.get(name.as_str()).unwrap();
                prop_assert_eq!((found.version(), &found.entry()), (version.as_str(), &**entry));
            }
            prop_assert!(directory.get("e").is_none());
        }
        // The same services make the same directory, whatever was before.
        let mut afresh = Changes::default();
        map.values().for_each(|(version, entry)| afresh.put(entry, version));
        prop_assert_eq!(Directory::default().with(afresh), directory);
    }

    #[test]
    fn connections_find_their_service(entries in vec(entry(), 0..20), ip in ip(), port in 80_u16..84) {
        let directory = Directory::new(&entries);
        let dialled = |entry: &IndexEntry| {
            entry.addrs.contains(&ip) || entry.endpoint_addrs.contains(&ip)
        };
        let holder = directory
            .iter()
            .map(Listed::entry)
            .filter(|entry| dialled(entry) && entry.port(port).is_some())
            .min_by_key(|entry| (!entry.addrs.contains(&ip), entry.name.clone()));
        let found = directory.holder((ip, port).into()).map(Listed::entry);
        prop_assert_eq!(found, holder);
    }
}

#[test]
fn a_service_takes_few_bytes() {
    let entries = (0_u16..1000).map(|number| {
        let [high, low] = number.to_be_bytes();
        let port = |number, name: &str| ServicePort {
            number,
            name: name.into(),
            protocol: Protocol::Http,
        };
        IndexEntry {
            name: ServiceName::new(format!("service-{number}.default.svc.cluster.local")),
            addrs: [[10, 78, high, low].into(), [0xfd78, 0, 0, 0, 0, 0, 0, number].into()].into(),
            endpoint_addrs: [].into(),
            ports: [port(80, "http")].into(),
            location: Location::Mesh,
        }
    });
    let Directory { entries, dialled, by_host } = Directory::new(entries);
    let bytes = entries.packed.len() + 4 * (entries.starts.len() + dialled.len() + by_host.len());
    assert!(bytes < 120_000, "{bytes}");
}
