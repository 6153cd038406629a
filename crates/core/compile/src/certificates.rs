//! Certificates and keys: from PEM to names, and checks that they belong together.

mod key;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use weft_model::listener::Certificate;
use weft_resources::kubernetes::Secret;
use weft_resources::{Key, Kind, Resource};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::remark::Fix;

/// The value of a Secret that holds authorities.
const AUTHORITIES: &str = "ca.crt";

/// Certificates by where they came from, kept while that stays the same.
#[derive(Debug, Default)]
pub(crate) struct Store<'a> {
    now: RefCell<Known>,
    before: Option<&'a Known>,
}

/// A Secret, and what it holds.
type Inspected = (Arc<Resource>, Result<Arc<Certificate>, InvalidCertificate>);

/// What is known of certificates.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Of Secrets, by address; the `Arc` keeps the address from being used again.
    secrets: HashMap<usize, Inspected>,
    /// The last good form of pairs of files, by the chain's.
    pairs: HashMap<Box<str>, Arc<Certificate>>,
}

/// A certificate that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidCertificate {
    /// The Secret does not exist.
    #[error("secret `{namespace}/{name}` is not found")]
    NoSecret {
        /// Namespace.
        namespace: Box<str>,
        /// Name.
        name: Box<str>,
    },
    /// The Secret is written and cannot be read.
    #[error("secret `{name}` ({place}) is rejected")]
    Rejected {
        /// Namespace and name.
        name: String,
        /// File and line.
        place: String,
    },
    /// The Secret lacks a value.
    #[error("secret `{name}` has no `{value}`")]
    NoValue {
        /// Namespace and name.
        name: String,
        /// `tls.crt`, `tls.key` or `ca.crt`.
        value: &'static str,
    },
    /// The chain has no certificate, or a broken one.
    #[error("{origin} has no valid certificate: {reason}")]
    Chain {
        /// Where it came from.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// The key is none.
    #[error("{origin} has no valid private key")]
    Key {
        /// Where it came from.
        origin: String,
    },
    /// They do not belong together.
    #[error("the key of {origin} does not belong to its certificate")]
    Mismatch {
        /// Where it came from.
        origin: String,
    },
}

// === impl InvalidCertificate ===

impl InvalidCertificate {
    /// A Secret without authorities.
    pub(crate) fn no_authority(namespace: &str, name: &str) -> Self {
        Self::NoValue { name: format!("{namespace}/{name}"), value: AUTHORITIES }
    }

    /// What the user may do.
    pub(crate) fn fix(&self) -> Option<Fix> {
        Some(match self {
            Self::NoSecret { namespace, name } => {
                Fix::Find(Key::new("", "Secret", namespace.clone(), name.clone()))
            }
            Self::Rejected { .. } => "correct what is said about it".into(),
            Self::NoValue { value: AUTHORITIES, .. } => "give it authorities, PEM".into(),
            Self::NoValue { .. } => "give it both `tls.crt` and `tls.key`, PEM".into(),
            Self::Mismatch { .. } => "give the key that the certificate was made for".into(),
            Self::Chain { .. } | Self::Key { .. } => return None,
        })
    }
}

// === impl Store ===

impl<'a> Store<'a> {
    /// A store that knows what was known before.
    pub(crate) fn after(before: Option<&'a Known>) -> Self {
        Self { now: RefCell::default(), before }
    }

    /// The certificate of a Secret.
    pub(crate) fn of_secret(
        &self,
        resource: &Arc<Resource>,
        secret: &Secret,
    ) -> Result<Arc<Certificate>, InvalidCertificate> {
        let address = Arc::as_ptr(resource) as usize;
        if let Some((_, known)) = self.now.borrow().secrets.get(&address) {
            return known.clone();
        }
        let known = match self.before.and_then(|before| before.secrets.get(&address)) {
            Some((_, known)) => known.clone(),
            None => of_secret(resource, secret).map(Arc::new),
        };
        let entry = (Arc::clone(resource), known.clone());
        self.now.borrow_mut().secrets.insert(address, entry);
        known
    }

    /// The certificate of a pair of files. Two files are never replaced at the same moment: while
    /// they do not belong together, the last pair that did stays, along with what is wrong.
    pub(crate) fn of_pair(
        &self,
        origin: &str,
        chain: &[u8],
        key: &[u8],
    ) -> (Option<Arc<Certificate>>, Option<InvalidCertificate>) {
        let mut now = self.now.borrow_mut();
        let known = self.before.and_then(|before| before.pairs.get(origin));
        let known = now.pairs.get(origin).or(known).cloned();
        let (found, error) = match from_pem(origin, chain, key) {
            Ok(read) => match known {
                Some(known) if *known == read => (Some(known), None),
                _ => (Some(Arc::new(read)), None),
            },
            Err(error) => (known, Some(error)),
        };
        if let Some(found) = &found {
            now.pairs.insert(origin.into(), Arc::clone(found));
        }
        (found, error)
    }

