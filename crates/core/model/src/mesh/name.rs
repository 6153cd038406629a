//! From a host name to a service.

use super::{Directory, Listed};

/// What a host name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// The service.
    pub service: Listed<'a>,
    /// The name of one endpoint below a headless service; `None` for the service as a whole.
    pub hostname: Option<Box<str>>,
}

// === impl Directory ===

impl Directory {
    /// What `host` stands for when a workload of `namespace` says it, in a mesh whose names end in
    /// `domain`; `None` when it is no name of the mesh.
    ///
    /// A whole name wins: `payments.shop.svc.cluster.local`, or the host of a ServiceEntry. Then come
    /// `payments`, `payments.shop` and `payments.shop.svc`, completed in the order in which resolvers
    /// complete names in Kubernetes, and names of endpoints (`db-0.db`) of headless services in the
    /// same way. Last come wildcards (`*.example.com`), the longest first. Case does not matter, and
    /// a dot at the end says that the name is whole.
    pub fn resolve(&self, host: &str, namespace: &str, domain: &str) -> Option<Named<'_>> {
        let lower = host.to_ascii_lowercase();
        let (host, is_whole) = match lower.strip_suffix('.') {
            Some(host) => (host, true),
            None => (lower.as_str(), false),
        };
        if host.is_empty() || host.starts_with(['.', '*']) {
            return None;
        }
        let completions: [&[&str]; 4] =
            [&[], &[".", namespace, ".svc.", domain], &[".svc.", domain], &[".", domain]];
        let tried = if is_whole { 1 } else { completions.len() };
        let mut name = String::new();
        for completion in &completions[..tried] {
            name.clear();
            name.push_str(host);
            name.extend(completion.iter().copied());
            if let Some(service) = self.get(&name) {
                return Some(Named { service, hostname: None });
            }
            let Some((hostname, parent)) = name.split_once('.') else { continue };
            let headless =
                self.get(parent).filter(|service| service.endpoint_addrs().next().is_some());
            if let Some(service) = headless {
                return Some(Named { service, hostname: Some(hostname.into()) });
            }
        }
        self.wildcard(host)
    }

    /// The longest wildcard that takes the host.
    fn wildcard(&self, host: &str) -> Option<Named<'_>> {
        let mut rest = host;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(service) = self.get(&format!("*.{parent}")) {
                return Some(Named { service, hostname: None });
            }
            rest = parent;
        }
        None
    }
}
