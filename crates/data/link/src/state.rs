//! What a proxy has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weft_model::Generation;
use weft_model::id::ServiceName;
use weft_model::mesh::{Directory, Service, Workload};

/// A resource with its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Versioned<T> {
    /// As the control plane has given it.
    pub version: Box<str>,
    /// The resource.
    pub value: Arc<T>,
}

/// What a proxy has of the mesh: all of one generation, as far as it concerns it. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The generation.
    pub generation: Generation,
    /// Every service, in short.
    pub index: Arc<Directory>,
    /// The services that were asked for, in full.
    pub services: Arc<BTreeMap<ServiceName, Versioned<Service>>>,
    /// Services that were asked for and do not exist.
    pub missing: Arc<BTreeSet<ServiceName>>,
    /// The workload beside this proxy; `None` until the control plane knows it.
    pub workload: Option<Versioned<Workload>>,
}
