//! How TLS ends at a server.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use weft_model::backend::SubjectAltName;
use weft_model::listener::{Certificate, ClientAuth, PinnedClients, TlsOptions, TlsVersion};
use weft_resources::istio::server::{
    ServerCertificates, ServerTls, ServerTlsMode, TlsVersion as Written,
};
use weft_resources::{Pos, Spanned};

use super::site::Site;
use crate::certificates;
use crate::context::{Context, Output, Scope};
use crate::remark::Fix;

/// How TLS ends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terminate {
    /// None where those of the mesh are shown.
    pub(super) certificates: Vec<Arc<Certificate>>,
    /// Versions, client certificates and so on.
    pub(super) options: Arc<TlsOptions>,
    /// Why nothing is served behind it, though it ends here.
    pub(super) refusal: Option<Box<str>>,
}

/// OpenSSL's names of cipher suites, which Istio uses, and IANA's.
const SUITES: [(&str, &str); 6] = [
    ("ECDHE-ECDSA-AES128-GCM-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("ECDHE-RSA-AES256-GCM-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    ("ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];

/// What TLS 1.3 always has: a list of suites says nothing of it.
const TLS13_SUITES: [&str; 3] =
    ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];

/// What reading a section is done with.
struct Reader<'r, 'a> {
    scope: &'r Scope<'a>,
    site: &'r Site<'a>,
    out: &'r mut Output,
}

/// How TLS ends at a server.
///
/// # Errors
///
/// Why it cannot, which was reported.
pub(super) fn terminate(
    context: &Context<'_>,
    site: &Site<'_>,
    written: &ServerTls,
    is_http: bool,
    out: &mut Output,
) -> Result<Terminate, String> {
    let scope = context.scope();
    let mut reader = Reader { scope: &scope, site, out };
    let certificates = reader.certificates(written);
    let options = reader.options(written, is_http);
    let refusal = reader.refusal(written);
    match options {
        _ if certificates.is_empty() && *written.mode != ServerTlsMode::IstioMutual => {
            Err("no certificate of it can be used".into())
        }
        Ok(options) => Ok(Terminate { certificates, options: Arc::new(options), refusal }),
        Err(reason) => Err(reason),
    }
}

// === impl Reader ===

impl Reader<'_, '_> {
    fn error(&mut self, field: &str, at: Pos, message: &str, fix: Option<Fix>) {
        let field = format!("tls.{field}");
        self.site.say(&field, at, |place| place.error_fixed_by(self.out, message, fix));
    }

    fn warn(&mut self, field: &str, at: Pos, message: &str) {
        let field = format!("tls.{field}");
        self.site.say(&field, at, |place| place.warn(self.out, message));
    }

    fn certificates(&mut self, written: &ServerTls) -> Vec<Arc<Certificate>> {
        let namespace = self.site.gateway.namespace();
        let mut found = Vec::new();
        match &written.certificates {
            ServerCertificates::None => {}
            ServerCertificates::Secrets(names) => {
                for name in names {
                    match self.scope.certificate(namespace, name) {
                        Ok(certificate) => found.push(certificate),
                        Err(error) => {
                            let message = error.to_string();
                            self.error("credentialName", name.at, &message, error.fix());
                        }
                    }
                }
            }
            ServerCertificates::Files(pairs) => {
                for pair in pairs {
                    let at = pair.certificate.at;
                    let read = (self.file(&pair.certificate), self.file(&pair.private_key));
                    let (chain, key) = match read {
                        (Ok(chain), Ok(key)) => (chain, key),
                        (Err(message), _) | (_, Err(message)) => {
                            self.error("serverCertificate", at, &message, None);
                            continue;
                        }
                    };
                    let origin = format!("file `{}`", *pair.certificate);
                    let pair = self.scope.certificates().of_pair(&origin, &chain, &key);
                    found.extend(pair.0);
                    if let Some(error) = pair.1 {
                        self.error("serverCertificate", at, &error.to_string(), error.fix());
                    }
                }
            }
        }
        found
    }

    fn file(&self, name: &Spanned<Box<str>>) -> Result<Arc<[u8]>, String> {
        let file = self.scope.options().files.get(&name.value);
        file.map(Arc::clone).ok_or_else(|| format!("file `{}` cannot be read", name.value))
    }

    fn options(&mut self, written: &ServerTls, is_http: bool) -> Result<TlsOptions, String> {
        let mut options = TlsOptions::modern();
        if !is_http {
            options.alpn.clear();
        }
        if let Some(version) = &written.min_version {
            options.min_version = match version.value {
                Written::V1_3 => TlsVersion::Tls13,
                Written::V1_2 => TlsVersion::Tls12,
                Written::V1_0 | Written::V1_1 => {
                    let message = "TLS 1.0 and 1.1 are not spoken; the oldest version is 1.2";
                    self.warn("minProtocolVersion", version.at, message);
                    TlsVersion::Tls12
                }
            };
        }
        if let Some(version) = &written.max_version {
            options.max_version = match version.value {
                Written::V1_3 => TlsVersion::Tls13,
                Written::V1_2 => TlsVersion::Tls12,
                Written::V1_0 | Written::V1_1 => {
                    let message = "TLS 1.0 and 1.1 are not spoken, so no version is left";
                    self.error("maxProtocolVersion", version.at, message, None);
                    return Err(message.into());
                }
            };
        }
        options.cipher_suites = self.suites(written)?;
        if *written.mode == ServerTlsMode::IstioMutual {
            self.only_newest(written, &mut options)?;
        }
        options.client_auth = self.client_auth(written)?;
        Ok(options)
    }

    /// Members of the mesh speak TLS 1.3 to each other, with suites of their own choice.
    fn only_newest(&mut self, written: &ServerTls, options: &mut TlsOptions) -> Result<(), String> {
        if let Some(version) = written.max_version.as_ref()
            && options.max_version != TlsVersion::Tls13
        {
            let message = "members of the mesh speak TLS 1.3 alone, so no version is left";
            self.error("maxProtocolVersion", version.at, message, None);
            return Err(message.into());
        }
        if let Some(first) = written.cipher_suites.first() {
            let message =
                "`cipherSuites` have no effect on TLS 1.3, which members of the mesh speak";
            self.warn("cipherSuites", first.at, message);
            options.cipher_suites.clear();
        }
        options.min_version = TlsVersion::Tls13;
        Ok(())
    }

    fn suites(&mut self, written: &ServerTls) -> Result<Vec<Box<str>>, String> {
        let Some(first) = written.cipher_suites.first() else { return Ok(Vec::new()) };
        let mut suites: Vec<Box<str>> = Vec::new();
        for name in &written.cipher_suites {
            let known =
                SUITES.iter().find(|(open, iana)| *open == &*name.value || *iana == &*name.value);
            match known {
                Some((_, iana)) => suites.push((*iana).into()),
                None => {
                    let message = format!("the cipher suite `{}` is not spoken", name.value);
                    self.warn("cipherSuites", name.at, &message);
                }
            }
        }
        if suites.is_empty() {
            let message = "no cipher suite is left";
            self.error("cipherSuites", first.at, message, None);
            return Err(message.into());
        }
        suites.extend(TLS13_SUITES.map(Into::into));
        Ok(suites)
    }

    fn client_auth(&mut self, written: &ServerTls) -> Result<ClientAuth, String> {
        let is_required = match *written.mode {
            ServerTlsMode::IstioMutual => return Ok(ClientAuth::Mesh),
            ServerTlsMode::Mutual => true,
            ServerTlsMode::OptionalMutual => false,
            _ => {
                if is_pinned(written) {
                    let message = "names and hashes of clients have no effect: this mode asks for \
                                   no certificate";
                    self.warn("mode", written.mode.at, message);
                }
                return Ok(ClientAuth::None);
            }
        };
        if let Some(skips) = written.insecure_skip_verify.as_ref().filter(|skips| skips.value) {
            let message = "`insecureSkipVerify` accepts any certificate of clients";
            self.warn("insecureSkipVerify", skips.at, message);
            return Ok(if is_required { ClientAuth::RequireAny } else { ClientAuth::Request });
        }
        let (field, at, roots) = self.roots(written);
        match roots {
            Ok(authorities) if is_pinned(written) => {
                let pinned = self.pinned(written, authorities, is_required)?;
                Ok(ClientAuth::Pinned(Arc::new(pinned)))
            }
            Ok(roots) if is_required => Ok(ClientAuth::RequireAndVerify(roots)),
            Ok(roots) => Ok(ClientAuth::VerifyIfGiven(roots)),
            Err(message) => {
                let message = format!("certificates of clients cannot be verified: {message}");
                self.error(field, at, &message, None);
                Err(message)
            }
        }
    }

    /// The authorities, with the field that names them.
    fn roots(&self, written: &ServerTls) -> (&'static str, Pos, Result<Arc<[u8]>, String>) {
        let namespace = self.site.gateway.namespace();
        let of_secret = |name: &str| {
            certificates::needed_authorities(&|key| self.scope.get(key), namespace, name)
                .map_err(|error| error.to_string())
        };
        if let Some(name) = &written.ca_credential_name {
            return ("caCertCredentialName", name.at, of_secret(name));
        }
        if let Some(file) = &written.ca_certificates {
            let checked = self.file(file).and_then(|pem| {
                let origin = format!("file `{}`", **file);
                let checked = certificates::check_roots(&origin, &pem);
                checked.map(|()| pem).map_err(|error| error.to_string())
            });
            return ("caCertificates", file.at, checked);
        }
        match &written.certificates {
            ServerCertificates::Secrets(names) if !names.is_empty() => {
                ("credentialName", names[0].at, of_secret(&names[0]))
            }
            _ => ("mode", written.mode.at, Err("no authority is named".into())),
        }
    }

    /// The few certificates that are accepted.
    fn pinned(
        &mut self,
        written: &ServerTls,
        authorities: Arc<[u8]>,
        is_required: bool,
    ) -> Result<PinnedClients, String> {
        let names = written.subject_alt_names.iter().map(|name| match name.contains("://") {
            true => SubjectAltName::Uri(name.value.clone()),
            false => SubjectAltName::Dns(name.value.clone()),
        });
        let names = names.collect();
        let (mut certificate_hashes, mut key_hashes) = (Vec::new(), Vec::new());
        for (field, list, of, hashes) in [
            (
                "verifyCertificateHash",
                &written.verify_certificate_hash,
                of_hex as fn(&str) -> Option<[u8; 32]>,
                &mut certificate_hashes,
            ),
            ("verifyCertificateSpki", &written.verify_certificate_spki, of_base64, &mut key_hashes),
        ] {
            for text in list {
                let Some(hash) = of(text) else {
                    let message = format!("`{}` is no hash of 32 bytes", text.value);
                    self.error(field, text.at, &message, None);
                    return Err(message);
                };
                hashes.push(hash);
            }
        }
        Ok(PinnedClients { authorities, is_required, names, certificate_hashes, key_hashes })
    }

    /// What is asked of clients and cannot be looked at: then nobody gets anything.
    fn refusal(&mut self, written: &ServerTls) -> Option<Box<str>> {
        let skips = written.insecure_skip_verify.as_ref().is_some_and(|skips| skips.value);
        let verifies = !skips && *written.mode != ServerTlsMode::IstioMutual;
        let first = |list: &[Spanned<Box<str>>]| list.first().map(|one| one.at);
        // Where certificates are verified, all but the last is looked at; of those of the mesh, that
        // they are.
        let unverified = |list: &[Spanned<Box<str>>]| first(list).filter(|_| !verifies);
        let asked = [
            ("subjectAltNames", unverified(&written.subject_alt_names)),
            ("verifyCertificateSpki", unverified(&written.verify_certificate_spki)),
            ("verifyCertificateHash", unverified(&written.verify_certificate_hash)),
            ("caCrl", written.ca_crl.as_ref().map(|file| file.at)),
        ];
        let mut refusal = None;
        for (field, at) in asked {
            let Some(at) = at else { continue };
            let message = format!(
                "`{field}` is not looked at here, so that everything behind it is answered 503"
            );
            self.error(field, at, &message, None);
            refusal =
                refusal.or_else(|| Some(format!("`{field}` of clients is not verified").into()));
        }
        refusal
    }
}

// === functions ===

/// Whether more is asked of clients than a valid certificate.
fn is_pinned(written: &ServerTls) -> bool {
    let ServerTls { subject_alt_names, verify_certificate_spki, verify_certificate_hash, .. } =
        written;
    !subject_alt_names.is_empty()
        || !verify_certificate_spki.is_empty()
        || !verify_certificate_hash.is_empty()
}

/// A hash in hexadecimal, perhaps with colons between bytes.
fn of_hex(text: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> = text
        .bytes()
        .filter(|byte| *byte != b':')
        .map(|byte| Some(char::from(byte).to_digit(16)? as u8))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().ok()
}

fn of_base64(text: &str) -> Option<[u8; 32]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}
