//! One proxy's stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::Generation;
use weft_model::id::WorkloadName;
use weft_wire::discovery::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource};
use weft_wire::{VERSION, common_version};

use crate::published::{Encoded, Kind, Published};

/// A response grows to about this size, bytes; what is left follows when it is acknowledged. Both ends
/// keep buffers of the largest message they have had, and a control plane has them once for each
/// proxy: with 1 MiB, a mesh of 1,000 services cost it 200 KB more for each.
const RESPONSE_BYTES_MAX: usize = 32 << 10;

/// Names that one proxy may be subscribed to.
const SUBSCRIBED_MAX: usize = 100_000;

/// Resources of one kind that one proxy may say it has.
const HAS_MAX: usize = 200_000;

/// Bytes of one name. A service has a host name, at most 253; a workload two labels and a slash.
const NAME_BYTES_MAX: usize = 512;

/// Bytes of a reason that are remembered.
const REASON_BYTES_MAX: usize = 1024;

/// Rejections that are remembered of one proxy, for people.
const REJECTED_MAX: usize = 100;

/// The stream of one proxy. It knows its workload from the attestation of the transport, not from
/// what the proxy says.
#[derive(Debug)]
pub struct Session {
    workload: WorkloadName,
    /// What the two speak, once the proxy has said what it speaks.
    version: Option<u32>,
    /// Services in full that it wants.
    wanted: BTreeSet<Arc<str>>,
    /// It wants the index.
    wants_index: bool,
    wants_workload: bool,
    /// What it has, or was sent: names and versions.
    has: [BTreeMap<Arc<str>, u64>; 3],
    /// Names that have to be looked at before anything else: new wishes, and what is left over.
    owed: BTreeSet<(Kind, Arc<str>)>,
    /// What it has comes up to this generation, but for `owed`.
    seen: Option<Generation>,
    /// What was sent and not acknowledged.
    unacknowledged: Option<String>,
    nonce: u64,
    /// The newest generation that it was told of whole.
    told: Generation,
    in_force: Generation,
    rejected: BTreeMap<(Kind, Arc<str>), String>,
}

/// What is known of a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyStatus {
    /// Its workload.
    pub workload: WorkloadName,
    /// The generation that it was last sent whole.
    pub sent: Generation,
    /// The generation of which it said that all is in force.
    pub in_force: Generation,
    /// Services that it has asked for.
    pub subscribed: usize,
    /// Resources that it could not take, by kind and name, with the reason.
    pub rejected: Vec<(Kind, Arc<str>, String)>,
}

/// A proxy says what no proxy says. Its stream is ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first message does not say which version the proxy speaks.
    #[error("the first message says nothing of the version that the proxy speaks")]
    NoVersion,
    /// There is no version that both know.
    #[error(
        "the proxy speaks version {theirs}, this control plane {VERSION}: update the older one"
    )]
    Version {
        /// What the proxy speaks.
        theirs: u32,
    },
    /// The kind is not known.
    #[error("`{0}` is no kind of resource")]
    Kind(String),
    /// It wants more services than there can be.
    #[error("a proxy may ask for {SUBSCRIBED_MAX} services at most")]
    TooMany,
    /// It says to have more than there can be.
    #[error("a proxy may have {HAS_MAX} resources of a kind at most")]
    HasTooMany,
    /// A name is longer than any can be.
    #[error("a name has {NAME_BYTES_MAX} bytes at most")]
    Name,
    /// A version is not one of ours.
    #[error("`{0}` is no version")]
    ResourceVersion(String),
}

// === impl Session ===

impl Session {
    /// A stream on which nothing was said yet.
    pub fn new(workload: WorkloadName) -> Self {
        Self {
            workload,
            version: None,
            wanted: BTreeSet::new(),
            wants_index: false,
            wants_workload: false,
            has: Default::default(),
            owed: BTreeSet::new(),
            seen: None,
            unacknowledged: None,
            nonce: 0,
            told: Generation::default(),
            in_force: Generation::default(),
            rejected: BTreeMap::new(),
        }
    }

