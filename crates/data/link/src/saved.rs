//! What a proxy keeps on disk, so that it can start without a control plane.
//!
//! The bytes are a list of the same messages that the wire carries, behind a line that names the
//! format and a checksum: a file that was cut short or changed is found out, and then as good as
//! none.

use std::sync::Arc;

use prost::Message as _;
use weft_model::Generation;
use weft_model::id::ServiceName;
use weft_model::mesh::{Changes, Directory};
use weft_wire::discovery::{Any, DeltaDiscoveryResponse, Resource};
use weft_wire::{decode, encode, resource};
use xxhash_rust::xxh64::xxh64;

use crate::state::{State, Versioned};

const MAGIC: &[u8] = b"weftway state 1\n";

const SUM_BYTES: usize = 8;

/// What stands before the messages.
const HEAD_BYTES: usize = MAGIC.len() + SUM_BYTES;

/// Resources of one part.
const PART_MAX: usize = 16;

/// A saved state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidState {
    /// It was not written by this product, or by another version of it.
    #[error("it is not a saved state that this version knows")]
    Format,
    /// It was cut short, or changed.
    #[error("it is damaged: the checksum does not fit")]
    Damaged,
    /// One of its resources cannot be read.
    #[error("`{name}` in it cannot be read")]
    Resource {
        /// The resource.
        name: String,
    },
}

/// The messages of a file.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Saved {
    #[prost(message, repeated, tag = "1")]
    parts: Vec<DeltaDiscoveryResponse>,
}

/// The bytes to keep.
pub fn save(state: &State) -> Vec<u8> {
    // An entry of the index takes some 150 bytes, a service some 300.
    let expected = state.index.len() * 150 + state.services.len() * 300;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + expected);
    bytes.extend_from_slice(MAGIC);
    // The checksum of what follows.
    bytes.extend_from_slice(&[0; SUM_BYTES]);
    let index = state.index.iter().map(|listed| {
        let bytes = encode::index_entry(&listed.entry());
        resource(resource::INDEX_ENTRY, listed.name(), listed.version(), bytes)
    });
    append(&mut bytes, state.generation, resource::INDEX_ENTRY, index);
    let services = state.services.iter().map(|(name, has)| {
        let bytes = encode::service(&has.value);
        resource(resource::SERVICE, name.as_str(), &has.version, bytes)
    });
    append(&mut bytes, state.generation, resource::SERVICE, services);
    let workload = state.workload.iter().map(|has| {
        let bytes = encode::workload(&has.value);
        resource(resource::WORKLOAD, has.value.name.as_str(), &has.version, bytes)
    });
    append(&mut bytes, state.generation, resource::WORKLOAD, workload);
    let sum = xxh64(&bytes[HEAD_BYTES..], 0);
    bytes[MAGIC.len()..HEAD_BYTES].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn resource(type_url: &str, name: &str, version: &str, bytes: Vec<u8>) -> Resource {
    Resource {
        name: name.into(),
        version: version.into(),
        resource: Some(Any { type_url: type_url.into(), value: bytes.into() }),
    }
}

/// Appends the parts of one type, one at least. A message behind another is a message of both, so
/// they need not be in memory at one time.
fn append(
    body: &mut Vec<u8>,
    generation: Generation,
    type_url: &str,
    mut resources: impl Iterator<Item = Resource>,
) {
    loop {
        let part = DeltaDiscoveryResponse {
            type_url: type_url.into(),
            system_version_info: generation.to_string(),
            resources: resources.by_ref().take(PART_MAX).collect(),
            ..Default::default()
        };
        let is_last = part.resources.len() < PART_MAX;
        Saved { parts: vec![part] }.encode_raw(body);
        if is_last {
            return;
        }
    }
}

/// What was kept.
///
/// # Errors
///
/// When the bytes are not what [`save`] gave.
pub fn load(bytes: &[u8]) -> Result<State, InvalidState> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(InvalidState::Format)?;
    let (sum, body) = rest.split_first_chunk::<SUM_BYTES>().ok_or(InvalidState::Damaged)?;
    if u64::from_be_bytes(*sum) != xxh64(body, 0) {
        return Err(InvalidState::Damaged);
    }
    let saved = Saved::decode(body).map_err(|_| InvalidState::Format)?;
    let mut state = State::default();
    let mut index = Changes::default();
    for part in saved.parts {
        state.generation = Generation(part.system_version_info.parse().unwrap_or_default());
        for resource in part.resources {
            let invalid = || InvalidState::Resource { name: resource.name.clone() };
            put(&mut state, &mut index, &part.type_url, &resource).ok_or_else(invalid)?;
        }
    }
    state.index = Arc::new(Directory::default().with(index));
    Ok(state)
}

fn put(state: &mut State, index: &mut Changes, type_url: &str, saved: &Resource) -> Option<()> {
    let Resource { name, version, resource: any } = saved;
    let bytes = &any.as_ref()?.value;
    if type_url == resource::INDEX_ENTRY {
        index.put(&decode::index_entry(name, bytes).ok()?, version);
        return Some(());
    }
    let version = version.as_str().into();
    match type_url {
        resource::SERVICE => {
            let value = Arc::new(decode::service(name, bytes).ok()?);
            let name = ServiceName::new(name.as_str());
            Arc::make_mut(&mut state.services).insert(name, Versioned { version, value });
        }
        resource::WORKLOAD => {
            let value = Arc::new(decode::workload(name, bytes).ok()?);
            state.workload = Some(Versioned { version, value });
        }
        _ => {}
    }
    Some(())
}
