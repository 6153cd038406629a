//! Whether connections are encrypted, and how.

use crate::istio::value::{spanned, text};
use crate::read::Reader;
use crate::resource::Spanned;

/// What stands for the authorities of the system in place of a file.
const SYSTEM: &str = "system";

/// Whether connections are encrypted, and how. Files are those of the proxy's machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Whether they are.
    pub mode: Spanned<ClientTlsMode>,
    /// The Secret that holds certificates and authorities.
    pub credential_name: Option<Spanned<Box<str>>>,
    /// The file with the certificate to show.
    pub client_certificate: Option<Spanned<Box<str>>>,
    /// The file with its key.
    pub private_key: Option<Spanned<Box<str>>>,
    /// The file with the authorities that are trusted; `None` for those of the system.
    pub ca_certificates: Option<Spanned<Box<str>>>,
    /// The file with certificates that were revoked.
    pub ca_crl: Option<Spanned<Box<str>>>,
    /// Names, one of which the other side has to show; its host's name when empty.
    pub subject_alt_names: Vec<Spanned<Box<str>>>,
    /// The name that is asked for; `None` for the host of the request.
    pub sni: Option<Spanned<Box<str>>>,
    /// Whether the other side may show anything; `None` for the default, which is that it may not.
    pub insecure_skip_verify: Option<Spanned<bool>>,
}

/// Whether connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// They are not (`DISABLE`).
    Disable,
    /// They are (`SIMPLE`).
    Simple,
    /// They are, and show a certificate of the document's (`MUTUAL`).
    Mutual,
    /// They are, and show that of the workload (`ISTIO_MUTUAL`).
    IstioMutual,
}

// === impl ClientTls ===

impl ClientTls {
    /// Takes `tls`. Something comes out of whatever is there: who asks for encryption, however
    /// wrongly, must not get plain text.
    pub(super) fn take(reader: &Reader<'_, '_>) -> Option<Spanned<Self>> {
        let field = reader.take("tls")?;
        let tls = field.nested(|tls| Some(Self::read(tls))).unwrap_or_else(|| Self {
            mode: field.spanned(ClientTlsMode::Simple),
            credential_name: None,
            client_certificate: None,
            private_key: None,
            ca_certificates: None,
            ca_crl: None,
            subject_alt_names: Vec::new(),
            sni: None,
            insecure_skip_verify: None,
        });
        Some(Spanned::new(tls, field.key_at()))
    }

    fn read(reader: &Reader<'_, '_>) -> Self {
        let tls = Self {
            mode: ClientTlsMode::take(reader),
            credential_name: text(reader, "credentialName"),
            client_certificate: text(reader, "clientCertificate"),
            private_key: text(reader, "privateKey"),
            ca_certificates: text(reader, "caCertificates"),
            ca_crl: text(reader, "caCrl"),
            subject_alt_names: reader
                .list("subjectAltNames", |item| Some(item.spanned(item.non_empty_string()?))),
            sni: text(reader, "sni"),
            insecure_skip_verify: spanned(reader, "insecureSkipVerify", |field| field.bool()),
        };
        tls.check(reader);
        tls
    }

    /// The file of authorities; `None` where those of the system are meant.
    pub fn roots_file(&self) -> Option<&Spanned<Box<str>>> {
        self.ca_certificates.as_ref().filter(|file| *file.value != *SYSTEM)
    }

    /// The files of the certificate to show and of its key: with MUTUAL alone, as in Istio.
    pub fn pair_files(&self) -> Option<[&Spanned<Box<str>>; 2]> {
        let is_shown = *self.mode == ClientTlsMode::Mutual;
        is_shown.then_some([self.client_certificate.as_ref()?, self.private_key.as_ref()?])
    }

    fn check(&self, reader: &Reader<'_, '_>) {
        let mode = *self.mode;
        let is_own = matches!(mode, ClientTlsMode::Simple | ClientTlsMode::Mutual);
        let is_mutual = mode == ClientTlsMode::Mutual;
        let files = [
            ("clientCertificate", &self.client_certificate, is_mutual),
            ("privateKey", &self.private_key, is_mutual),
            ("caCertificates", &self.ca_certificates, is_own),
            ("caCrl", &self.ca_crl, is_own),
        ];
        if is_own && self.credential_name.is_some() {
            if files.iter().any(|(_, file, _)| file.is_some()) {
                let fix = Some("keep `credentialName`, or the files".into());
                reader.error("`credentialName` and names of files exclude each other", fix);
            }
        } else if is_mutual {
            for (name, file, _) in &files[..2] {
                if file.is_none() {
                    let fix = "name it, or a Secret as `credentialName`".into();
                    reader.error(format!("MUTUAL needs `{name}`"), Some(fix));
                }
            }
        }
        let secret = ("credentialName", &self.credential_name, is_own);
        for (name, value, is_used) in [secret].into_iter().chain(files) {
            if value.is_some() && !is_used {
                let message = format!("`{name}` has no effect with {}", mode.as_str());
                let modes = if is_own { "MUTUAL" } else { "SIMPLE or MUTUAL" };
                reader.warn(message, Some(format!("remove it, or write `mode: {modes}`")));
            }
        }
        let is_blind = self.insecure_skip_verify.as_ref().is_some_and(|skips| **skips);
        let wants_proof = self.ca_certificates.is_some()
            || !self.subject_alt_names.is_empty()
            || mode == ClientTlsMode::Simple && self.credential_name.is_some();
        if is_own && is_blind && wants_proof {
            let message = "`insecureSkipVerify` excludes authorities and names to verify";
            reader.error(message, Some("remove `insecureSkipVerify`".into()));
        }
    }
}

// === impl ClientTlsMode ===

impl ClientTlsMode {
    const ALL: [Self; 4] = [Self::Disable, Self::Simple, Self::Mutual, Self::IstioMutual];

    fn take(reader: &Reader<'_, '_>) -> Spanned<Self> {
        let modes = Self::ALL.map(|mode| (mode.as_str(), mode));
        let Some(field) = reader.take("mode") else {
            let fix = "write mode: SIMPLE, MUTUAL or ISTIO_MUTUAL".into();
            reader.warn("without `mode` connections are not encrypted", Some(fix));
            return Spanned::new(Self::Disable, reader.at());
        };
        field.spanned(field.choice(&modes).unwrap_or(Self::Simple))
    }

    /// As it is written.
    fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "DISABLE",
            Self::Simple => "SIMPLE",
            Self::Mutual => "MUTUAL",
            Self::IstioMutual => "ISTIO_MUTUAL",
        }
    }
}