    /// Takes what the proxy says. Ask [`Session::respond`] afterwards.
    ///
    /// # Errors
    ///
    /// When no proxy would say that; the stream is of no use afterwards.
    pub fn receive(&mut self, request: DeltaDiscoveryRequest) -> Result<(), ProtocolError> {
        if self.version.is_none() {
            let theirs = request.node.as_ref().and_then(|node| node.version());
            let theirs = theirs.ok_or(ProtocolError::NoVersion)?;
            let version = common_version(VERSION, theirs);
            self.version = Some(version.ok_or(ProtocolError::Version { theirs })?);
        }
        let kind = Kind::of_type_url(&request.type_url)
            .ok_or_else(|| ProtocolError::Kind(request.type_url.clone()))?;
        let DeltaDiscoveryRequest { resource_names_subscribe: new, rejected, .. } = &request;
        let names = request.initial_resource_versions.keys().chain(new);
        let names = names.chain(rejected.iter().map(|refused| &refused.name));
        if names.map(String::len).max() > Some(NAME_BYTES_MAX) {
            return Err(ProtocolError::Name);
        }
        for (name, version) in &request.initial_resource_versions {
            let version = u64::from_str_radix(version, 16)
                .map_err(|_| ProtocolError::ResourceVersion(version.clone()))?;
            self.has[kind as usize].insert(name.as_str().into(), version);
        }
        if self.has[kind as usize].len() > HAS_MAX {
            return Err(ProtocolError::HasTooMany);
        }
        for name in &request.resource_names_subscribe {
            self.subscribe(kind, name)?;
        }
        for name in &request.resource_names_unsubscribe {
            self.unsubscribe(kind, name);
        }
        if !request.response_nonce.is_empty()
            && self.unacknowledged.as_ref() == Some(&request.response_nonce)
        {
            self.unacknowledged = None;
        }
        for mut refused in request.rejected {
            refused.reason.truncate(refused.reason.floor_char_boundary(REASON_BYTES_MAX));
            if self.rejected.len() < REJECTED_MAX {
                let key = (kind, refused.name.as_str().into());
                self.rejected.insert(key, refused.reason);
            }
        }
        // Not all messages say it. A lesser one comes from a proxy that knew an earlier control plane.
        if request.generation != 0 {
            self.in_force = Generation(request.generation);
        }
        Ok(())
    }

    /// The next response, if the proxy is ready for one and owed one.
    pub fn respond(&mut self, published: &Published) -> Option<DeltaDiscoveryResponse> {
        if self.version.is_none() || self.unacknowledged.is_some() {
            return None;
        }
        self.look(published);
        let kind = self.owed.iter().next().map(|(kind, _)| *kind);
        let is_told = self.told == published.generation();
        if kind.is_none() && (is_told || !self.is_complete()) {
            return None;
        }
        // Even when nothing of it concerns this proxy: its status is to say that it is in force.
        let mut response =
            self.response(published, kind.unwrap_or(Kind::Index), RESPONSE_BYTES_MAX);
        if self.owed.is_empty() && self.is_complete() {
            self.told = published.generation();
            response.system_version_info = published.generation().to_string();
        }
        self.nonce += 1;
        response.nonce = self.nonce.to_string();
        self.unacknowledged = Some(response.nonce.clone());
        Some(response)
    }

    /// What is known of the proxy.
    pub fn status(&self) -> ProxyStatus {
        let rejected = self.rejected.iter();
        ProxyStatus {
            workload: self.workload.clone(),
            sent: self.told,
            in_force: self.in_force,
            subscribed: self.wanted.len(),
            rejected: rejected
                .map(|((kind, name), reason)| (*kind, name.clone(), reason.clone()))
                .collect(),
        }
    }

