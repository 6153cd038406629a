//! Route tables of a realistic shape, as Traefik IngressRoute documents.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use crate::load::Target;

/// `hosts` hosts with `per_host` path prefixes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) hosts: usize,
    pub(crate) per_host: usize,
    /// On the `websecure` entry point instead of `web`.
    pub(crate) is_tls: bool,
}

/// The name and port of the only backend.
pub(crate) const BACKEND: &str = "origin:9000";

// === impl Table ===

impl Table {
    /// 100 hosts, 1,000 routes.
    pub(crate) const REALISTIC: Self = Self { hosts: 100, per_host: 10, is_tls: false };

    pub(crate) fn routes(self) -> usize {
        self.hosts * self.per_host
    }

    /// A host in the middle of the table, as sent by the load.
    pub(crate) fn host(self) -> String {
        format!("host{}.example.com", self.hosts / 2)
    }

    /// A path below a prefix in the middle of that host's routes.
    pub(crate) fn path(self) -> String {
        format!("/svc{}/api/v1/items?id=42", self.per_host / 3)
    }

    /// A request for the middle of the table, sent to `addr`.
    pub(crate) fn target(self, addr: SocketAddr) -> Target {
        Target { addr, host: self.host(), path: self.path() }
    }

    /// Writes one file for each host.
    pub(crate) fn write(self, folder: &Path) -> anyhow::Result<()> {
        for host in 0..self.hosts {
            let path = folder.join(format!("host{host:05}.yaml"));
            std::fs::write(&path, self.documents(host))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// The documents of all hosts from `first` on, each with its separator in front.
    pub(crate) fn documents_from(self, first: usize) -> String {
        (first..self.hosts).map(|host| format!("---\n{}", self.documents(host))).collect()
    }

    /// The routes of one host; the last one serves the large answers.
    fn documents(self, host: usize) -> String {
        let mut text = format!(
            "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata:\n  name: host{host}\n\
             spec:\n  entryPoints: [{}]\n  routes:\n",
            if self.is_tls { "websecure" } else { "web" },
        );
        for route in 0..self.per_host {
            let is_large = self.per_host > 1 && route + 1 == self.per_host;
            let prefix = if is_large { "/100k".to_owned() } else { format!("/svc{route}/") };
            text.push_str(&rule(&format!(
                "Host(`host{host}.example.com`) && PathPrefix(`{prefix}`)"
            )));
        }
        if self.is_tls {
            text.push_str("  tls: {}\n");
        }
        text
    }
}

/// One entry of `spec.routes` that leads to the backend.
pub(crate) fn rule(matcher: &str) -> String {
    let (name, port) = BACKEND.split_once(':').unwrap_or((BACKEND, "80"));
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "  - kind: Rule\n    match: {matcher}\n    services:\n    - name: {name}\n      \
         port: {port}\n",
    );
    text
}

#[cfg(test)]
mod tests;
