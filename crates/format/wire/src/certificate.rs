//! Messages of the certificate service.

/// The path of the call that signs.
pub const SIGN_PATH: &str = "/weftway.wire.v1.Certificates/Sign";

/// The path of the stream that carries the roots to trust.
pub const ROOTS_PATH: &str = "/weftway.wire.v1.Certificates/Roots";

/// The metadata key under which a join token travels: `Bearer <token>`.
pub const TOKEN_KEY: &str = "authorization";

/// A request for a certificate. Who asks is attested by the transport, never by the request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignRequest {
    /// PKCS#10, DER. Only the key and the proof that the caller has it are used.
    #[prost(bytes = "vec", tag = "1")]
    pub csr: Vec<u8>,
    /// The workload that it is for, where the transport leaves a choice.
    #[prost(string, tag = "2")]
    pub workload: String,
    /// The identity that it is for, where the transport leaves a choice.
    #[prost(string, tag = "3")]
    pub identity: String,
    /// [`crate::VERSION`] of the asker.
    #[prost(uint32, tag = "4")]
    pub version: u32,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SignResponse {
    /// Leaf first, then intermediates, DER each.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub chain: Vec<Vec<u8>>,
    /// Roots to trust, DER each.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub roots: Vec<Vec<u8>>,
    /// [`crate::VERSION`] of the authority.
    #[prost(uint32, tag = "3")]
    pub version: u32,
}

/// A request to hear of the roots. Sent again with what is trusted now whenever that changes: the
/// authority retires no root before every live proxy can do without.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RootsRequest {
    /// SHA-256 of the roots that the proxy trusts.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub trusted: Vec<Vec<u8>>,
    /// SHA-256 of the root that the proxy's own certificate chains to; empty before the first.
    #[prost(bytes = "vec", tag = "2")]
    pub own: Vec<u8>,
    /// The end of the proxy's own certificate, seconds since 1970.
    #[prost(uint64, tag = "3")]
    pub own_not_after_secs: u64,
    /// The workload, where the transport leaves a choice.
    #[prost(string, tag = "4")]
    pub workload: String,
    /// The proxy ends: it presents its certificate no more, and no root has to wait for it.
    #[prost(bool, tag = "5")]
    pub goodbye: bool,
    /// The identity, where the transport leaves a choice.
    #[prost(string, tag = "6")]
    pub identity: String,
}

/// Roots to trust from now on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RootsResponse {
    /// DER each.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub roots: Vec<Vec<u8>>,
    /// Ask for a new certificate now: the one in use is signed by what is about to go.
    #[prost(bool, tag = "2")]
    pub renew: bool,
}
