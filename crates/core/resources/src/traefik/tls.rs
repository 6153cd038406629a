//! `TLSOption` and `TLSStore`.

use crate::problem::Pos;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// `TLSOption`, or `tls.options` of the file provider.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsOption {
    /// Lowest version.
    pub min_version: Option<Spanned<Version>>,
    /// Highest version.
    pub max_version: Option<Spanned<Version>>,
    /// Cipher suites by Go's names.
    pub cipher_suites: Vec<Spanned<Box<str>>>,
    /// Key exchange groups by Go's names.
    pub curve_preferences: Vec<Spanned<Box<str>>>,
    /// Refuse names without a certificate.
    pub sni_strict: bool,
    /// ALPN protocols; `None` is Traefik's default.
    pub alpn_protocols: Option<Vec<Box<str>>>,
    /// No session tickets.
    pub disable_session_tickets: bool,
    /// Client certificates.
    pub client_auth: Option<ClientAuth>,
}

/// TLS versions as Traefik names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `VersionTLS10`
    Tls10,
    /// `VersionTLS11`
    Tls11,
    /// `VersionTLS12`
    Tls12,
    /// `VersionTLS13`
    Tls13,
}

/// `clientAuth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuth {
    /// Where it begins.
    pub at: Pos,
    /// What is asked.
    pub kind: ClientAuthKind,
    /// Secrets with authorities (custom resource).
    pub secret_names: Vec<Spanned<Box<str>>>,
    /// Files with authorities (file provider).
    pub ca_files: Vec<Spanned<Box<str>>>,
}

/// `clientAuthType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuthKind {
    /// No certificate is asked for.
    #[default]
    NoClientCert,
    /// Asked for, not required, not verified.
    RequestClientCert,
    /// Required, not verified.
    RequireAnyClientCert,
    /// Verified when given.
    VerifyClientCertIfGiven,
    /// Required and verified.
    RequireAndVerifyClientCert,
}

/// `TLSStore`, or `tls.stores` of the file provider.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsStore {
    /// `defaultCertificate`.
    pub default_certificate: Option<CertificateRef>,
    /// `defaultGeneratedCert` was asked for (needs ACME).
    pub default_generated: Option<Pos>,
    /// Further certificates.
    pub certificates: Vec<CertificateRef>,
}

/// Where a certificate and its key are.
#[derive(Clone, PartialEq, Eq)]
pub enum CertificateRef {
    /// A Secret of the same namespace.
    Secret(Spanned<Box<str>>),
    /// Files, or PEM text itself.
    Files {
        /// Chain.
        cert: Spanned<Box<str>>,
        /// Key.
        key: Spanned<Box<str>>,
    },
}

// === impl TlsOption ===

impl TlsOption {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        let (min_version, max_version) = versions(r);
        r.skip("preferServerCipherSuites"); // without effect in Traefik too
        Some(Self {
            min_version,
            max_version,
            cipher_suites: r.list("cipherSuites", |item| item.spanned_string()),
            curve_preferences: r.list("curvePreferences", |item| item.spanned_string()),
            sni_strict: r.bool_or("sniStrict", false),
            alpn_protocols: r.take("alpnProtocols").map(|field| field.strings()),
            disable_session_tickets: r.bool_or("disableSessionTickets", false),
            client_auth: r.take("clientAuth").and_then(|field| ClientAuth::read(&field)),
        })
    }
}

// === impl ClientAuth ===

impl ClientAuth {
    fn read(field: &Field<'_, '_>) -> Option<Self> {
        let kinds = [
            ("NoClientCert", ClientAuthKind::NoClientCert),
            ("RequestClientCert", ClientAuthKind::RequestClientCert),
            ("RequireAnyClientCert", ClientAuthKind::RequireAnyClientCert),
            ("VerifyClientCertIfGiven", ClientAuthKind::VerifyClientCertIfGiven),
            ("RequireAndVerifyClientCert", ClientAuthKind::RequireAndVerifyClientCert),
            ("", ClientAuthKind::NoClientCert),
        ];
        field.nested(|r| {
            Some(Self {
                at: field.at(),
                secret_names: r.list("secretNames", |item| item.spanned_string()),
                ca_files: r.list("caFiles", |item| item.spanned_string()),
                kind: r
                    .take("clientAuthType")
                    .map_or(Some(ClientAuthKind::NoClientCert), |f| f.choice(&kinds))?,
            })
        })
    }
}

// === impl TlsStore ===

impl TlsStore {
    /// Reads `spec`.
    pub fn read(r: &Reader<'_, '_>) -> Option<Self> {
        Some(Self {
            default_certificate: r
                .take("defaultCertificate")
                .and_then(|field| CertificateRef::read(&field)),
            default_generated: r.take("defaultGeneratedCert").map(|field| {
                field.nested(|r| {
                    r.skip("resolver");
                    r.skip("domain");
                    Some(())
                });
                field.at()
            }),
            certificates: r.list("certificates", CertificateRef::read),
        })
    }
}

// === impl CertificateRef ===

impl std::fmt::Debug for CertificateRef {
    /// Leaves the key out: it may be written in place.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Secret(name) => f.debug_tuple("Secret").field(name).finish(),
            Self::Files { cert, .. } => f.debug_struct("Files").field("cert", cert).finish(),
        }
    }
}

impl CertificateRef {
    /// Where it is written.
    pub fn at(&self) -> Pos {
        match self {
            Self::Secret(name) => name.at,
            Self::Files { cert, .. } => cert.at,
        }
    }

    /// Reads `{secretName}` or `{certFile, keyFile}`.
    pub fn read(field: &Field<'_, '_>) -> Option<Self> {
        field.nested(|r| {
            if r.has("certFile") || r.has("keyFile") {
                let cert = r.require("certFile").and_then(|f| f.spanned_string());
                let key = r.require("keyFile").and_then(|f| f.spanned_string());
                return Some(Self::Files { cert: cert?, key: key? });
            }
            let secret = r.require("secretName")?;
            let name = secret.non_empty_string()?;
            Some(Self::Secret(secret.spanned(name)))
        })
    }
}

/// `minVersion` and `maxVersion`.
pub(super) fn versions(r: &Reader<'_, '_>) -> (Option<Spanned<Version>>, Option<Spanned<Version>>) {
    let (min, max) = (version(r, "minVersion"), version(r, "maxVersion"));
    if let (Some(min), Some(max)) = (&min, &max)
        && min.value > max.value
    {
        r.error("`minVersion` is above `maxVersion`", None);
    }
    (min, max)
}

/// Takes a TLS version.
fn version(r: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<Version>> {
    let versions = [
        ("VersionTLS10", Some(Version::Tls10)),
        ("VersionTLS11", Some(Version::Tls11)),
        ("VersionTLS12", Some(Version::Tls12)),
        ("VersionTLS13", Some(Version::Tls13)),
        ("", None),
    ];
    let field = r.take(name)?;
    Some(field.spanned(field.choice(&versions).flatten()?))
}
