//! For whom a connection is made, to backends that want to be told (the PROXY protocol).

use std::borrow::Cow;
use std::net::SocketAddr;

use weft_model::calling::ProxyVersion;
use weft_net::proxy_protocol::{write_v1, write_v2};

/// The two ends of the connection that another one is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Behalf {
    /// The client.
    pub(crate) client: SocketAddr,
    /// The address that it has dialled.
    pub(crate) dialled: SocketAddr,
}

/// What is written in front of all else. A connection that is made for nobody, such as a probe, says
/// so.
pub(crate) fn header(version: Option<ProxyVersion>, behalf: Option<Behalf>) -> Cow<'static, [u8]> {
    const V1_UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";
    const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let mut out = Vec::new();
    match (version, behalf) {
        (None, _) => {}
        (Some(ProxyVersion::V1), None) => return Cow::Borrowed(V1_UNKNOWN),
        (Some(ProxyVersion::V2), None) => return Cow::Borrowed(V2_LOCAL),
        (Some(ProxyVersion::V1), Some(of)) => write_v1(of.client, of.dialled, &mut out),
        (Some(ProxyVersion::V2), Some(of)) => write_v2(of.client, of.dialled, &mut out),
    }
    Cow::Owned(out)
}
