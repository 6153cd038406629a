//! What a proxy says to a control plane: no panic; no second response before the first was
//! acknowledged; and no response that leads nowhere.

#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use weft_distribute::{Published, Session};
use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{Index, IndexEntry, Location, Mesh, Protocol, ServicePort};
use weft_wire::discovery::DeltaDiscoveryRequest;

static PUBLISHED: LazyLock<[Published; 2]> = LazyLock::new(|| {
    let mesh = |generation: u64, ports: &[u16]| {
        let entry = |name: &str| {
            let ports = ports.iter().map(|number| ServicePort {
                number: *number,
                name: "http".into(),
                protocol: Protocol::Http,
            });
            let entry = IndexEntry {
                name: ServiceName::new(name),
                addrs: ["10.78.0.1".parse().expect("an address")].into(),
                endpoint_addrs: [].into(),
                ports: ports.collect(),
                location: Location::Mesh,
            };
            (entry.name.clone(), Arc::new(entry))
        };
        Mesh {
            generation: Generation(generation),
            index: Index { entries: ["a.shop", "b.shop"].map(entry).into() },
            ..Mesh::default()
        }
    };
    let first = Published::default().next(&mesh(1, &[80]));
    let second = first.next(&mesh(2, &[80, 81]));
    [first, second]
});

fuzz_target!(|data: &[u8]| {
    let mut session = Session::new(WorkloadName::new("shop/front"));
    let mut rest = data;
    let mut unanswered: Option<String> = None;
    let mut number = 0;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (message, after) = after.split_at(length);
        rest = after;
        let Ok(request) = DeltaDiscoveryRequest::decode(message) else { return };
        if unanswered.as_ref() == Some(&request.response_nonce) {
            unanswered = None;
        }
        if session.receive(request).is_err() {
            return;
        }
        number += 1;
        while let Some(response) = session.respond(&PUBLISHED[usize::from(number > 3)]) {
            assert_eq!(unanswered, None, "one at a time");
            let is_news =
                !(response.resources.is_empty() && response.removed_resources.is_empty())
                    || !response.system_version_info.is_empty();
            assert!(is_news, "it says nothing: {response:?}");
            unanswered = Some(response.nonce);
        }
        let status = session.status();
        assert!(status.sent <= Generation(2));
    }
});
