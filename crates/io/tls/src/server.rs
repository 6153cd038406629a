//! The server side: one configuration per distinct set of certificates and options, chosen by
//! server name.

mod client_auth;
mod resolver;
mod tickets;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use weft_model::listener::{Certificate, ClientAuth, TlsEntry, TlsOptions, TlsTable};

use crate::certificate::{self, InvalidCertificate};
use crate::names::{self, InvalidOptions};
use resolver::Resolver;
use tickets::Ticketers;

/// TLS configurations by server name, ready for handshakes. Clones share everything.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: TlsTable,
    exact: HashMap<Box<str>, Arc<Built>>,
    /// Wildcards that stand for one label, by what follows `*.`.
    shallow: HashMap<Box<str>, Arc<Built>>,
    /// Wildcards that stand for any number of labels.
    deep: HashMap<Box<str>, Arc<Built>>,
    default: Option<Arc<Built>>,
    /// By a hash of what it was made from, to find it again at the next build.
    built: HashMap<u64, Vec<Arc<Parts>>>,
    tickets: Ticketers,
    errors: Vec<InvalidTls>,
}

/// One entry as it is served.
#[derive(Debug)]
struct Built {
    host: Box<str>,
    site: Box<str>,
    /// `None` when the entry is invalid: its handshakes are refused.
    parts: Option<Arc<Parts>>,
}

/// What a configuration was made from, and the configuration.
#[derive(Debug)]
struct Parts {
    certificates: Vec<Arc<Certificate>>,
    options: Arc<TlsOptions>,
    config: Arc<ServerConfig>,
}

/// The configuration that a server name leads to.
#[derive(Debug, Clone)]
pub struct Selected {
    entry: Arc<Built>,
    parts: Arc<Parts>,
}

/// No configuration for a server name: the handshake is refused with `unrecognized_name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSelected {
    /// No entry covers the name and there is no default.
    #[error("no certificate is configured for the server name")]
    NoEntry,
    /// Strict server names are on and no certificate covers the name.
    #[error("strict server names are on and no certificate covers the name")]
    Strict,
    /// The entry that covers the name is invalid; see [`ServerTls::build_partial`].
    #[error("the certificates or options for the server name are invalid")]
    Invalid,
}

/// An entry that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("TLS for {}: {reason}", shown(host))]
pub struct InvalidTls {
    /// The entry's host; empty for the default entry.
    pub host: Box<str>,
    /// What is wrong.
    pub reason: InvalidEntry,
}

/// Why an entry cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    /// It has no certificate.
    #[error("there is no certificate")]
    NoCertificate,
    /// One of its certificates is invalid.
    #[error("certificate of {origin}: {reason}")]
    Certificate {
        /// Where it came from.
        origin: Box<str>,
        /// What is wrong.
        reason: InvalidCertificate,
    },
    /// Its options cannot be honoured.
    #[error("{0}")]
    Options(InvalidOptions),
    /// The authorities for client certificates are invalid.
    #[error("client certificate authorities: {0}")]
    ClientAuthorities(InvalidCertificate),
    /// The authorities for client certificates cannot serve as such.
    #[error("client certificate authorities cannot be used: {0}")]
    ClientVerifier(Box<str>),
    /// The TLS library refuses the combination.
    #[error("the combination of options is not possible: {0}")]
    Refused(Box<str>),
}

/// Builds a table, keeping from `previous` whatever is unchanged.
struct Builder<'a> {
    previous: Option<&'a Inner>,
    keys: HashMap<*const Certificate, Result<Arc<CertifiedKey>, InvalidCertificate>>,
    built: HashMap<u64, Vec<Arc<Parts>>>,
    tickets: Ticketers,
    errors: Vec<InvalidTls>,
}

// === impl ServerTls ===

impl ServerTls {
    /// Makes the configurations of a table.
    ///
    /// Entries with the same options and certificates share one. What `previous` holds already is
    /// kept: its configurations, and the keys of its session tickets, so that a change elsewhere
    /// costs nothing and clients resume across it. Of two entries with the same host the first
    /// counts.
    ///
    /// # Errors
    ///
    /// Every entry that cannot be served, with the reason.
    pub fn build(table: &TlsTable, previous: Option<&Self>) -> Result<Self, Vec<InvalidTls>> {
        match Self::build_partial(table, previous) {
            (built, errors) if errors.is_empty() => Ok(built),
            (_, errors) => Err(errors),
        }
    }

