//! What a control plane knows, all of it.

use serde::{Deserialize, Serialize};

use crate::certificates::CertificatesView;
use crate::config::{ProblemView, ResourceView};
use crate::proxies::ProxiesView;
use crate::rotation::RotationView;

/// Answer of `/config` of a control plane, without anything secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ControlDump {
    /// The newest generation.
    pub generation: u64,
    /// What proxies can have of it.
    pub published: PublishedView,
    /// What became of each document.
    pub resources: Vec<ResourceView>,
    /// Everything to say about the documents, by file and line.
    pub problems: Vec<ProblemView>,
    /// What each proxy has in force.
    pub proxies: ProxiesView,
    /// Every certificate, its age, and what would break when.
    pub certificates: CertificatesView,
    /// How far a rotation of the root is.
    pub rotation: RotationView,
}

/// Names of what proxies can have, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PublishedView {
    /// Of entries of the index.
    pub index: Vec<String>,
    /// Of services.
    pub services: Vec<String>,
    /// Of workloads.
    pub workloads: Vec<String>,
}
