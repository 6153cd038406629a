//! Messages of the SPIFFE Workload API (SPIFFE Workload API specification, section 5: the X.509-SVID
//! profile). Its service has no package, and its field numbers are not ours to choose.

use std::collections::BTreeMap;

/// The path of the call that streams X.509-SVIDs.
pub const FETCH_SVID_PATH: &str = "/SpiffeWorkloadAPI/FetchX509SVID";

/// The path of the call that streams trust bundles.
pub const FETCH_BUNDLES_PATH: &str = "/SpiffeWorkloadAPI/FetchX509Bundles";

/// The paths of the calls about JWT-SVIDs (the JWT-SVID profile), which are not served.
pub const JWT_PATHS: [&str; 3] = [
    "/SpiffeWorkloadAPI/FetchJWTSVID",
    "/SpiffeWorkloadAPI/FetchJWTBundles",
    "/SpiffeWorkloadAPI/ValidateJWTSVID",
];

/// Metadata that every request carries with the value `true`, so that nobody is tricked into asking
/// (SPIFFE Workload Endpoint specification, section 6).
pub const SECURITY_KEY: &str = "workload.spiffe.io";

/// A request for the SVIDs of the caller, who is known by other means.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct X509SvidRequest {}

/// The SVIDs of the caller.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct X509SvidResponse {
    /// One for each identity; here there is one.
    #[prost(message, repeated, tag = "1")]
    pub svids: Vec<X509Svid>,
}

/// An SVID with its key.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct X509Svid {
    /// Whom it names.
    #[prost(string, tag = "1")]
    pub spiffe_id: String,
    /// The leaf, then its issuers, DER one after the other.
    #[prost(bytes = "vec", tag = "2")]
    pub x509_svid: Vec<u8>,
    /// The leaf's key, PKCS#8 DER.
    #[prost(bytes = "vec", tag = "3")]
    pub x509_svid_key: Vec<u8>,
    /// The roots of the trust domain, DER one after the other.
    #[prost(bytes = "vec", tag = "4")]
    pub bundle: Vec<u8>,
}

/// A request for trust bundles.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct X509BundlesRequest {}

/// Trust bundles.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct X509BundlesResponse {
    /// By the SPIFFE id of the trust domain: its roots, DER one after the other.
    #[prost(btree_map = "string, bytes", tag = "2")]
    pub bundles: BTreeMap<String, Vec<u8>>,
}