    /// The same, but an entry that cannot be served does not keep the others from being served.
    ///
    /// Handshakes for its own names are refused. They do not fall through to a wildcard or the
    /// default, whose rules for clients may be laxer, and the entry's earlier form does not go on,
    /// because what could not be put in force may be a stricter rule.
    pub fn build_partial(table: &TlsTable, previous: Option<&Self>) -> (Self, Vec<InvalidTls>) {
        let previous = previous.map(|previous| &previous.0);
        if let Some(previous) = previous
            && previous.table == *table
        {
            return (Self(previous.clone()), previous.errors.clone());
        }
        let mut builder = Builder {
            previous: previous.map(|previous| &**previous),
            keys: HashMap::new(),
            built: HashMap::new(),
            tickets: previous.map(|previous| previous.tickets.clone()).unwrap_or_default(),
            errors: Vec::new(),
        };
        let (mut exact, mut shallow, mut deep) = (HashMap::new(), HashMap::new(), HashMap::new());
        for entry in &table.entries {
            let built = builder.entry(entry);
            let host = entry.host.to_ascii_lowercase();
            let (map, key) = match host.strip_prefix("*.") {
                Some(suffix) if entry.deep => (&mut deep, suffix),
                Some(suffix) => (&mut shallow, suffix),
                None => (&mut exact, &*host),
            };
            map.entry(key.into()).or_insert(built);
        }
        let default = table.default.as_ref().map(|entry| builder.entry(entry));
        let Builder { built, mut tickets, errors, .. } = builder;
        tickets.forget_unused();
        let (table, said) = (table.clone(), errors.clone());
        let inner = Inner { table, exact, shallow, deep, default, built, tickets, errors };
        (Self(Arc::new(inner)), said)
    }

    /// The site of the entry that a host leads to (see [`TlsEntry::site`]); `None` when it leads
    /// to no entry but the default.
    pub fn site(&self, host: &str) -> Option<&str> {
        self.0.find(host).map(|built| &*built.site)
    }

    /// The configuration for a server name (lower case, without a trailing dot, as
    /// [`crate::parse_client_hello`] gives it).
    ///
    /// # Errors
    ///
    /// [`NotSelected`] when the handshake is to be refused.
    pub fn select(&self, server_name: Option<&str>) -> Result<Selected, NotSelected> {
        let found = server_name
            .and_then(|name| self.0.find(name))
            .or(self.0.default.as_ref())
            .ok_or(NotSelected::NoEntry)?;
        let parts = found.parts.as_ref().ok_or(NotSelected::Invalid)?;
        let covered = || {
            server_name.is_some_and(|name| {
                parts.certificates.iter().any(|certificate| resolver::covers(certificate, name))
            })
        };
        if parts.options.sni_strict && !covered() {
            Err(NotSelected::Strict)
        } else {
            Ok(Selected { entry: found.clone(), parts: parts.clone() })
        }
    }
}

// === impl Inner ===

impl Inner {
    fn find(&self, name: &str) -> Option<&Arc<Built>> {
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let (_, mut suffix) = name.split_once('.')?;
        if let Some(found) = self.shallow.get(suffix) {
            return Some(found);
        }
        // The longest suffix first, so that the closest wildcard wins.
        loop {
            if let Some(found) = self.deep.get(suffix) {
                return Some(found);
            }
            suffix = suffix.split_once('.')?.1;
        }
    }
}

// === impl Selected ===

impl Selected {
    /// The configuration for the handshake.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.parts.config
    }

    /// The host of the entry: `shop.example`, `*.example`, or empty for the default.
    pub fn host(&self) -> &str {
        &self.entry.host
    }

    /// The site of the entry (see [`TlsEntry::site`]).
    pub fn site(&self) -> &str {
        &self.entry.site
    }

    /// The options of the entry.
    pub fn options(&self) -> &TlsOptions {
        &self.parts.options
    }

    /// Whether a client certificate that is accepted has been verified against authorities.
    pub(crate) fn verifies_clients(&self) -> bool {
        match self.options().client_auth {
            ClientAuth::None | ClientAuth::Request | ClientAuth::RequireAny => false,
            ClientAuth::VerifyIfGiven(_)
            | ClientAuth::RequireAndVerify(_)
            | ClientAuth::Pinned(_)
            | ClientAuth::Mesh => true,
        }
    }
}

