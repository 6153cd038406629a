//! The order in which dialects win, where several speak of one request: Gateway API (6), Istio (5),
//! Linkerd (4), SMI (3), Traefik (2), Ingress (1). The numbers go into `Rank::dialect`; those of
//! dialects that are not compiled here stay free.

/// Gateway API, first of all.
pub(crate) const GATEWAY_API: u8 = 6;
/// Traefik.
pub(crate) const TRAEFIK: u8 = 2;
/// Kubernetes Ingress.
pub(crate) const INGRESS: u8 = 1;

/// What users call a dialect.
pub(crate) fn words(dialect: u8) -> &'static str {
    match dialect {
        GATEWAY_API => "Gateway API",
        TRAEFIK => "Traefik's routers",
        _ => "Ingress",
    }
}
