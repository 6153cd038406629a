//! Certificates and TLS options by server name.

use std::collections::BTreeMap;
use std::sync::Arc;

use weft_model::listener::{Certificate, ClientAuth, TlsEntry, TlsOptions, TlsVersion};
use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_model::route::{HostMatch, Matcher};
use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::middleware::MiddlewareKind;
use weft_resources::traefik::route::RouterTls;
use weft_resources::traefik::tls::{CertificateRef, ClientAuthKind, TlsOption, Version};
use weft_resources::traefik::transport::{ClientTls, RootRef};
use weft_resources::{Kind, Pos, Problem, Resource, Severity, Spanned};

use super::link::Link;
use super::locate::{Home, Missing, label, locate};
use super::prepare::{Problems, Value};
use super::{Memo, Piece, server};
use crate::certificates;
use crate::context::{Context, Output};

/// TLS as the routers of one resource ask for it.
#[derive(Debug)]
pub(super) struct Use {
    /// Hosts in their rules: the name, `*.` in front of one label.
    hosts: Vec<Box<str>>,
    /// A `TLSOption` by its label; `None` is the default.
    options: Option<(Box<str>, Arc<TlsOptions>)>,
    certificates: Vec<Arc<Certificate>>,
    at: Pos,
}

/// The name of the options and the store that hold where nothing else is said.
const DEFAULT: &str = "default";

/// What is said of a lowest version that we do not speak.
pub(super) const OLD_MINIMUM: &str = "TLS 1.0 and 1.1 are not spoken; the lowest version is 1.2";

/// The same of a highest version.
pub(super) const OLD_MAXIMUM: &str = "TLS 1.0 and 1.1 are not spoken, so no version is left";

const TLS13_SUITES: [&str; 3] =
    ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"];

