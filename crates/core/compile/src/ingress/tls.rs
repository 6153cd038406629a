//! Certificates of Ingress.

use std::net::SocketAddr;
use std::sync::Arc;

use weft_model::id::ListenerId;
use weft_model::listener::{Certificate, ClientAuth, TlsEntry, TlsOptions};

use super::{covers, is_host};
use crate::context::{Context, Output};
use crate::remark::Place;
use crate::traefik::Borrower;
use weft_resources::kubernetes::Ingress;

/// What an Ingress shows by server name.
pub(super) struct Shown {
    entries: Vec<TlsEntry>,
    /// For every other name.
    default: Option<TlsEntry>,
    options: Arc<TlsOptions>,
}

// === impl Shown ===

impl Shown {
    /// Collects the certificates of an Ingress and of the command line. Options with a name also
    /// hold for hosts without a certificate of their own, which are shown the default one.
    pub(super) fn new(
        borrower: Borrower<'_>,
        ingress: &Ingress,
        (name, options): &(Option<Box<str>>, Arc<TlsOptions>),
        hosts: &[&str],
        out: &mut Output,
    ) -> Self {
        // The same as for Traefik's routers, which may share the address.
        let site = format!("traefik/{}", name.as_deref().unwrap_or("default"));
        let entry = |host: &str, certificate: &Arc<Certificate>| TlsEntry {
            host: host.into(),
            deep: false,
            certificates: vec![Arc::clone(certificate)],
            options: Arc::clone(options),
            site: site.as_str().into(),
        };
        let own = of_ingress(borrower, ingress, out);
        let mut entries: Vec<TlsEntry> =
            own.iter().map(|(host, certificate)| entry(host, certificate)).collect();
        let (given, default) = of_command_line(borrower.context);
        if let Some((certificate, _)) = default.as_ref().zip(name.as_ref()) {
            for host in hosts.iter().filter(|host| !host.is_empty()) {
                if !is_covered(&entries, host) {
                    entries.push(entry(host, certificate));
                }
            }
        }
        let usual = |host: &str, certificate: &Arc<Certificate>| TlsEntry {
            options: Arc::new(TlsOptions::modern()),
            site: "traefik/default".into(),
            ..entry(host, certificate)
        };
        entries.extend(
            given.iter().flat_map(|certificate| {
                certificate.names.iter().map(|name| usual(name, certificate))
            }),
        );
        let default = default.map(|certificate| usual("", &certificate));
        Self { entries, default, options: Arc::clone(options) }
    }

    /// Whether clients of a host are asked for certificates as its options say.
    pub(super) fn is_enforced(&self, host: &str) -> bool {
        self.options.client_auth == ClientAuth::None
            || !host.is_empty() && is_covered(&self.entries, host)
    }

    /// Puts them where connections arrive.
    pub(super) fn serve(&self, addrs: impl Iterator<Item = SocketAddr>, out: &mut Output) {
        for addr in addrs {
            let port = addr.port();
            let draft = out.drafts.at(addr, || ListenerId::new(format!("ingress:{port}")));
            draft.entries.extend(self.entries.iter().cloned());
            draft.default = draft.default.take().or_else(|| self.default.clone());
            draft.tls.http_enabled = true;
        }
    }
}

fn is_covered(entries: &[TlsEntry], host: &str) -> bool {
    entries.iter().any(|entry| covers(&entry.host, host))
}

/// Host and certificate of each pair that `tls` names.
fn of_ingress(
    borrower: Borrower<'_>,
    ingress: &Ingress,
    out: &mut Output,
) -> Vec<(Box<str>, Arc<Certificate>)> {
    let mut pairs: Vec<(Box<str>, Arc<Certificate>)> = Vec::new();
    for (index, tls) in ingress.tls.iter().enumerate() {
        let Some(secret) = &tls.secret else { continue };
        let namespace = borrower.resource.namespace();
        let field = format!("spec.tls[{index}]");
        let certificate = match borrower.context.certificate(namespace, &secret.value) {
            Ok(certificate) => certificate,
            Err(error) => {
                let message = format!("{error}; the default certificate is served");
                let field = format!("{field}.secretName");
                let place = Place::new(borrower.resource, secret.at, &field);
                place.error_fixed_by(out, message, error.fix());
                continue;
            }
        };
        if tls.hosts.is_empty() {
            let names = certificate.names.iter();
            pairs.extend(names.map(|name| (name.clone(), Arc::clone(&certificate))));
        }
        for host in &tls.hosts {
            let name = host.value.to_ascii_lowercase();
            if name.is_empty() || !is_host(&name) {
                let message = format!("`{}` is not a host name", host.value);
                let field = format!("{field}.hosts");
                Place::new(borrower.resource, host.at, &field).error(out, message);
                continue;
            }
            pairs.push((name.into(), Arc::clone(&certificate)));
        }
    }
    pairs
}

/// Certificates of the command line, and the one for every other name.
fn of_command_line(context: &Context<'_>) -> (Vec<Arc<Certificate>>, Option<Arc<Certificate>>) {
    let read = |pair: &crate::PemPair| {
        context.certificates.of_pair(&pair.origin, &pair.chain, &pair.key).0
    };
    let given: Vec<Arc<Certificate>> =
        context.options.certificates.iter().filter_map(read).collect();
    let made = context.options.self_signed.as_ref().and_then(read);
    let default = given.first().cloned().or(made);
    (given, default)
}
