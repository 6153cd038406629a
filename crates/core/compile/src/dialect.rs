//! The order in which dialects win, where several speak of one request.

/// Gateway API, first of all.
pub const GATEWAY_API: u8 = 6;
/// Istio.
pub const ISTIO: u8 = 5;
/// Linkerd.
pub const LINKERD: u8 = 4;
/// SMI.
pub const SMI: u8 = 3;
/// Traefik.
pub const TRAEFIK: u8 = 2;
/// Kubernetes Ingress.
pub const INGRESS: u8 = 1;