    /// Whether it has said all that a proxy says first; before that nothing is whole.
    fn is_complete(&self) -> bool {
        self.wants_index && self.wants_workload
    }

    fn subscribe(&mut self, kind: Kind, name: &str) -> Result<(), ProtocolError> {
        match kind {
            // A proxy knows all of the index and of workloads its own, whatever name it gives.
            Kind::Index => self.wants_index = true,
            Kind::Workload => self.wants_workload = true,
            Kind::Service => {
                if self.wanted.len() >= SUBSCRIBED_MAX {
                    return Err(ProtocolError::TooMany);
                }
                let name: Arc<str> = name.into();
                self.owed.insert((kind, name.clone()));
                self.wanted.insert(name);
                return Ok(());
            }
        }
        // All names of the kind are looked at again.
        self.seen = None;
        Ok(())
    }

    fn unsubscribe(&mut self, kind: Kind, name: &str) {
        if kind == Kind::Service {
            self.wanted.remove(name);
            self.has[kind as usize].remove(name);
            self.owed.remove(&(kind, name.into()));
        }
    }

    fn wants(&self, kind: Kind, name: &str) -> bool {
        match kind {
            Kind::Index => self.wants_index,
            Kind::Service => self.wanted.contains(name),
            Kind::Workload => self.wants_workload && name == self.workload.as_str(),
        }
    }

    /// Finds out what the proxy is owed.
    fn look(&mut self, published: &Published) {
        if self.seen == Some(published.generation()) {
            return;
        }
        let changed = self.seen.and_then(|seen| published.changed_since(seen));
        let candidates: Vec<(Kind, Arc<str>)> = match changed {
            Some(changed) => changed.cloned().collect(),
            None => {
                let of = |kind: Kind| published.names(kind).map(move |name| (kind, name.clone()));
                let had = Kind::ALL.into_iter().flat_map(|kind| {
                    self.has[kind as usize].keys().map(move |name| (kind, name.clone()))
                });
                let own = (Kind::Workload, Arc::from(self.workload.as_str()));
                let services = self.wanted.iter().map(|name| (Kind::Service, name.clone()));
                of(Kind::Index).chain(services).chain([own]).chain(had).collect()
            }
        };
        for (kind, name) in candidates {
            if self.wants(kind, &name) && self.differs(published, kind, &name) {
                self.owed.insert((kind, name));
            }
        }
        self.seen = Some(published.generation());
    }

    fn differs(&self, published: &Published, kind: Kind, name: &str) -> bool {
        let has = self.has[kind as usize].get(name).copied();
        published.get(kind, name).map(|encoded| encoded.version) != has
    }

    /// Takes resources of one kind off what is owed, as many as fit.
    fn response(
        &mut self,
        published: &Published,
        kind: Kind,
        bytes_max: usize,
    ) -> DeltaDiscoveryResponse {
        let mut response =
            DeltaDiscoveryResponse { type_url: kind.type_url().into(), ..Default::default() };
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some((_, name)) = self.owed.first().filter(|(of, _)| *of == kind).cloned() else {
                break;
            };
            self.owed.remove(&(kind, name.clone()));
            self.rejected.remove(&(kind, name.clone()));
            let has = &mut self.has[kind as usize];
            match published.get(kind, &name) {
                Some(encoded) => {
                    bytes += encoded.bytes.len() + name.len() + 64;
                    has.insert(name.clone(), encoded.version);
                    response.resources.push(resource(kind, &name, encoded));
                }
                // Gone, or never there: either way the proxy has to know.
                None => {
                    bytes += name.len() + 16;
                    has.remove(&name);
                    response.removed_resources.push(name.to_string());
                }
            }
        }
        response
    }
}

fn resource(kind: Kind, name: &str, encoded: &Encoded) -> Resource {
    Resource {
        name: name.into(),
        version: format!("{:016x}", encoded.version),
        resource: Some(Any { type_url: kind.type_url().into(), value: encoded.bytes.clone() }),
    }
}