    /// What is known now.
    pub(crate) fn into_known(self) -> Known {
        let mut now = self.now.into_inner();
        // What was not asked for again, because all around it stayed the same.
        for (origin, certificate) in self.before.iter().flat_map(|before| &before.pairs) {
            now.pairs.entry(origin.clone()).or_insert_with(|| Arc::clone(certificate));
        }
        now
    }
}

/// A certificate from PEM texts.
pub(crate) fn from_pem(
    origin: &str,
    chain: &[u8],
    key: &[u8],
) -> Result<Certificate, InvalidCertificate> {
    let broken =
        |reason: &str| InvalidCertificate::Chain { origin: origin.into(), reason: reason.into() };
    let mut names = None;
    for pem in Pem::iter_from_buffer(chain) {
        let pem = pem.map_err(|_| broken("it is not PEM"))?;
        if pem.label != "CERTIFICATE" {
            continue;
        }
        let (_, parsed) = X509Certificate::from_der(&pem.contents)
            .map_err(|_| broken("it is not an X.509 certificate"))?;
        if names.is_none() {
            match key::matches(&parsed, key) {
                None => return Err(InvalidCertificate::Key { origin: origin.into() }),
                Some(false) => return Err(InvalidCertificate::Mismatch { origin: origin.into() }),
                Some(true) => names = Some(dns_names(&parsed)),
            }
        }
    }
    let names = names.ok_or_else(|| broken("there is none in it"))?;
    Ok(Certificate { origin: origin.into(), chain_pem: chain.into(), key_pem: key.into(), names })
}

/// Whether PEM text holds at least one certificate and no broken one.
pub(crate) fn check_roots(origin: &str, pem: &[u8]) -> Result<(), InvalidCertificate> {
    let broken =
        |reason: &str| InvalidCertificate::Chain { origin: origin.into(), reason: reason.into() };
    let mut found = false;
    for pem in Pem::iter_from_buffer(pem) {
        let pem = pem.map_err(|_| broken("it is not PEM"))?;
        if pem.label == "CERTIFICATE" {
            X509Certificate::from_der(&pem.contents)
                .map_err(|_| broken("it is not an X.509 certificate"))?;
            found = true;
        }
    }
    if found { Ok(()) } else { Err(broken("there is none in it")) }
}

/// The authorities of a Secret, or of the one beside it whose name ends in `-cacert`; `None` where
/// neither has any. `find` looks Secrets up.
///
/// # Errors
///
/// Why they cannot be used, or that there is no such Secret.
pub(crate) fn authorities<'a>(
    find: &dyn Fn(Key) -> Option<&'a Arc<Resource>>,
    namespace: &str,
    name: &str,
) -> Result<Option<Arc<[u8]>>, InvalidCertificate> {
    let mut is_there = false;
    for name in [name.to_owned(), format!("{name}-cacert")] {
        let found = find(Key::new("", "Secret", namespace, &*name));
        let Some(Kind::Secret(secret)) = found.map(|found| &found.body) else { continue };
        is_there = true;
        // The second is what Istio calls them besides.
        if let Some(pem) = secret.value(AUTHORITIES).or_else(|| secret.value("cacert")) {
            check_roots(&format!("secret {namespace}/{name}"), pem)?;
            return Ok(Some(pem.into()));
        }
    }
    let missing =
        || InvalidCertificate::NoSecret { namespace: namespace.into(), name: name.into() };
    if is_there { Ok(None) } else { Err(missing()) }
}

/// The same, where there have to be some.
pub(crate) fn needed_authorities<'a>(
    find: &dyn Fn(Key) -> Option<&'a Arc<Resource>>,
    namespace: &str,
    name: &str,
) -> Result<Arc<[u8]>, InvalidCertificate> {
    let found = authorities(find, namespace, name)?;
    found.ok_or_else(|| InvalidCertificate::no_authority(namespace, name))
}

fn of_secret(resource: &Resource, secret: &Secret) -> Result<Certificate, InvalidCertificate> {
    let name = format!("{}/{}", resource.namespace(), resource.name());
    let value = |value: &'static str, other: &str| {
        let missing = || InvalidCertificate::NoValue { name: name.clone(), value };
        secret.value(value).or_else(|| secret.value(other)).ok_or_else(missing)
    };
    // The second is what Istio calls them besides.
    from_pem(&format!("secret {name}"), value("tls.crt", "cert")?, value("tls.key", "key")?)
}

/// DNS names of a certificate, lower case; its common name when it has no other.
fn dns_names(certificate: &X509Certificate<'_>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push(name.trim_end_matches('.').to_ascii_lowercase().into());
            }
        }
    }
    if names.is_empty() {
        let common = certificate.subject().iter_common_name().next();
        names.extend(
            common.and_then(|name| name.as_str().ok()).map(|name| name.to_ascii_lowercase().into()),
        );
    }
    names
}
