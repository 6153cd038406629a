//! What listeners of Istio's Gateway and Sidecar have in common: ports and TLS.

use super::value::{foreign, spanned, text};
use crate::read::{Field, Reader};
use crate::resource::Spanned;

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortProtocol {
    /// `HTTP`, in either version.
    Http,
    /// `HTTP2`.
    Http2,
    /// `GRPC`.
    Grpc,
    /// `GRPC-WEB`.
    GrpcWeb,
    /// `HTTP_PROXY`: requests name the host in their first line.
    HttpProxy,
    /// `HTTPS`: HTTP inside of TLS.
    Https,
    /// `TLS`: anything inside of TLS.
    Tls,
    /// `TCP`.
    Tcp,
    /// `MONGO`.
    Mongo,
    /// `MYSQL`.
    MySql,
    /// `REDIS`.
    Redis,
}

/// How a listener's TLS is done. Files are those of the proxy's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// Whether TLS ends here.
    pub mode: Spanned<ServerTlsMode>,
    /// Whether requests without TLS are answered with the same place under `https`.
    pub https_redirect: Option<Spanned<bool>>,
    /// The certificates to show.
    pub certificates: ServerCertificates,
    /// The file with the authorities that callers' certificates are verified by.
    pub ca_certificates: Option<Spanned<Box<str>>>,
    /// The Secret with these authorities.
    pub ca_credential_name: Option<Spanned<Box<str>>>,
    /// The file with certificates that were revoked.
    pub ca_crl: Option<Spanned<Box<str>>>,
    /// Names, one of which a caller has to show; any when empty.
    pub subject_alt_names: Vec<Spanned<Box<str>>>,
    /// Hashes (SHA-256, base64) of keys, one of which a caller has to have; any when empty.
    pub verify_certificate_spki: Vec<Spanned<Box<str>>>,
    /// Hashes (SHA-256, hexadecimal) of certificates, one of which a caller has to show; any when
    /// empty.
    pub verify_certificate_hash: Vec<Spanned<Box<str>>>,
    /// The oldest version; `None` for TLS 1.2.
    pub min_version: Option<Spanned<TlsVersion>>,
    /// The newest version; `None` for TLS 1.3.
    pub max_version: Option<Spanned<TlsVersion>>,
    /// Cipher suites in OpenSSL's words; the default ones when empty.
    pub cipher_suites: Vec<Spanned<Box<str>>>,
    /// Whether a caller may show any certificate; `None` for the default, which is that it may not.
    pub insecure_skip_verify: Option<Spanned<bool>>,
}

/// Whether TLS ends at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerTlsMode {
    /// It does not, and routes go by the name that is asked for (`PASSTHROUGH`, the default).
    Passthrough,
    /// It does (`SIMPLE`).
    Simple,
    /// It does, and callers show a certificate (`MUTUAL`).
    Mutual,
    /// It does, and callers may show a certificate (`OPTIONAL_MUTUAL`).
    OptionalMutual,
    /// It does not, and the name that is asked for holds the destination (`AUTO_PASSTHROUGH`).
    AutoPassthrough,
    /// It does, with the certificates of the mesh on both sides (`ISTIO_MUTUAL`).
    IstioMutual,
}

/// The certificates of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerCertificates {
    /// None are named.
    None,
    /// Secrets of the gateway's namespace.
    Secrets(Vec<Spanned<Box<str>>>),
    /// Files.
    Files(Vec<CertificateFiles>),
}

/// A certificate in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate, with those that lead to its authority.
    pub certificate: Spanned<Box<str>>,
    /// Its key.
    pub private_key: Spanned<Box<str>>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0.
    V1_0,
    /// 1.1.
    V1_1,
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}

/// What only gateways understand.
const GATEWAY_FIELDS: [&str; 6] = [
    "httpsRedirect",
    "credentialName",
    "credentialNames",
    "caCertCredentialName",
    "tlsCertificates",
    "subjectAltNames",
];

/// Fields that name a certificate to show.
const SOURCES: [&str; 4] =
    ["credentialName", "credentialNames", "serverCertificate", "tlsCertificates"];

// === impl PortProtocol ===

