//! What is spoken on a port.

use weft_model::mesh::Protocol;
use weft_resources::Resource;
use weft_resources::linkerd::{DEFAULT_OPAQUE_PORTS, OPAQUE_PORTS, ProxyProtocol};

use crate::context::Output;
use crate::mesh::scene::Scene;
use crate::remark::Place;

/// Ports on which nothing is to be detected, as an annotation lists them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OpaquePorts {
    ranges: Vec<(u16, u16)>,
    names: Vec<Box<str>>,
}

/// What is said of a port, from the strongest to the weakest.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Said<'a> {
    /// The lists of [`OpaquePorts`] that an annotation gives, in the place of the default one.
    pub(super) opaque: Option<&'a OpaquePorts>,
    /// `appProtocol`, or the protocol of a ServiceEntry.
    pub(super) declared: Option<&'a str>,
    /// The port's name, whose beginning may tell.
    pub(super) name: &'a str,
    /// Its number.
    pub(super) number: u16,
}

// === impl OpaquePorts ===

impl OpaquePorts {
    /// The list that holds for a resource: its own, or else its namespace's; `None` when neither
    /// says anything. What cannot be read is reported where it is written.
    pub(super) fn of(
        scene: &Scene<'_>,
        resource: Option<&Resource>,
        namespace: &str,
        out: &mut Output,
    ) -> Option<Self> {
        let own =
            resource.and_then(|resource| Some((resource, resource.find_annotation(OPAQUE_PORTS)?)));
        let (resource, annotation) =
            own.or_else(|| scene.namespace_annotation(namespace, OPAQUE_PORTS))?;
        let (ports, invalid) = Self::parse(&annotation.value);
        for part in invalid {
            let path = format!("metadata.annotations.{OPAQUE_PORTS}");
            let message = format!("`{part}` is no port, and no range of ports such as 8000-8010");
            Place::new(resource, annotation.at, &path).error(out, message);
        }
        Some(ports)
    }

    /// Reads numbers, ranges and names between commas; what is none of these comes second.
    pub(super) fn parse(text: &str) -> (Self, Vec<&str>) {
        let (mut ports, mut invalid) = (Self::default(), Vec::new());
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let numbers = (first.trim().parse::<u16>(), last.trim().parse::<u16>());
            let is_name = part.bytes().any(|byte| byte.is_ascii_lowercase())
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            match numbers {
                (Ok(first), Ok(last)) if 0 < first && first <= last => {
                    ports.ranges.push((first, last));
                }
                _ if is_name => ports.names.push(part.into()),
                _ => invalid.push(part),
            }
        }
        (ports, invalid)
    }

    fn contains(&self, number: u16, name: &str) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&number))
            || (!name.is_empty() && self.names.iter().any(|own| **own == *name))
    }
}

// === impl Said ===

impl Said<'_> {
    /// What is spoken: what somebody has said, or what the number usually stands for.
    pub(super) fn protocol(&self) -> Protocol {
        self.explicit().unwrap_or_else(|| self.usual())
    }

    /// What is spoken, if somebody has said so.
    pub(super) fn explicit(&self) -> Option<Protocol> {
        if self.opaque.is_some_and(|ports| ports.contains(self.number, self.name)) {
            return Some(Protocol::Tcp);
        }
        self.declared.and_then(declared).or_else(|| prefix(self.name))
    }

    /// What the number usually stands for.
    pub(super) fn usual(&self) -> Protocol {
        let is_opaque = self.opaque.is_none() && DEFAULT_OPAQUE_PORTS.contains(&self.number);
        if is_opaque { Protocol::Tcp } else { Protocol::Detect }
    }
}

/// The protocol of a word: of `appProtocol` in Istio, Linkerd and Kubernetes, or of a ServiceEntry.
/// `None` for a word that is not known.
pub(super) fn declared(word: &str) -> Option<Protocol> {
    Some(match &*word.to_ascii_lowercase() {
        "http" | "grpc-web" | "kubernetes.io/ws" => Protocol::Http,
        "http2" | "grpc" | "kubernetes.io/h2c" => Protocol::Http2,
        "https" | "tls" | "kubernetes.io/wss" => Protocol::Tls,
        "tcp" | "mongo" | "mysql" | "redis" | "linkerd.io/opaque" | "linkerd.io/tcp" => {
            Protocol::Tcp
        }
        _ => return None,
    })
}

/// The protocol that a port's name begins with: `http`, `http-api`.
fn prefix(name: &str) -> Option<Protocol> {
    let lower = name.to_ascii_lowercase();
    if lower == "grpc-web" || lower.starts_with("grpc-web-") {
        return Some(Protocol::Http);
    }
    declared(lower.split('-').next().unwrap_or_default())
}

/// The protocol of a Server; `None` when it leaves that open.
pub(super) fn of_server(protocol: ProxyProtocol) -> Option<Protocol> {
    match protocol {
        ProxyProtocol::Unknown => None,
        ProxyProtocol::Http1 => Some(Protocol::Http),
        ProxyProtocol::Http2 => Some(Protocol::Http2),
        ProxyProtocol::Opaque => Some(Protocol::Tcp),
        ProxyProtocol::Tls => Some(Protocol::Tls),
    }
}