// === impl Builder ===

impl Builder<'_> {
    fn entry(&mut self, entry: &TlsEntry) -> Arc<Built> {
        let (host, site) = (entry.host.clone(), entry.site.clone());
        let parts = self.parts(entry).map_err(|reasons| {
            let with_host = |reason| InvalidTls { host: host.clone(), reason };
            self.errors.extend(reasons.into_iter().map(with_host));
        });
        Arc::new(Built { host, site, parts: parts.ok() })
    }

    fn parts(&mut self, entry: &TlsEntry) -> Result<Arc<Parts>, Vec<InvalidEntry>> {
        let hash = hash(entry);
        let same = |parts: &&Arc<Parts>| {
            parts.options == entry.options && parts.certificates == entry.certificates
        };
        let here = self.built.get(&hash).and_then(|all| all.iter().find(same));
        if let Some(parts) = here {
            return Ok(parts.clone());
        }
        let before = self.previous.and_then(|previous| previous.built.get(&hash));
        let parts = match before.and_then(|all| all.iter().find(same)) {
            Some(parts) => {
                self.tickets.keep(&entry.options);
                parts.clone()
            }
            None => Arc::new(Parts {
                certificates: entry.certificates.clone(),
                options: entry.options.clone(),
                config: Arc::new(self.config(entry)?),
            }),
        };
        self.built.entry(hash).or_default().push(parts.clone());
        Ok(parts)
    }

    fn config(&mut self, entry: &TlsEntry) -> Result<ServerConfig, Vec<InvalidEntry>> {
        let options = &*entry.options;
        let mut errors = Vec::new();
        let keys = self.keys(entry, &mut errors);
        let made = names::provider_for(options);
        let verifier = client_auth::verifier(&options.client_auth);
        let ((provider, versions), verifier) = match (made, verifier) {
            (Ok(made), Ok(verifier)) if errors.is_empty() => (made, verifier),
            (made, verifier) => {
                let invalid = made.err().into_iter().flatten();
                errors.extend(invalid.map(InvalidEntry::Options));
                errors.extend(verifier.err());
                return Err(errors);
            }
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| vec![InvalidEntry::Refused(error.to_string().into())])?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver::new(keys)));
        config.alpn_protocols = options.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        // Go's number: a client of HTTP/2 opens one connection, and each ticket costs an
        // encryption and some 250 bytes.
        config.send_tls13_tickets = usize::from(options.session_tickets);
        if options.session_tickets {
            config.ticketer = self
                .tickets
                .ticketer(options)
                .map_err(|error| vec![InvalidEntry::Refused(error.to_string().into())])?;
        }
        Ok(config)
    }

    fn keys(
        &mut self,
        entry: &TlsEntry,
        errors: &mut Vec<InvalidEntry>,
    ) -> Vec<(Arc<Certificate>, Arc<CertifiedKey>)> {
        if entry.certificates.is_empty() && entry.options.client_auth != ClientAuth::Mesh {
            errors.push(InvalidEntry::NoCertificate);
        }
        let mut keys = Vec::with_capacity(entry.certificates.len());
        for certificate in &entry.certificates {
            let loaded = self
                .keys
                .entry(Arc::as_ptr(certificate))
                .or_insert_with(|| certificate::load(certificate));
            match loaded {
                Ok(key) => keys.push((certificate.clone(), key.clone())),
                Err(reason) => errors.push(InvalidEntry::Certificate {
                    origin: certificate.origin.clone(),
                    reason: reason.clone(),
                }),
            }
        }
        keys
    }
}

// === functions ===

fn shown(host: &str) -> &str {
    if host.is_empty() { "the default entry" } else { host }
}

/// A hash that equal entries (in what a configuration is made from) share. Not secret, not stable
/// across processes.
fn hash(entry: &TlsEntry) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for certificate in &entry.certificates {
        certificate.chain_pem.hash(&mut hasher);
    }
    let TlsOptions {
        min_version,
        max_version,
        cipher_suites,
        groups,
        alpn,
        session_tickets,
        sni_strict,
        client_auth,
    } = &*entry.options;
    std::mem::discriminant(min_version).hash(&mut hasher);
    std::mem::discriminant(max_version).hash(&mut hasher);
    (cipher_suites, groups, alpn, session_tickets, sni_strict).hash(&mut hasher);
    std::mem::discriminant(client_auth).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
