//! Cipher suites and key exchange groups by the names that users write.
//!
//! Both the IANA names and Go's are understood, because Traefik documents Go's.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, SupportedCipherSuite, SupportedProtocolVersion};
use weft_model::listener::{TlsOptions, TlsVersion};

/// What looking up a name gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup<T> {
    /// We speak it.
    Spoken(T),
    /// It exists, and we do not speak it: it is obsolete (CBC, RC4, 3DES, plain RSA key exchange)
    /// or our library lacks it.
    NotSpoken,
    /// Nobody knows it: a typing error.
    Unknown,
}

/// Names in options that cannot be honoured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOptions {
    /// A cipher suite that nobody knows.
    #[error("cipher suite `{0}` is not known; write its IANA name")]
    CipherSuite(Box<str>),
    /// None of the named cipher suites can be used.
    #[error(
        "none of the named cipher suites is spoken; add an ECDHE suite with AES-GCM or ChaCha20"
    )]
    NoCipherSuite,
    /// A group that nobody knows.
    #[error(
        "key exchange group `{0}` is not known; \
         write X25519MLKEM768, X25519, secp256r1 or secp384r1"
    )]
    Group(Box<str>),
    /// None of the named groups can be used.
    #[error("none of the named key exchange groups is spoken; add X25519 or secp256r1")]
    NoGroup,
    /// The lowest version is above the highest.
    #[error("the lowest TLS version is above the highest")]
    Versions,
}

/// Versions, the highest first.
type Versions = Vec<&'static SupportedProtocolVersion>;

/// Cipher suites that exist and are not spoken, by a part of their names.
const OLD_SUITE_PARTS: [&str; 7] = [
    "_CBC_SHA",
    "RC4_128",
    "3DES_EDE",
    "_CCM",
    "_NULL_SHA",
    "TLS_RSA_WITH_AES",
    "TLS_DHE_RSA_WITH",
];

/// Groups that exist and are not spoken.
const OTHER_GROUPS: [&str; 11] = [
    "secp521r1",
    "CurveP521",
    "P-521",
    "X448",
    "CurveP224",
    "secp224r1",
    "secp256k1",
    "ffdhe2048",
    "ffdhe3072",
    "SecP384r1MLKEM1024",
    "X25519Kyber768Draft00",
];

/// Looks a cipher suite up by its IANA or Go name.
pub(crate) fn cipher_suite(name: &str) -> Lookup<SupportedCipherSuite> {
    // Go's constants of TLS 1.2 ChaCha20 suites lack the hash; TLS 1.3 suites are `TLS_AES_...`
    // both in Go and at IANA, and `TLS13_AES_...` in rustls.
    let wanted = match name {
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305" => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305" => "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        name => name,
    };
    let found =
        aws_lc_rs::ALL_CIPHER_SUITES.iter().find(|suite| suite_name(suite.suite()) == wanted);
    match found {
        Some(suite) => Lookup::Spoken(*suite),
        None if wanted.starts_with("TLS_")
            && OLD_SUITE_PARTS.iter().any(|part| wanted.contains(part)) =>
        {
            Lookup::NotSpoken
        }
        None => Lookup::Unknown,
    }
}

/// Looks a key exchange group up by its IANA or Go name; letter case does not matter.
pub(crate) fn group(name: &str) -> Lookup<&'static dyn SupportedKxGroup> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let wanted = match name {
        _ if is("CurveP256") || is("P-256") || is("prime256v1") => "secp256r1",
        _ if is("CurveP384") || is("P-384") => "secp384r1",
        _ if is("CurveX25519") => "X25519",
        name => name,
    };
    let found = aws_lc_rs::ALL_KX_GROUPS
        .iter()
        .find(|group| format!("{:?}", group.name()).eq_ignore_ascii_case(wanted));
    match found {
        Some(group) => Lookup::Spoken(*group),
        None if OTHER_GROUPS.iter().any(|other| is(other)) => Lookup::NotSpoken,
        None => Lookup::Unknown,
    }
}

/// The IANA name of a suite.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    // rustls writes TLS 1.3 suites as TLS13_..., IANA as TLS_....
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    }
}

/// The versions from the one to the other.
pub(crate) fn versions(min: TlsVersion, max: TlsVersion) -> Versions {
    let all: [(TlsVersion, &'static SupportedProtocolVersion); 2] =
        [(TlsVersion::Tls13, &TLS13), (TlsVersion::Tls12, &TLS12)];
    let wanted = all.into_iter().filter(|(version, _)| min <= *version && *version <= max);
    wanted.map(|(_, version)| version).collect()
}

/// The provider and the versions that options ask for.
pub(crate) fn provider_for(
    options: &TlsOptions,
) -> Result<(Arc<CryptoProvider>, Versions), Vec<InvalidOptions>> {
    let mut errors = Vec::new();
    let mut provider = aws_lc_rs::default_provider();
    if let Some(suites) = suites_for(options, &mut errors) {
        provider.cipher_suites = suites;
    }
    if let Some(groups) = groups_for(options, &mut errors) {
        provider.kx_groups = groups;
    }
    let usable = |version: &SupportedProtocolVersion| {
        provider.cipher_suites.iter().any(|suite| suite.version() == version)
    };
    let mut versions = versions(options.min_version, options.max_version);
    versions.retain(|version| usable(version));
    if options.min_version > options.max_version {
        errors.push(InvalidOptions::Versions);
    } else if versions.is_empty() && errors.is_empty() {
        errors.push(InvalidOptions::NoCipherSuite);
    }
    if errors.is_empty() { Ok((Arc::new(provider), versions)) } else { Err(errors) }
}

/// The named suites; TLS 1.3 keeps all of its own unless one of them is named, because Go (and so
/// Traefik) does not let users choose those.
fn suites_for(
    options: &TlsOptions,
    errors: &mut Vec<InvalidOptions>,
) -> Option<Vec<SupportedCipherSuite>> {
    if options.cipher_suites.is_empty() {
        return None;
    }
    let mut suites = Vec::new();
    let errors_before = errors.len();
    for name in &options.cipher_suites {
        match cipher_suite(name) {
            Lookup::Spoken(suite) => suites.push(suite),
            Lookup::NotSpoken => {}
            Lookup::Unknown => errors.push(InvalidOptions::CipherSuite(name.clone())),
        }
    }
    if !suites.iter().any(|suite| suite.tls13().is_some()) {
        let defaults = aws_lc_rs::DEFAULT_CIPHER_SUITES.iter().copied();
        suites.splice(0..0, defaults.filter(|suite| suite.tls13().is_some()));
    }
    (errors.len() == errors_before).then_some(suites)
}

fn groups_for(
    options: &TlsOptions,
    errors: &mut Vec<InvalidOptions>,
) -> Option<Vec<&'static dyn SupportedKxGroup>> {
    if options.groups.is_empty() {
        return None;
    }
    let mut groups = Vec::new();
    let errors_before = errors.len();
    for name in &options.groups {
        match group(name) {
            Lookup::Spoken(group) => groups.push(group),
            Lookup::NotSpoken => {}
            Lookup::Unknown => errors.push(InvalidOptions::Group(name.clone())),
        }
    }
    if groups.is_empty() && errors.len() == errors_before {
        errors.push(InvalidOptions::NoGroup);
    }
    (errors.len() == errors_before).then_some(groups)
}

#[cfg(test)]
mod tests;
