//! What a control plane says to a proxy: no panic; every response is answered with its number; and
//! what the proxy then has is kept on disk and read back as it was.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use weft_link::{Client, State, saved};
use weft_model::id::{ServiceName, WorkloadName};
use weft_wire::discovery::DeltaDiscoveryResponse;

fuzz_target!(|data: &[u8]| {
    let workload = WorkloadName::new("shop/front");
    let mut client = Client::new(&workload, None, "1", State::default());
    client.hello();
    client.want(&ServiceName::new("payments.shop.svc.cluster.local"));
    let mut rest = data;
    // Messages with their lengths before them, as in a stream of gRPC.
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (message, after) = after.split_at(length);
        rest = after;
        let Ok(response) = DeltaDiscoveryResponse::decode(message) else { return };
        let (nonce, resources) = (response.nonce.clone(), response.resources.len());
        let taken = client.receive(response);
        assert_eq!(taken.answer.response_nonce, nonce);
        assert!(taken.answer.rejected.len() <= resources);
        client.put_in_force(client.state().generation);
    }
    let bytes = saved::save(client.state());
    let again = saved::load(&bytes).expect("it is what was saved");
    assert_eq!(saved::save(&again), bytes);
    assert!(!client.hello().is_empty());
});
