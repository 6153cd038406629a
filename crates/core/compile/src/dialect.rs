//! The order in which dialects win, where several speak of one request: Gateway API (6), Istio (5),
//! Linkerd (4), SMI (3), Traefik (2), Ingress (1). The numbers go into `Rank::dialect`.

/// Gateway API, first of all.
pub(crate) const GATEWAY_API: u8 = 6;
/// Istio.
pub(crate) const ISTIO: u8 = 5;
/// Linkerd.
pub(crate) const LINKERD: u8 = 4;
/// The Service Mesh Interface.
pub(crate) const SMI: u8 = 3;
/// Traefik.
pub(crate) const TRAEFIK: u8 = 2;
/// Kubernetes Ingress.
pub(crate) const INGRESS: u8 = 1;

/// What users call a dialect.
pub(crate) fn words(dialect: u8) -> &'static str {
    match dialect {
        GATEWAY_API => "Gateway API",
        ISTIO => "Istio",
        LINKERD => "Linkerd",
        SMI => "SMI",
        TRAEFIK => "Traefik's routers",
        _ => "Ingress",
    }
}