impl PortProtocol {
    const WORDS: [(&str, Self); 11] = [
        ("HTTP", Self::Http),
        ("HTTP2", Self::Http2),
        ("GRPC", Self::Grpc),
        ("GRPC-WEB", Self::GrpcWeb),
        ("HTTP_PROXY", Self::HttpProxy),
        ("HTTPS", Self::Https),
        ("TLS", Self::Tls),
        ("TCP", Self::Tcp),
        ("MONGO", Self::Mongo),
        ("MYSQL", Self::MySql),
        ("REDIS", Self::Redis),
    ];

    /// Whether requests are seen without TLS.
    pub fn is_http(self) -> bool {
        use PortProtocol::{Grpc, GrpcWeb, Http, Http2, HttpProxy};
        matches!(self, Http | Http2 | Grpc | GrpcWeb | HttpProxy)
    }

    /// Whether connections begin with TLS.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Tls)
    }

    /// Reads a protocol, in any case.
    pub(super) fn read(field: &Field<'_, '_>) -> Option<Self> {
        let text = field.non_empty_string()?;
        let known = Self::WORDS.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
        if known.is_none() {
            let words: Vec<&str> = Self::WORDS.iter().map(|(word, _)| *word).collect();
            let fix = format!("use one of {}", words.join(", "));
            field.error(format!("`{text}` is not a protocol of a port"), Some(fix));
        }
        known.map(|(_, protocol)| *protocol)
    }
}

