//! Queries of DNS: no panic; a reply is one to its query, no longer than clients take,
//! and gets no reply itself.

#![no_main]

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use weft_dns::{Answer, Names, Reply, Transport, Zone, answer};
use weft_model::id::ServiceName;
use weft_model::mesh::{Directory, IndexEntry, Location, Protocol, ServicePort};

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let zone = Zone::new("cluster.local", "shop").expect("the domain is valid");
    let many = |first| (0..100).map(move |last| Ipv4Addr::new(10, first, 0, last).into());
    let entries = [
        ("payments.shop.svc.cluster.local", many(78).take(1).collect(), [].into()),
        ("db.shop.svc.cluster.local", [].into(), many(77).collect()),
        ("*.example.com", many(79).take(1).collect(), [].into()),
    ];
    let entries = entries.map(|(name, addrs, endpoint_addrs)| {
        Arc::new(IndexEntry {
            name: ServiceName::new(name),
            addrs,
            endpoint_addrs,
            ports: [ServicePort { number: 80, name: "http".into(), protocol: Protocol::Http }]
                .into(),
            location: Location::Mesh,
        })
    });
    Names::new(&zone, Arc::new(Directory::new(entries)), [])
});

fuzz_target!(|data: &[u8]| {
    for transport in [Transport::Udp, Transport::Tcp] {
        match answer(data, transport, &NAMES) {
            Answer::Reply(Reply { bytes, .. }) => {
                assert_eq!(bytes[..2], data[..2], "the number is that of the query");
                assert_ne!(bytes[2] & 0x80, 0, "it is a reply");
                assert!(transport == Transport::Tcp || bytes.len() <= 4096);
                assert_eq!(answer(&bytes, transport, &NAMES), Answer::Drop);
            }
            Answer::Forward(question) | Answer::Ask { question, .. } => {
                assert!(question.reply_bytes_max() >= 512);
            }
            Answer::Drop => assert!(data.len() < 12 || data[2] & 0x80 != 0),
        }
    }
});
