//! From a name in a document to the resource it means.

use std::sync::Arc;

use weft_resources::traefik::file;
use weft_resources::traefik::{GROUP, ObjectRef};
use weft_resources::{Key, Resource};

use crate::certificates::InvalidCertificate;
use crate::context::Scope;
use crate::remark::Fix;

/// Where names without a provider are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home<'a> {
    /// Custom resources of this namespace.
    Namespace(&'a str),
    /// The file provider.
    File,
}

/// Why a name means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
    pub(super) fix: Option<Fix>,
}

// === impl Missing ===

impl Missing {
    /// Something that is wrong and speaks for itself.
    pub(super) fn because(message: impl Into<String>) -> Self {
        Self { message: message.into(), fix: None }
    }

    /// A certificate that cannot be had.
    pub(super) fn certificate(error: &InvalidCertificate) -> Self {
        Self { message: error.to_string(), fix: error.fix() }
    }

    /// What `name` calls a resource that is not in force: it is rejected, or not there at all.
    pub(super) fn resource(scope: &Scope<'_>, key: Key, name: &str) -> Self {
        match scope.rejected(&key) {
            Some((file, line)) => Self {
                message: format!("{name} ({file}:{line}) is rejected"),
                fix: Some("correct what is said about it".into()),
            },
            None => Self { message: format!("{name} is not found"), fix: Some(Fix::Find(key)) },
        }
    }
}

// === impl Home ===

impl<'a> Home<'a> {
    /// The home of what a resource says.
    pub(super) fn of(resource: &'a Resource) -> Self {
        if resource.key.group == file::GROUP {
            Self::File
        } else {
            Self::Namespace(resource.namespace())
        }
    }

    /// The namespace of Secrets and Services; the file provider has none of its own.
    pub(super) fn namespace(self) -> &'a str {
        match self {
            Self::Namespace(namespace) => namespace,
            Self::File => weft_resources::resource::DEFAULT_NAMESPACE,
        }
    }
}

/// The name of a resource in ids and messages: `shop/limit`, or `limit@file`.
pub(super) fn label(resource: &Resource) -> String {
    match Home::of(resource) {
        Home::Namespace(namespace) => format!("{namespace}/{}", resource.name()),
        Home::File => format!("{}@file", resource.name()),
    }
}

/// The namespace that a reference means, if it may.
pub(super) fn namespace<'a>(
    scope: &Scope<'_>,
    home: Home<'a>,
    reference: &'a ObjectRef,
) -> Result<&'a str, Missing> {
    let own = home.namespace();
    let Some(namespace) = reference.namespace.as_deref() else { return Ok(own) };
    if namespace != own && home != Home::File && !scope.options().allow_cross_namespace {
        return Err(Missing {
            message: format!(
                "`{}` is in namespace `{namespace}`, and references to other namespaces are not \
                 allowed",
                reference.name
            ),
            fix: Some("start with --allow-cross-namespace".into()),
        });
    }
    Ok(namespace)
}

/// The resource of a kind that a reference means.
pub(super) fn locate<'a>(
    scope: &Scope<'a>,
    kind: &'static str,
    home: Home<'_>,
    reference: &ObjectRef,
) -> Result<&'a Arc<Resource>, Missing> {
    let (name, provider) = match reference.name.rsplit_once('@') {
        Some((name, provider)) => (name, Some(provider)),
        None => (&*reference.name, None),
    };
    let key = match (provider, home) {
        (Some("file"), _) | (None, Home::File) => Key::new(file::GROUP, kind, "", name),
        (None, Home::Namespace(_)) => {
            Key::new(GROUP, kind, namespace(scope, home, reference)?, name)
        }
        (Some("kubernetescrd"), _) => match joined(scope, kind, name) {
            Some(found) => return Ok(found),
            // Where the namespace ends is not known.
            None => Key::new(GROUP, kind, home.namespace(), name),
        },
        (Some(other), _) => {
            return Err(Missing {
                message: format!("there is no provider `{other}` (in `{}`)", reference.name),
                fix: Some("use @file or @kubernetescrd".into()),
            });
        }
    };
    if let Some(found) = scope.get(key.clone()).filter(|_| provider != Some("kubernetescrd")) {
        return Ok(found);
    }
    let name = match (provider, home) {
        (None, Home::Namespace(_)) => format!("{kind} `{}/{name}`", key.namespace),
        _ => format!("{kind} `{}`", reference.name),
    };
    Err(Missing::resource(scope, key, &name))
}

/// `shop-limit@kubernetescrd` is `limit` in `shop`; names and namespaces may contain dashes too.
fn joined<'a>(scope: &Scope<'a>, kind: &'static str, name: &str) -> Option<&'a Arc<Resource>> {
    name.match_indices('-')
        .find_map(|(at, _)| scope.get(Key::new(GROUP, kind, &name[..at], &name[at + 1..])))
}