impl std::fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = Self::WORDS.iter().find(|(_, protocol)| protocol == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

// === impl ServerTls ===

impl ServerTls {
    /// Reads `tls` of a listener of a gateway.
    pub(super) fn read_gateway(reader: &Reader<'_, '_>) -> Option<Self> {
        let certificates = ServerCertificates::take(reader);
        let tls = Self {
            https_redirect: spanned(reader, "httpsRedirect", |field| field.bool()),
            ca_credential_name: text(reader, "caCertCredentialName"),
            subject_alt_names: texts(reader, "subjectAltNames"),
            ..Self::read(reader, certificates)?
        };
        tls.check(reader);
        Some(tls)
    }

    /// Reads `tls` of a listener of a sidecar, which does less.
    pub(super) fn read_sidecar(reader: &Reader<'_, '_>) -> Option<Self> {
        for name in GATEWAY_FIELDS {
            let message = format!("`{name}` is for gateways alone");
            foreign(reader, name, &message, "remove it; a Sidecar has certificates in files");
        }
        let files = CertificateFiles::take(reader).map(|files| vec![files]);
        let certificates = files.map_or(ServerCertificates::None, ServerCertificates::Files);
        let tls = Self::read(reader, certificates)?;
        tls.check(reader);
        Some(tls)
    }

    fn read(reader: &Reader<'_, '_>, certificates: ServerCertificates) -> Option<Self> {
        Some(Self {
            mode: ServerTlsMode::take(reader)?,
            https_redirect: None,
            certificates,
            ca_certificates: text(reader, "caCertificates"),
            ca_credential_name: None,
            ca_crl: text(reader, "caCrl"),
            subject_alt_names: Vec::new(),
            verify_certificate_spki: texts(reader, "verifyCertificateSpki"),
            verify_certificate_hash: texts(reader, "verifyCertificateHash"),
            min_version: TlsVersion::take(reader, "minProtocolVersion"),
            max_version: TlsVersion::take(reader, "maxProtocolVersion"),
            cipher_suites: texts(reader, "cipherSuites"),
            insecure_skip_verify: spanned(reader, "insecureSkipVerify", |field| field.bool()),
        })
    }

    /// Whether nothing but the redirect to `https` is said.
    pub fn is_redirect_only(&self) -> bool {
        *self.mode == ServerTlsMode::Passthrough
            && self.certificates == ServerCertificates::None
            && self.ca_certificates.is_none()
    }

    fn check(&self, reader: &Reader<'_, '_>) {
        let sources: Vec<&str> = SOURCES.into_iter().filter(|name| reader.has(name)).collect();
        if sources.len() > 1 {
            let fix = Some("keep one of them".into());
            reader.error(format!("`{}` exclude each other", sources.join("` and `")), fix);
        }
        let has_none = self.certificates == ServerCertificates::None;
        let has_secrets = matches!(self.certificates, ServerCertificates::Secrets(_));
        use ServerTlsMode::{
            AutoPassthrough, IstioMutual, Mutual, OptionalMutual, Passthrough, Simple,
        };
        match *self.mode {
            IstioMutual if !has_none || self.ca_certificates.is_some() => {
                let fix = Some("remove them, or choose another mode".into());
                reader.error("ISTIO_MUTUAL takes the certificates of the mesh", fix);
            }
            Passthrough | AutoPassthrough if !has_none => {
                let fix = "write mode: SIMPLE to end TLS here".into();
                reader.warn("certificates have no effect where TLS passes through", Some(fix));
            }
            Simple | Mutual | OptionalMutual if has_none && sources.is_empty() => {
                reader.error("a certificate is required", Some("write `credentialName`".into()));
            }
            _ => {}
        }
        let verifies = matches!(*self.mode, Mutual | OptionalMutual);
        let has_authorities = self.ca_certificates.is_some() || self.ca_credential_name.is_some();
        if verifies && !has_secrets && !has_authorities {
            let fix = "write `caCertificates` or `caCertCredentialName`".into();
            reader.error("callers' certificates need an authority", Some(fix));
        }
        if self.ca_crl.is_some() && (has_secrets || *self.mode == Simple) {
            let fix = Some("put it into the Secret as `ca.crl`".into());
            reader.error("`caCrl` is for MUTUAL with files alone", fix);
        }
        let versions = (self.min_version.as_deref(), self.max_version.as_deref());
        if let (Some(min), Some(max)) = versions
            && min > max
        {
            reader.error("`minProtocolVersion` is newer than `maxProtocolVersion`", None);
        }
    }
}

fn texts(reader: &Reader<'_, '_>, name: &'static str) -> Vec<Spanned<Box<str>>> {
    reader.list(name, |item| Some(item.spanned(item.non_empty_string()?)))
}

// === impl ServerTlsMode ===

impl ServerTlsMode {
    fn take(reader: &Reader<'_, '_>) -> Option<Spanned<Self>> {
        let modes = [
            ("PASSTHROUGH", Self::Passthrough),
            ("SIMPLE", Self::Simple),
            ("MUTUAL", Self::Mutual),
            ("AUTO_PASSTHROUGH", Self::AutoPassthrough),
            ("ISTIO_MUTUAL", Self::IstioMutual),
            ("OPTIONAL_MUTUAL", Self::OptionalMutual),
        ];
        match reader.take("mode") {
            Some(field) => Some(field.spanned(field.choice(&modes)?)),
            None => Some(Spanned::new(Self::Passthrough, reader.at())),
        }
    }
}

// === impl ServerCertificates ===

impl ServerCertificates {
    fn take(reader: &Reader<'_, '_>) -> Self {
        let mut secrets: Vec<_> = text(reader, "credentialName").into_iter().collect();
        secrets.extend(texts(reader, "credentialNames"));
        let mut files: Vec<CertificateFiles> = CertificateFiles::take(reader).into_iter().collect();
        files.extend(reader.list("tlsCertificates", |item| {
            item.nested(|files| {
                let fix = "write it beside `tlsCertificates`";
                foreign(files, "caCertificates", "authorities hold for all certificates", fix);
                let found = CertificateFiles::take(files);
                if files.is_empty() {
                    files.error("`serverCertificate` and `privateKey` are required", None);
                }
                found
            })
        }));
        match (secrets.is_empty(), files.is_empty()) {
            (true, true) => Self::None,
            (false, _) => Self::Secrets(secrets),
            (true, false) => Self::Files(files),
        }
    }
}

// === impl CertificateFiles ===

impl CertificateFiles {
    fn take(reader: &Reader<'_, '_>) -> Option<Self> {
        match (text(reader, "serverCertificate"), text(reader, "privateKey")) {
            (Some(certificate), Some(private_key)) => Some(Self { certificate, private_key }),
            (None, None) => None,
            _ => {
                reader.error("`serverCertificate` and `privateKey` need each other", None);
                None
            }
        }
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    fn take(reader: &Reader<'_, '_>, name: &'static str) -> Option<Spanned<Self>> {
        let versions = [
            ("TLS_AUTO", None),
            ("TLSV1_0", Some(Self::V1_0)),
            ("TLSV1_1", Some(Self::V1_1)),
            ("TLSV1_2", Some(Self::V1_2)),
            ("TLSV1_3", Some(Self::V1_3)),
        ];
        spanned(reader, name, |field| field.choice(&versions)?)
    }
}
