//! Certificate authorities in ConfigMaps and Secrets.

use std::sync::Arc;

use weft_resources::gateway_api::ObjectRef;
use weft_resources::{Kind, Resource};

use super::objects::Objects;
use crate::certificates::check_roots;

/// The key that holds authorities.
const KEY: &str = "ca.crt";

/// The authorities that `referrer` names, PEM.
///
/// # Errors
///
/// Why they cannot be used.
pub(super) fn pem<'a>(
    objects: &Objects<'a>,
    referrer: &Arc<Resource>,
    reference: &ObjectRef,
) -> Result<&'a [u8], String> {
    let kind = match (&*reference.group, &*reference.kind) {
        ("", "ConfigMap") => "ConfigMap",
        ("", "Secret") => "Secret",
        _ => return Err(format!("authorities are not read from a {}", reference.kind)),
    };
    if !objects.permits(referrer, reference) {
        return Err(format!("no ReferenceGrant allows {} to refer to {reference}", referrer.key));
    }
    let namespace = reference.namespace_or(referrer.namespace());
    let name = format!("{kind} {namespace}/{}", reference.name);
    let resource = objects
        .ctx
        .get("", kind, namespace, &reference.name)
        .ok_or_else(|| format!("{name} is not found"))?;
    let value = match &resource.body {
        Kind::ConfigMap(body) => body.value(KEY),
        Kind::Secret(body) => body.value(KEY),
        _ => None,
    };
    let value = value.ok_or_else(|| format!("{name} has no `{KEY}`"))?;
    check_roots(&name, value).map_err(|error| error.to_string())?;
    Ok(value)
}
