//! From a host name to a service.

use super::IndexEntry;

/// What a host name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<T> {
    /// The service.
    pub service: T,
    /// The name of one endpoint below a headless service; `None` for the service as a whole.
    pub hostname: Option<Box<str>>,
}

/// What `host` stands for when a workload of `namespace` says it, in a mesh whose names end in
/// `domain`; `None` when it is no name of the mesh. `find` knows services by their whole names.
///
/// A whole name wins: `payments.shop.svc.cluster.local`, or the host of a ServiceEntry. Then come
/// `payments`, `payments.shop` and `payments.shop.svc`, completed in the order in which resolvers
/// complete names in Kubernetes, and names of endpoints (`db-0.db`) of headless services in the
/// same way. Last come wildcards (`*.example.com`), the longest first. Case does not matter, and a
/// dot at the end says that the name is whole.
pub fn resolve<T: AsRef<IndexEntry>>(
    host: &str,
    namespace: &str,
    domain: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Option<Named<T>> {
    let lower = host.to_ascii_lowercase();
    let (host, is_whole) = match lower.strip_suffix('.') {
        Some(host) => (host, true),
        None => (lower.as_str(), false),
    };
    if host.is_empty() || host.starts_with(['.', '*']) {
        return None;
    }
    let suffixes =
        [format!(".{namespace}.svc.{domain}"), format!(".svc.{domain}"), format!(".{domain}")];
    let suffixes = suffixes.iter().filter(|_| !is_whole).map(String::as_str);
    for suffix in std::iter::once("").chain(suffixes) {
        let name = format!("{host}{suffix}");
        if let Some(service) = find(&name) {
            return Some(Named { service, hostname: None });
        }
        let Some((hostname, parent)) = name.split_once('.') else { continue };
        let headless = find(parent).filter(|service| {
            let entry: &IndexEntry = service.as_ref();
            !entry.endpoint_addrs.is_empty()
        });
        if let Some(service) = headless {
            return Some(Named { service, hostname: Some(hostname.into()) });
        }
    }
    wildcard(host, find)
}

/// The longest wildcard that takes the host.
fn wildcard<T>(host: &str, find: impl Fn(&str) -> Option<T>) -> Option<Named<T>> {
    let mut rest = host;
    while let Some((_, parent)) = rest.split_once('.') {
        if let Some(service) = find(&format!("*.{parent}")) {
            return Some(Named { service, hostname: None });
        }
        rest = parent;
    }
    None
}
