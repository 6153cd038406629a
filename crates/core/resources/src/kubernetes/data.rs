//! Secret, ConfigMap, Namespace and ServiceAccount.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::service::{Distribution, distribution};
use crate::metadata::Annotations;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// A Secret (core v1): named bytes. `stringData` wins over `data`, as the API server merges them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// `type`, such as `kubernetes.io/tls`; `Opaque` when absent.
    pub kind: Box<str>,
    /// The values, decoded. Never logged or dumped.
    pub data: BTreeMap<Box<str>, Box<[u8]>>,
}

/// A ConfigMap (core v1): named texts or bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMap {
    /// The values of `data` and `binaryData`.
    pub data: BTreeMap<Box<str>, Box<[u8]>>,
}

/// A Namespace (core v1). Its labels are the resource's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace {
    /// Which endpoints of its Services come first, by Istio's annotation; `None` when nothing is said.
    pub distribution: Option<Spanned<Distribution>>,
}

/// A ServiceAccount (core v1): a name that identities are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServiceAccount;

// === impl Secret ===

impl Secret {
    /// A value by name, if it is there and not empty.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.data.get(name).map(|value| &**value).filter(|value| !value.is_empty())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.data.keys().collect();
        f.debug_struct("Secret").field("kind", &self.kind).field("names", &names).finish()
    }
}

// === impl ConfigMap ===

impl ConfigMap {
    /// A value by name, if it is there and not empty.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.data.get(name).map(|value| &**value).filter(|value| !value.is_empty())
    }
}

/// Reads a Namespace.
pub(crate) fn read_namespace(reader: &Reader<'_, '_>) -> Namespace {
    reader.skip("spec");
    Namespace { distribution: distribution(&Annotations::of(reader)) }
}

/// Reads a Secret.
pub(crate) fn read_secret(reader: &Reader<'_, '_>) -> Option<Secret> {
    reader.skip("immutable");
    let kind = reader.string("type").unwrap_or_else(|| "Opaque".into());
    let mut data = encoded(reader.take("data"));
    data.extend(texts(reader.take("stringData")));
    Some(Secret { kind, data })
}

/// Reads a ConfigMap.
pub(crate) fn read_config_map(reader: &Reader<'_, '_>) -> Option<ConfigMap> {
    reader.skip("immutable");
    let mut data = encoded(reader.take("binaryData"));
    data.extend(texts(reader.take("data")));
    Some(ConfigMap { data })
}

fn texts(field: Option<Field<'_, '_>>) -> BTreeMap<Box<str>, Box<[u8]>> {
    let pairs = field.map(|field| field.text_map()).unwrap_or_default();
    pairs.into_iter().map(|(name, text)| (name, text.into_boxed_bytes())).collect()
}

/// Base64 as `kubectl` writes it; line breaks inside, which folded YAML leaves as blanks, are
/// accepted.
fn encoded(field: Option<Field<'_, '_>>) -> BTreeMap<Box<str>, Box<[u8]>> {
    let mut values = BTreeMap::new();
    let Some(field) = field else { return values };
    let Some(reader) = field.reader() else { return values };
    for (name, field) in reader.rest() {
        if field.is_null() {
            values.insert(name.into(), Box::default());
            continue;
        }
        let Some(text) = field.text() else { continue };
        let compact: String = text.split_ascii_whitespace().collect();
        match STANDARD.decode(compact) {
            Ok(bytes) => {
                values.insert(name.into(), bytes.into());
            }
            Err(_) => field.error(
                format!("the value of `{name}` is not base64"),
                Some("put plain text under `stringData` (Secret) or `data` (ConfigMap)".into()),
            ),
        }
    }
    values
}