const TLS12_SUITES: [&str; 6] = [
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/// Go's names of key exchange groups and IANA's.
const GROUPS: [(&str, &str); 10] = [
    ("CurveP256", "secp256r1"),
    ("secp256r1", "secp256r1"),
    ("P256", "secp256r1"),
    ("CurveP384", "secp384r1"),
    ("secp384r1", "secp384r1"),
    ("P384", "secp384r1"),
    ("X25519", "X25519"),
    ("x25519", "X25519"),
    ("X25519MLKEM768", "X25519MLKEM768"),
    ("x25519mlkem768", "X25519MLKEM768"),
];

// === impl Use ===

impl Use {
    /// Looks up what `tls` of a router names.
    ///
    /// # Errors
    ///
    /// A refusal when its options cannot be enforced: they may ask for client certificates.
    pub(super) fn new(
        link: &mut Link<'_, '_>,
        home: Home<'_>,
        tls: &RouterTls,
        path: &str,
    ) -> Result<Self, Refusal> {
        let mut used =
            Self { hosts: Vec::new(), options: None, certificates: Vec::new(), at: tls.at };
        if let Some(resolver) = tls.cert_resolver.as_ref().filter(|name| !name.is_empty()) {
            let message = format!(
                "certificates are not fetched here, so `{}` has no effect: a certificate that fits \
                 the name is served, or else the default one",
                resolver.value
            );
            let fix = "name a Secret in `secretName`, or start with --cert and --key".into();
            let path = format!("{path}.certResolver");
            link.say(Severity::Warning, resolver.at, &path, &message, Some(fix));
        } else if !tls.domains.is_empty() {
            let message = "`domains` has no effect: certificates are not fetched here";
            link.say(Severity::Warning, tls.at, &format!("{path}.domains"), message, None);
        }
        if let Some(store) = tls.store.as_ref().filter(|store| &*store.name != DEFAULT) {
            let message = "`store` has no effect: there is one store, `default`, as in Traefik";
            link.say(Severity::Warning, store.at, &format!("{path}.store"), message, None);
        }
        if let Some(name) = &tls.secret_name {
            match link.scope.certificate(home.namespace(), name) {
                Ok(certificate) => used.certificates.push(certificate),
                Err(error) => {
                    let message = format!("{error}; the default certificate is served");
                    let path = format!("{path}.secretName");
                    link.tell(Severity::Error, name.at, &path, &message, error.fix());
                }
            }
        }
        if let Some(reference) = tls.options.as_ref().filter(|reference| !is_default(reference)) {
            let path = format!("{path}.options");
            let options = locate(link.scope, "TLSOption", home, reference)
                .and_then(|found| named_options(link, found).map(|options| (found, options)));
            let (found, options) = options.map_err(|missing| {
                link.refuse(Reason::PolicyUnenforceable, reference.at, &path, missing)
            })?;
            used.options = Some((label(found).into(), options));
        }
        Ok(used)
    }

    /// Adds the hosts of a rule.
    pub(super) fn add_hosts(&mut self, hosts: Vec<&HostMatch>) {
        for host in hosts {
            let Some(name) = host_name(host) else { continue };
            if !self.hosts.iter().any(|known| **known == *name) {
                self.hosts.push(name.into());
            }
        }
    }

    /// The name of the options of its own.
    pub(super) fn options_name(&self) -> Option<&str> {
        self.options.as_ref().map(|(name, _)| &**name)
    }

    /// A refusal when the options protect and a request that the rule takes may come over a
    /// connection that they do not hold for: they go by server name, and the rule names none.
    pub(super) fn unprotected(
        &self,
        link: &mut Link<'_, '_>,
        matcher: &Matcher,
        at: Pos,
        path: &str,
    ) -> Option<Refusal> {
        let (name, options) = self.options.as_ref().filter(|_| !names_hosts(matcher))?;
        let message = format!(
            "the TLS options `{name}` go by host, and this rule does not name the hosts of all \
             requests it takes"
        );
        let fix = Some("add Host(`...`) to the rule".to_owned());
        if asks_client(options) {
            let reason = Reason::PolicyUnenforceable;
            return Some(link.refuse(
                reason,
                at,
                path,
                Missing { message, fix: fix.map(Into::into) },
            ));
        }
        link.say(Severity::Warning, at, path, &message, fix);
        None
    }

    /// The options of its own, or the usual ones.
    pub(super) fn options(&self) -> Arc<TlsOptions> {
        match &self.options {
            Some((_, options)) => Arc::clone(options),
            None => Arc::new(default_options()),
        }
    }
}

/// A host as certificates name it; `None` for a condition that names none.
pub(super) fn host_name(host: &HostMatch) -> Option<String> {
    match host {
        HostMatch::Exact(name) => Some(name.to_string()),
        HostMatch::OneLabel(suffix) => Some(format!("*.{suffix}")),
        HostMatch::AnyLabels(_) | HostMatch::Regex(_) | HostMatch::Any => None,
    }
}

/// Whether every request that a rule takes has a host that it names.
pub(super) fn names_hosts(matcher: &Matcher) -> bool {
    match matcher {
        Matcher::All(all) => all.iter().any(names_hosts),
        Matcher::Any(any) => any.iter().all(names_hosts),
        Matcher::Host(host) => matches!(host, HostMatch::Exact(_) | HostMatch::OneLabel(_)),
        _ => false,
    }
}

/// Whether options ask for client certificates.
fn asks_client(options: &TlsOptions) -> bool {
    options.client_auth != ClientAuth::None
}

/// Whether options are the ones that hold anyway.
fn is_default(reference: &ObjectRef) -> bool {
    &*reference.name == DEFAULT && reference.namespace.is_none()
}

/// Options where no document says anything.
pub(super) fn default_options() -> TlsOptions {
    TlsOptions::modern()
}

/// The files that a resource names.
pub(crate) fn referenced_files(resource: &Resource) -> Vec<Box<str>> {
    let mut files = Vec::new();
    let mut add = |text: &Spanned<Box<str>>| {
        if !server::is_inline(text) {
            files.push(text.value.clone());
        }
    };
    let pair = |certificate: &CertificateRef, add: &mut dyn FnMut(&Spanned<Box<str>>)| {
        if let CertificateRef::Files { cert, key } = certificate {
            add(cert);
            add(key);
        }
    };
    let client = |tls: &ClientTls, add: &mut dyn FnMut(&Spanned<Box<str>>)| {
        tls.certificates.iter().for_each(|certificate| pair(certificate, add));
        for root in &tls.roots {
            if let RootRef::File(file) = root {
                add(file);
            }
        }
    };
    match &resource.body {
        Kind::FileCertificate(certificate) => pair(&certificate.certificate, &mut add),
        Kind::TlsStore(store) => {
            let all = store.certificates.iter().chain(&store.default_certificate);
            all.for_each(|certificate| pair(certificate, &mut add));
        }
        Kind::TlsOption(option) => {
            let files = option.client_auth.iter().flat_map(|auth| &auth.ca_files);
            files.for_each(add);
        }
        Kind::ServersTransport(transport) => client(&transport.tls, &mut add),
        Kind::ServersTransportTcp(transport) => {
            transport.tls.iter().for_each(|tls| client(tls, &mut add));
        }
        Kind::Middleware(middleware) => match &middleware.kind {
            MiddlewareKind::BasicAuth(auth) => auth.users_file.iter().for_each(add),
            MiddlewareKind::ForwardAuth(auth) => {
                auth.tls.iter().for_each(|tls| client(tls, &mut add));
            }
            _ => {}
        },
        _ => {}
    }
    files
}

/// A version, if we speak it.
pub(super) fn spoken(version: Version) -> Option<TlsVersion> {
    match version {
        Version::Tls13 => Some(TlsVersion::Tls13),
        Version::Tls12 => Some(TlsVersion::Tls12),
        Version::Tls10 | Version::Tls11 => None,
    }
}

/// Looks at options alone; the authorities for client certificates come later.
pub(super) fn prepare(option: &TlsOption, problems: &mut Problems<'_>) -> Option<TlsOptions> {
    let mut options = default_options();
    if let Some(version) = &option.min_version {
        options.min_version = spoken(version.value).unwrap_or_else(|| {
            problems.warn(version.at, "spec.minVersion", OLD_MINIMUM);
            TlsVersion::Tls12
        });
    }
    if let Some(version) = &option.max_version {
        let Some(spoken) = spoken(version.value) else {
            problems.error(version.at, "spec.maxVersion", OLD_MAXIMUM);
            return None;
        };
        options.max_version = spoken;
    }
    options.cipher_suites = suites(option, problems)?;
    options.groups = groups(option, problems)?;
    if let Some(protocols) = &option.alpn_protocols {
        let own = protocols.iter().filter(|name| &***name != "acme-tls/1");
        options.alpn = own.cloned().collect();
    }
    options.session_tickets = !option.disable_session_tickets;
    options.sni_strict = option.sni_strict;
    Some(options)
}

fn suites(option: &TlsOption, problems: &mut Problems<'_>) -> Option<Vec<Box<str>>> {
    let mut suites: Vec<Box<str>> = Vec::new();
    for name in &option.cipher_suites {
        let full = match &*name.value {
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305" => "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
            "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305" => {
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
            }
            other => other,
        };
        if TLS12_SUITES.contains(&full) || TLS13_SUITES.contains(&full) {
            suites.push(full.into());
        } else {
            let message = format!("the cipher suite `{}` is not spoken", name.value);
            problems.warn(name.at, "spec.cipherSuites", message);
        }
    }
    let Some(first) = option.cipher_suites.first() else { return Some(suites) };
    if suites.is_empty() {
        problems.error(first.at, "spec.cipherSuites", "no cipher suite is left");
        return None;
    }
    // As in Traefik, a list of suites of TLS 1.2 says nothing about TLS 1.3.
    if !suites.iter().any(|suite| TLS13_SUITES.contains(&&**suite)) {
        suites.extend(TLS13_SUITES.map(Into::into));
    }
    Some(suites)
}

fn groups(option: &TlsOption, problems: &mut Problems<'_>) -> Option<Vec<Box<str>>> {
    let mut groups: Vec<Box<str>> = Vec::new();
    for name in &option.curve_preferences {
        match GROUPS.iter().find(|(go, _)| *go == &*name.value) {
            Some((_, iana)) => groups.push((*iana).into()),
            None => {
                let message = format!("the group `{}` is not spoken", name.value);
                problems.warn(name.at, "spec.curvePreferences", message);
            }
        }
    }
    match option.curve_preferences.first() {
        Some(first) if groups.is_empty() => {
            problems.error(first.at, "spec.curvePreferences", "no group is left");
            None
        }
        _ => Some(groups),
    }
}

/// Where options name the authorities for client certificates, the one part of them that is made
/// from other resources.
fn authority_of(resource: &Resource) -> (Pos, &'static str) {
    let Kind::TlsOption(option) = &resource.body else { return (Pos::FIRST, "spec") };
    let auth = option.client_auth.as_ref();
    let secret = auth.and_then(|auth| auth.secret_names.first());
    let file = auth.and_then(|auth| auth.ca_files.first());
    match (secret, file) {
        (Some(secret), _) => (secret.at, "spec.clientAuth.secretNames"),
        (None, Some(file)) => (file.at, "spec.clientAuth.caFiles"),
        (None, None) => (Pos::FIRST, "spec"),
    }
}

/// Options as a resource says, with the authorities for client certificates.
fn named_options(
    link: &mut Link<'_, '_>,
    resource: &Arc<Resource>,
) -> Result<Arc<TlsOptions>, Missing> {
    let prepared = link.prepared(resource);
    let (Some(Value::TlsOptions(options)), Kind::TlsOption(written)) = (prepared, &resource.body)
    else {
        let line = link.scope.line(resource, Pos::FIRST);
        let message = format!("{} ({}:{line}) is not valid", resource.key, resource.file);
        return Err(Missing { message, fix: Some("correct what is said about it".into()) });
    };
    let Some(auth) = &written.client_auth else { return Ok(Arc::clone(options)) };
    let home = Home::of(resource);
    let mut roots = Vec::new();
    let secrets = auth.secret_names.iter().cloned().map(RootRef::Secret);
    for root in secrets.chain(auth.ca_files.iter().cloned().map(RootRef::File)) {
        roots.extend_from_slice(&server::root_pem(link, home, &root)?);
        roots.push(b'\n');
    }
    let verified = |roots: Vec<u8>| {
        if roots.is_empty() {
            let message = format!(
                "{} asks for verified client certificates and names no authority",
                resource.key
            );
            return Err(Missing { message, fix: Some("name Secrets in `secretNames`".into()) });
        }
        Ok(roots.into())
    };
    let client_auth = match auth.kind {
        ClientAuthKind::NoClientCert => ClientAuth::None,
        ClientAuthKind::RequestClientCert => ClientAuth::Request,
        ClientAuthKind::RequireAnyClientCert => ClientAuth::RequireAny,
        ClientAuthKind::VerifyClientCertIfGiven => ClientAuth::VerifyIfGiven(verified(roots)?),
        ClientAuthKind::RequireAndVerifyClientCert => {
            ClientAuth::RequireAndVerify(verified(roots)?)
        }
    };
    Ok(Arc::new(TlsOptions { client_auth, ..TlsOptions::clone(options) }))
}

/// Certificates and options of every entry point that speaks TLS.
pub(super) fn finish(
    context: &Context<'_>,
    memo: &Memo,
    pieces: &[(Arc<Resource>, Arc<Piece>)],
    output: &mut Output,
) {
    let stock = Stock::collect(context, memo, pieces, output);
    for (index, entry_point) in context.options.entry_points.iter().enumerate() {
        let here: Vec<_> =
            pieces.iter().filter(|(_, piece)| piece.placement.contains(&(index, true))).collect();
        let has_tls_routes =
            here.iter().any(|(_, piece)| !piece.http.is_empty() || !piece.tcp.is_empty());
        if !entry_point.tls && !has_tls_routes {
            continue;
        }
        let hosts = host_options(context, &here, output);
        let id = || weft_model::id::ListenerId::new(&*entry_point.name);
        let draft = output.drafts.at(entry_point.addr, id);
        draft.entries.extend(stock.entries(&hosts));
        if draft.default.is_none() {
            draft.default = stock.default_entry();
        }
        // A TLS connection without a TCP route is for HTTP, even if only to answer 404.
        draft.tls.http_enabled = true;
    }
}

/// Options by their label.
type Named = (Box<str>, Arc<TlsOptions>);

/// The options of each host of a rule; `None` is the default, also where routers disagree.
fn host_options(
    context: &Context<'_>,
    pieces: &[&(Arc<Resource>, Arc<Piece>)],
    output: &mut Output,
) -> BTreeMap<Box<str>, Option<Named>> {
    type Asked<'a> = (Option<&'a Named>, &'a Arc<Resource>);
    let mut asked: BTreeMap<&str, Asked<'_>> = BTreeMap::new();
    let mut hosts: BTreeMap<Box<str>, Option<Named>> = BTreeMap::new();
    for (resource, piece) in pieces {
        let Some(used) = &piece.tls else { continue };
        for host in &used.hosts {
            let own = used.options.as_ref();
            let (first, other) = asked.entry(host).or_insert((own, resource));
            let name = |options: Option<&Named>| -> Box<str> {
                options.map_or(DEFAULT.into(), |(name, _)| name.clone())
            };
            if name(*first) == name(own) {
                hosts.entry(host.clone()).or_insert_with(|| own.cloned());
                continue;
            }
            // As Traefik does: neither, but the default; unless that would drop a protection.
            let protecting =
                [*first, own].into_iter().flatten().find(|named| asks_client(&named.1));
            let known = hosts.get(host).cloned().flatten().filter(|named| asks_client(&named.1));
            let chosen = known.or_else(|| protecting.cloned());
            let message = format!(
                "the host `{host}` is given the TLS options `{}` here and `{}` by {} ({}:{}); \
                 `{}` is used",
                name(own),
                name(*first),
                other.key,
                other.file,
                context.line(other, Pos::FIRST),
                name(chosen.as_ref())
            );
            let problem =
                Problem::new(Severity::Warning, &resource.file, used.at, "tls.options", message)
                    .with_fix("give every router of a host the same options");
            output.problem(&resource.key, problem);
            hosts.insert(host.clone(), chosen);
        }
    }
    hosts
}

/// All certificates, and what holds where nothing else is said.
struct Stock {
    by_name: BTreeMap<Box<str>, Vec<Arc<Certificate>>>,
    default: Option<Arc<Certificate>>,
    options: Arc<TlsOptions>,
    /// The default options are written and cannot be enforced. They may ask for client
    /// certificates, so what they would hold for is not served.
    is_closed: bool,
}

// === impl Stock ===

impl Stock {
    fn collect(
        context: &Context<'_>,
        memo: &Memo,
        pieces: &[(Arc<Resource>, Arc<Piece>)],
        output: &mut Output,
    ) -> Self {
        let mut stock = Self {
            by_name: BTreeMap::new(),
            default: None,
            options: Arc::new(default_options()),
            is_closed: context
                .rejected
                .keys()
                .any(|key| key.kind == "TLSOption" && &*key.name == DEFAULT),
        };
        let mut options_from: Option<&Resource> = None;
        for resource in context.resources {
            let scope = context.scope();
            let mut link = Link::new(&scope, memo, resource);
            match &resource.body {
                Kind::TlsOption(_) => {
                    stock.options_of(&mut link, resource, &mut options_from);
                }
                Kind::TlsStore(_) | Kind::FileCertificate(_) => {
                    stock.certificates_of(&mut link, resource);
                }
                _ => continue,
            }
            for problem in link.problems {
                output.problem(&resource.key, problem);
            }
        }
        let used = pieces.iter().filter_map(|(_, piece)| piece.tls.as_deref());
        used.flat_map(|used| &used.certificates).for_each(|certificate| stock.add(certificate));
        stock.given(context, output);
        stock
    }

    fn options_of<'a>(
        &mut self,
        link: &mut Link<'_, '_>,
        resource: &'a Arc<Resource>,
        from: &mut Option<&'a Resource>,
    ) {
        let at = Pos::FIRST;
        let (authority_at, path) = authority_of(resource);
        let options = match named_options(link, resource) {
            Ok(options) => options,
            Err(missing) => {
                let mut message = missing.message;
                if resource.name() == DEFAULT {
                    self.is_closed = true;
                    message.push_str("; what the default options hold for is not served");
                }
                link.tell(Severity::Error, authority_at, path, &message, missing.fix);
                return;
            }
        };
        if resource.name() != DEFAULT {
            return;
        }
        if let Some(first) = from {
            let message = format!(
                "there are default TLS options already, in {}:{}; these are used only where they \
                 are named",
                first.file,
                link.scope.line(first, Pos::FIRST)
            );
            link.say(Severity::Warning, at, "metadata.name", &message, None);
            return;
        }
        *from = Some(resource);
        self.options = options;
    }

    fn certificates_of(&mut self, link: &mut Link<'_, '_>, resource: &Arc<Resource>) {
        let at = Pos::FIRST;
        let home = Home::of(resource);
        let mut get = |certificate: &CertificateRef, path: &str| {
            let (found, missing) = server::certificate_of(link, home, certificate);
            if let Some(missing) = missing {
                let at = certificate.at();
                link.tell(Severity::Error, at, path, &missing.message, missing.fix);
            }
            found
        };
        match &resource.body {
            Kind::FileCertificate(file) => {
                let is_default =
                    file.stores.is_empty() || file.stores.iter().any(|name| &**name == DEFAULT);
                match get(&file.certificate, "tls.certificates") {
                    Some(certificate) if is_default => self.add(&certificate),
                    Some(_) => {
                        let message = "only the store `default` exists, as in Traefik; this \
                                       certificate is not served";
                        link.say(Severity::Warning, at, "tls.certificates", message, None);
                    }
                    None => {}
                }
            }
            Kind::TlsStore(store) => {
                for (index, certificate) in store.certificates.iter().enumerate() {
                    let path = format!("spec.certificates[{index}]");
                    if let Some(certificate) = get(certificate, &path) {
                        self.add(&certificate);
                    }
                }
                let default = store.default_certificate.as_ref();
                let default = default.and_then(|written| get(written, "spec.defaultCertificate"));
                if resource.name() == DEFAULT {
                    self.default = self.default.take().or(default);
                } else {
                    let message = "only the store `default` exists, as in Traefik; the default \
                                   certificate of this one has no effect";
                    link.say(Severity::Warning, at, "metadata.name", message, None);
                }
                if let Some(at) = store.default_generated {
                    let message =
                        "`defaultGeneratedCert` has no effect: certificates are not fetched here";
                    link.say(Severity::Warning, at, "spec.defaultGeneratedCert", message, None);
                }
            }
            _ => {}
        }
    }

    /// The certificates of the command line.
    fn given(&mut self, context: &Context<'_>, output: &mut Output) {
        for pair in &context.options.certificates {
            let (found, error) = context.certificates.of_pair(&pair.origin, &pair.chain, &pair.key);
            if let Some(error) = error {
                let file = Arc::from(&*pair.origin);
                let message = server::broken_pair(&error, found.is_some());
                let problem = Problem::new(Severity::Error, &file, Pos::default(), "", message);
                output.general.push(problem);
            }
            if let Some(certificate) = found {
                self.add(&certificate);
                self.default.get_or_insert(certificate);
            }
        }
        if self.default.is_none() {
            let made = context.options.self_signed.as_ref();
            let made = made
                .and_then(|pair| certificates::from_pem(&pair.origin, &pair.chain, &pair.key).ok());
            self.default = made.map(Arc::new);
        }
    }

    fn add(&mut self, certificate: &Arc<Certificate>) {
        for name in &certificate.names {
            let known = self.by_name.entry(name.clone()).or_default();
            if !known.contains(certificate) {
                known.push(Arc::clone(certificate));
            }
        }
    }

    fn default_entry(&self) -> Option<TlsEntry> {
        // With strict names there is nothing to serve for a name that no certificate fits.
        let is_served = !self.options.sni_strict && !self.is_closed;
        let certificate = self.default.as_ref().filter(|_| is_served)?;
        Some(self.entry("", vec![Arc::clone(certificate)], None))
    }

    /// One entry for each name of a certificate, and for each host with options of its own.
    fn entries(&self, hosts: &BTreeMap<Box<str>, Option<Named>>) -> Vec<TlsEntry> {
        let mut entries = Vec::new();
        for (name, certificates) in &self.by_name {
            let own = hosts.get(name).and_then(Option::as_ref);
            if own.is_some() || !self.is_closed {
                entries.push(self.entry(name, certificates.clone(), own));
            }
        }
        for (host, own) in hosts.iter().filter(|(host, _)| !self.by_name.contains_key(*host)) {
            // A host under a wildcard with other options must not fall under those.
            let wildcard = host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
            let wildcard = wildcard.as_deref();
            let is_shadowed =
                wildcard.is_some_and(|name| hosts.get(name).is_some_and(Option::is_some));
            if own.is_none() && (!is_shadowed || self.is_closed) {
                continue;
            }
            let fitting = wildcard.and_then(|name| self.by_name.get(name)).cloned();
            let certificates =
                fitting.unwrap_or_else(|| self.default.iter().map(Arc::clone).collect());
            if !certificates.is_empty() {
                entries.push(self.entry(host, certificates, own.as_ref()));
            }
        }
        entries
    }

    fn entry(
        &self,
        host: &str,
        certificates: Vec<Arc<Certificate>>,
        own: Option<&Named>,
    ) -> TlsEntry {
        let (name, options) = own.map_or((DEFAULT, &self.options), |(name, own)| (name, own));
        TlsEntry {
            host: host.into(),
            deep: false,
            certificates,
            options: Arc::clone(options),
            site: format!("traefik/{name}").into(),
        }
    }
}
