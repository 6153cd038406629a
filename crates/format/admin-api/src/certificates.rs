//! Who holds which certificate, and what its end would break.

use serde::{Deserialize, Serialize};

/// Answer of `/certificates`: every certificate that the authority knows of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CertificatesView {
    /// In how many seconds the whole mesh stands still unless somebody does something.
    pub outage_in_secs: u64,
    /// The certificates, the one that ends first at the top.
    pub certificates: Vec<HeldCertificateView>,
}

/// One certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCertificateView {
    /// Whose it is.
    pub holder: HolderView,
    /// What it is for at the moment.
    pub duty: DutyView,
    /// Its subject, or the identity that it names.
    pub subject: String,
    /// SHA-256 of its bytes, hexadecimal. None for certificates of proxies, whose bytes only they
    /// have.
    pub fingerprint: Option<String>,
    /// Fingerprint of the root that it chains to; its own for a root.
    pub root: String,
    /// For how many seconds it has been valid.
    pub age_secs: u64,
    /// For how many seconds it will be; 0 once it has ended.
    pub left_secs: u64,
    /// What no longer works after its end.
    pub breaks: String,
    /// What keeps that from happening, and by when.
    pub remedy: String,
}

/// Whose a certificate is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum HolderView {
    /// A root.
    Root,
    /// What signs in its name.
    Intermediate,
    /// The proxy beside a workload.
    Proxy {
        /// `namespace/name`.
        workload: String,
    },
}

/// What a certificate is for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DutyView {
    /// It signs.
    Signing,
    /// It is trusted and will sign.
    Next,
    /// It is trusted and has signed.
    Previous,
    /// A proxy presents it.
    Presented,
}
