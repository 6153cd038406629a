//! MeshConfig: what a ConfigMap `istio` says under `mesh`.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::destination_rule::LocalityLb;
use super::sidecar::{OutboundMode, outbound};
use super::value::ExportTo;
use super::virtual_service::Retries;
use crate::problem::{Pos, Problem};
use crate::read::{Path, Reader, Sink};
use crate::yaml::{Chunk, parse_chunk};

/// The name of the ConfigMap, in the root namespace.
pub const CONFIG_MAP: &str = "istio";

/// The key of the text in it.
pub const CONFIG_MAP_KEY: &str = "mesh";

/// What holds for a whole mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeshConfig {
    /// What becomes of calls to what the mesh does not know.
    pub outbound: Option<OutboundMode>,
    /// The name of those that trust one authority.
    pub trust_domain: Option<Box<str>>,
    /// What is sent again where routes do not say.
    pub default_http_retries: Option<Retries>,
    /// What places are to each other where DestinationRules do not say.
    pub locality: Option<LocalityLb>,
    /// Who sees what does not say so itself.
    pub default_export_to: DefaultExportTo,
}

/// Who sees documents that do not say so themselves; everyone where it is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DefaultExportTo {
    /// Services and ServiceEntries.
    pub services: Option<ExportTo>,
    /// VirtualServices.
    pub virtual_services: Option<ExportTo>,
    /// DestinationRules.
    pub destination_rules: Option<ExportTo>,
}

/// What has the same effect here without being said, or none that anybody misses.
const BOOKKEEPING: &[&str] = &["defaultConfig", "rootNamespace", "configSources"];

// === impl MeshConfig ===

impl MeshConfig {
    /// Reads the text. Problems are those of the ConfigMap as a whole: the places in a text inside
    /// of a text would lead nowhere.
    pub fn read(file: &Arc<str>, text: &str) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let documents = parse_chunk(file, Chunk { text, line: 1 }, &mut problems);
        let sink = Sink::new(Arc::clone(file), 1);
        let mut config = Self::default();
        if let Some(reader) =
            documents.first().and_then(|node| Reader::new(node, Path::Root, &sink))
        {
            config = read(&reader);
        }
        problems.extend(sink.into_problems());
        for problem in &mut problems {
            problem.at = Pos::FIRST;
            let dot = if problem.path.is_empty() { "" } else { "." };
            problem.path = format!("data.{CONFIG_MAP_KEY}{dot}{}", problem.path).into();
        }
        (config, problems)
    }
}

/// Reads what stands in the text.
pub(crate) fn read(reader: &Reader<'_, '_>) -> MeshConfig {
    BOOKKEEPING.iter().for_each(|name| reader.skip(name));
    if let Some(field) = reader.take("enableAutoMtls")
        && field.bool() == Some(false)
    {
        let fix = "disable it by PeerAuthentication".into();
        field.warn("mutual TLS cannot be switched off for callers", Some(fix));
    }
    let config = MeshConfig {
        outbound: reader.take("outboundTrafficPolicy").and_then(|field| outbound(&field)),
        trust_domain: reader.string("trustDomain").filter(|text| !text.is_empty()),
        default_http_retries: reader.nested("defaultHttpRetryPolicy", Retries::read),
        locality: reader.nested("localityLbSetting", LocalityLb::read),
        default_export_to: DefaultExportTo {
            services: export_to(reader, "defaultServiceExportTo"),
            virtual_services: export_to(reader, "defaultVirtualServiceExportTo"),
            destination_rules: export_to(reader, "defaultDestinationRuleExportTo"),
        },
    };
    for (name, field) in reader.rest() {
        field.warn(format!("`{name}` has no effect here"), None);
    }
    config
}

fn export_to(reader: &Reader<'_, '_>, name: &'static str) -> Option<ExportTo> {
    ExportTo::take(reader, name).map(|export| export.value)
}
