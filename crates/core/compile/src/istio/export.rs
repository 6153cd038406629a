//! For whom documents of Istio are.

use weft_resources::istio::value::{ExportTo, NamespaceRef};

/// The namespaces for whose callers a document of the namespace `home` is, in order; none for all.
/// What is exported to nobody is for its own.
pub(crate) fn namespaces(export: Option<&ExportTo>, home: &str) -> Vec<Box<str>> {
    match export {
        None | Some(ExportTo::Everyone) => Vec::new(),
        Some(ExportTo::Nobody) => vec![home.into()],
        Some(ExportTo::Namespaces(all)) => {
            let name = |one: &NamespaceRef| match one {
                NamespaceRef::Own => home.into(),
                NamespaceRef::Named(name) => name.clone(),
            };
            let mut names: Vec<Box<str>> = all.iter().map(name).collect();
            names.sort();
            names
        }
    }
}
