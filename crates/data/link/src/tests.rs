use std::sync::Arc;

use proptest::prelude::{any, proptest};
use weft_model::Generation;
use weft_model::id::{ServiceName, WorkloadName};
use weft_model::mesh::{IndexEntry, Listed, Location, Service, ServiceEndpoints};
use weft_wire::discovery::{Any, DeltaDiscoveryResponse, Resource};
use weft_wire::{encode, resource};

use crate::saved::{InvalidState, load, save};
use crate::{Client, State};

fn entry(name: &str) -> IndexEntry {
    IndexEntry {
        name: ServiceName::new(name),
        addrs: ["10.78.0.1".parse().unwrap()].into(),
        endpoint_addrs: [].into(),
        ports: [].into(),
        location: Location::Mesh,
    }
}

fn service(name: &str) -> Service {
    Service {
        entry: Arc::new(entry(name)),
        endpoints: ServiceEndpoints::Known([].into()),
        traffic: Arc::default(),
    }
}

fn named(type_url: &str, name: &str, value: Vec<u8>) -> Resource {
    Resource {
        name: name.into(),
        version: "1".into(),
        resource: Some(Any { type_url: type_url.into(), value: value.into() }),
    }
}

fn index(names: &[&str], generation: &str) -> DeltaDiscoveryResponse {
    let resource =
        |name: &&str| named(resource::INDEX_ENTRY, name, encode::index_entry(&entry(name)));
    DeltaDiscoveryResponse {
        type_url: resource::INDEX_ENTRY.into(),
        resources: names.iter().map(resource).collect(),
        system_version_info: generation.into(),
        nonce: "n".into(),
        ..Default::default()
    }
}

fn full(name: &str, generation: &str) -> DeltaDiscoveryResponse {
    DeltaDiscoveryResponse {
        type_url: resource::SERVICE.into(),
        resources: vec![named(resource::SERVICE, name, encode::service(&service(name)))],
        system_version_info: generation.into(),
        nonce: "n".into(),
        ..Default::default()
    }
}

fn client() -> Client {
    Client::new(&WorkloadName::new("shop/one"), None, "0.1.0", State::default())
}

fn names(state: &State) -> Vec<&str> {
    state.index.iter().map(Listed::name).collect()
}

#[test]
fn nothing_is_in_force_before_its_generation_is_whole() {
    let mut client = client();
    client.hello();
    let taken = client.receive(index(&["a"], ""));
    assert!(!taken.changed);
    assert_eq!(taken.answer.response_nonce, "n");
    assert_eq!(names(client.state()), [""; 0]);
    assert!(client.receive(index(&["b"], "3")).changed);
    assert_eq!(names(client.state()), ["a", "b"]);
    assert_eq!(client.state().generation, Generation(3));
}

/// What came on a stream that broke may belong to a generation that nobody will finish.
#[test]
fn what_a_broken_stream_left_unfinished_is_forgotten() {
    let mut client = client();
    client.hello();
    client.receive(index(&["a"], "1"));
    client.receive(index(&["b"], ""));
    let hello = client.hello();
    let versions = &hello[0].initial_resource_versions;
    assert_eq!(versions.keys().collect::<Vec<_>>(), ["a"]);
    client.receive(index(&["c"], "2"));
    assert_eq!(names(client.state()), ["a", "c"]);
}

#[test]
fn a_resource_that_cannot_be_read_leaves_its_last_good_form() {
    let mut client = client();
    client.hello();
    client.receive(index(&["a"], "1"));
    let before = client.state().clone();
    let mut response = index(&["b"], "2");
    response.resources.push(named(resource::INDEX_ENTRY, "a", vec![0xff]));
    let taken = client.receive(response);
    assert_eq!(taken.answer.rejected.len(), 1);
    assert_eq!(taken.answer.rejected[0].name, "a");
    assert_eq!(client.state().index.get("a"), before.index.get("a"));
    assert_eq!(names(client.state()), ["a", "b"]);
}

#[test]
fn services_are_asked_for_once_and_forgotten() {
    let mut client = client();
    let name = ServiceName::new("a");
    client.hello();
    let request = client.want(&name).unwrap();
    assert_eq!(request.resource_names_subscribe, ["a"]);
    assert_eq!(client.want(&name), None);
    assert!(client.receive(full("a", "1")).changed);
    assert!(client.state().services.contains_key(&name));
    // A new stream asks for it again.
    let hello = client.hello();
    assert_eq!(hello[1].resource_names_subscribe, ["a"]);
    assert_eq!(hello[1].initial_resource_versions["a"], "1");
    assert_eq!(client.forget([&name]).unwrap().resource_names_unsubscribe, ["a"]);
    assert!(client.state().services.is_empty());
    assert_eq!(client.forget([&name]), None);
    // What was on its way is too late.
    client.receive(full("a", "2"));
    assert!(client.state().services.is_empty());
}

#[test]
fn a_service_that_does_not_exist_is_known_to_be_missing() {
    let mut client = client();
    let name = ServiceName::new("nowhere");
    client.hello();
    client.want(&name);
    let gone = DeltaDiscoveryResponse {
        type_url: resource::SERVICE.into(),
        removed_resources: vec!["nowhere".into()],
        system_version_info: "1".into(),
        ..Default::default()
    };
    assert!(client.receive(gone).changed);
    assert!(client.state().missing.contains(&name));
    client.receive(full("nowhere", "2"));
    assert!(client.state().missing.is_empty());
}

#[test]
fn the_control_plane_is_told_once_what_is_in_force() {
    let mut client = client();
    client.hello();
    client.receive(index(&["a"], "4"));
    assert_eq!(client.put_in_force(Generation(4)).unwrap().generation, 4);
    assert_eq!(client.put_in_force(Generation(4)), None);
    assert_eq!(client.hello()[0].generation, 4);
}

fn full_state() -> State {
    let mut client = client();
    client.want(&ServiceName::new("a"));
    client.receive(index(&["a", "b"], ""));
    client.receive(full("a", "9"));
    client.state().clone()
}

#[test]
fn a_saved_state_comes_back() {
    let state = full_state();
    assert_eq!(load(&save(&state)), Ok(state.clone()));
    // And its services stay wanted.
    let mut client = Client::new(&WorkloadName::new("shop/one"), None, "0.1.0", state);
    assert_eq!(client.hello()[1].resource_names_subscribe, ["a"]);
}

#[test]
fn a_damaged_state_is_found_out() {
    let bytes = save(&full_state());
    assert_eq!(load(b""), Err(InvalidState::Format));
    assert_eq!(load(b"weftway state 2\n"), Err(InvalidState::Format));
    for end in 16..bytes.len() {
        assert_eq!(load(&bytes[..end]), Err(InvalidState::Damaged), "cut at {end}");
    }
    for at in 16..bytes.len() {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        assert_eq!(load(&bytes), Err(InvalidState::Damaged), "changed at {at}");
    }
}

proptest! {
    #[test]
    fn any_response_is_taken(bytes: Vec<u8>, which in 0..4_usize, name in any::<String>()) {
        let kinds = [resource::INDEX_ENTRY, resource::SERVICE, resource::WORKLOAD, "other"];
        let mut client = client();
        client.hello();
        client.receive(DeltaDiscoveryResponse {
            type_url: kinds[which].into(),
            resources: vec![named(kinds[which], &name, bytes)],
            removed_resources: vec![name.clone()],
            system_version_info: name,
            nonce: "n".into(),
        });
    }
}
