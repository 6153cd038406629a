//! What many subjects start from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};

use weft_testkit::documents::{ingress_route, with_middlewares};
use weft_testkit::{Gateway, GatewayBuilder, RawOrigin};

/// The real binary.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_weftway");

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";

pub(crate) const POST: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 4\r\n\r\nbody";

/// A Secret `users`: `test` with password `test` (apr1), and with `{SHA}` for `sha`.
pub(crate) const USERS: &str = "---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: users\nstringData:\n  \
                                users: |\n    test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/\n    \
                                sha:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n";

/// What `test` sends to prove that it is.
pub(crate) const TEST_USER: (&str, &str) = ("authorization", "Basic dGVzdDp0ZXN0");

/// A gateway that has no documents yet.
pub(crate) fn builder() -> GatewayBuilder {
    Gateway::builder(BINARY)
}

/// A gateway that takes everything on `web` to this origin, the service `echo:80`.
pub(crate) fn to_echo(origin: &RawOrigin) -> GatewayBuilder {
    builder()
        .document("routes.yaml", &ingress_route(&[("PathPrefix(`/`)", "echo:80")]))
        .backend("echo:80", origin.addr())
}

/// The same through middlewares: names and specs, indented by two.
pub(crate) fn through(origin: &RawOrigin, middlewares: &[(&str, &str)]) -> GatewayBuilder {
    builder()
        .document("routes.yaml", &with_middlewares("echo:80", middlewares))
        .backend("echo:80", origin.addr())
}

/// An origin `echo`, and a gateway with these arguments that takes everything to it.
pub(crate) fn pair(arguments: &[&str]) -> (RawOrigin, Gateway) {
    let origin = RawOrigin::start("echo");
    let gateway = to_echo(&origin).args(arguments).start();
    (origin, gateway)
}

/// How often each of `count` requests is answered by whom: an origin, or a status.
pub(crate) fn shares(gateway: &Gateway, count: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        *shares.entry(gateway.get("a.test", "/").who()).or_default() += 1;
    }
    shares
}

/// Bytes that show where something was lost or repeated.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index / 7 + index * 31) as u8).collect()
}

/// How often a limit was reached.
pub(crate) fn reached(gateway: &Gateway, limit: &str) -> f64 {
    gateway.metric("weftway_limit_reached_total", &[("limit", limit)])
}

/// Waits until a limit was reached that often: a peer may see the end before it is counted.
pub(crate) fn wait_reached(gateway: &Gateway, limit: &str, count: f64) {
    gateway.wait_metric("weftway_limit_reached_total", &[("limit", limit)], |n| n >= count);
}

/// An address of this machine that nobody else uses: proxies have fixed ports.
pub(crate) fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 80 + NEXT.fetch_add(1, Ordering::Relaxed), high, low.clamp(1, 254))
}
