//! How servers are called: transports, TLS, health.

use std::sync::Arc;

use weft_model::backend::{
    Backend, Endpoints, HostHeader, SubjectAltName, UpstreamProtocol, UpstreamTls,
};
use weft_model::calling::{Calling, PoolSettings};
use weft_model::id::BackendId;
use weft_model::listener::{Certificate, TlsVersion};
use weft_model::route::{Affinity, Cookie};
use weft_policy::sticky::cookie_name;
use weft_resilience::settings::{PickerKind, SlowStartSettings};
use weft_resources::traefik::ObjectRef;
use weft_resources::traefik::service as written;
use weft_resources::traefik::service::{BackendSettings, Scheme, Strategy};
use weft_resources::traefik::tls::CertificateRef;
use weft_resources::traefik::transport::{ClientTls, PeerName, RootRef, ServersTransport};
use weft_resources::{Key, Kind, Severity, Spanned};

use super::health;
use super::link::Link;
use super::locate::{Home, Missing, label, locate};
use super::tls::{OLD_MAXIMUM, OLD_MINIMUM, spoken};
use crate::calling::layers::Part;
use crate::certificates::{self, InvalidCertificate};

/// What decides the protocol besides the scheme.
pub(super) struct PortHints<'a> {
    pub(super) number: u16,
    pub(super) name: &'a str,
    pub(super) app_protocol: Option<&'a str>,
}

/// A backend as its settings say; everything but the endpoints.
///
/// # Errors
///
/// When the transport or something in it is missing: calling a server with less protection than
/// was asked for is no option.
pub(super) fn backend(
    link: &mut Link<'_, '_>,
    home: Home<'_>,
    id: String,
    settings: &BackendSettings,
    hints: &PortHints<'_>,
    endpoints: Endpoints,
    path: &str,
) -> Result<Backend, Missing> {
    let scheme = settings.scheme.unwrap_or_else(|| scheme_of(hints));
    let mut pool = PoolSettings::DEFAULT;
    let mut tls = UpstreamTls::default();
    let mut protocol = match scheme {
        Scheme::H2c => UpstreamProtocol::Http2,
        Scheme::Http | Scheme::Https if speaks_http2(hints) => UpstreamProtocol::Http2,
        Scheme::Http | Scheme::Https => UpstreamProtocol::Auto,
    };
    if let Some(name) = &settings.servers_transport {
        let transport = transport(link, home, name)?;
        pool = PoolSettings {
            connect_timeout: transport.dial_timeout,
            idle_per_endpoint_max: transport
                .max_idle_conns_per_host
                .unwrap_or(PoolSettings::DEFAULT.idle_per_endpoint_max),
            idle_timeout: transport.idle_conn_timeout,
            response_head_timeout: Some(transport.response_header_timeout)
                .filter(|timeout| !timeout.is_zero()),
            ..PoolSettings::DEFAULT
        };
        if transport.disable_http2 && protocol == UpstreamProtocol::Auto {
            protocol = UpstreamProtocol::Http1;
        }
        let at = ObjectRef { name: name.value.clone(), namespace: None, at: name.at };
        let resource = locate(link.scope, "ServersTransport", home, &at)?;
        let transport_path = format!("{path}.serversTransport");
        let entered = link.enter(resource, name.at, &transport_path, |link| {
            client_tls(link, Home::of(resource), &transport.tls, "spec")
        });
        tls = entered.and_then(|tls| tls)?;
    }
    if let (None, Endpoints::Dns { name, .. }) = (&tls.server_name, &endpoints) {
        tls.server_name = Some(name.clone());
    }
    let check = settings.health_check.as_deref();
    let check_path = format!("{path}.healthCheck");
    let health_check = check.and_then(|check| health::active(link, check, &check_path));
    let health_check = health_check.map(Arc::new);
    Ok(Backend {
        id: BackendId::new(id),
        endpoints,
        protocol,
        health_check,
        host: if settings.pass_host_header { HostHeader::Pass } else { HostHeader::Endpoint },
        termination_delay: None,
        calling: Arc::new(Calling {
            tls: (scheme == Scheme::Https).then(|| Arc::new(tls)),
            picker: picker(settings.strategy),
            outlier: settings.passive_health_check.map(health::passive),
            slow_start: SlowStartSettings::linear(link.scope.options().slow_start),
            retry_budget: link.scope.options().retry_budget,
            pool,
            ..Calling::default()
        }),
    })
}

/// A suffix that tells apart the uses of one service with different settings; empty for the
/// usual ones. Positions in documents do not count, so that moving lines keeps live state.
pub(super) fn suffix(settings: &BackendSettings) -> String {
    let plain = BackendSettings::default();
    let transport = settings.servers_transport.as_ref().map(|name| &*name.value);
    let is_plain = settings.scheme.is_none()
        && settings.strategy == plain.strategy
        && settings.pass_host_header
        && transport.is_none()
        && settings.sticky.is_none()
        && settings.health_check.is_none()
        && settings.passive_health_check.is_none();
    if is_plain {
        return String::new();
    }
    let text = format!(
        "{:?} {:?} {} {transport:?} {:?} {:?} {:?}",
        settings.scheme,
        settings.strategy,
        settings.pass_host_header,
        settings.sticky,
        settings.health_check.as_deref().map(health::made),
        settings.passive_health_check
    );
    format!("#{:08x}", fnv1a(text.as_bytes()))
}

/// The parts of calls that settings speak of, each with the field that does.
pub(super) fn parts(settings: &BackendSettings) -> Vec<(Part, &'static str)> {
    let asks_for_tls = settings.scheme == Some(Scheme::Https);
    let parts = [
        (settings.strategy != Strategy::default(), Part::Balancing, "strategy"),
        (settings.sticky.is_some(), Part::Session, "sticky"),
        (settings.passive_health_check.is_some(), Part::Outlier, "passiveHealthCheck"),
        (settings.servers_transport.is_some(), Part::Pool, "serversTransport"),
        (asks_for_tls, Part::Tls, "scheme"),
    ];
    let said = parts.into_iter().filter(|(is_said, ..)| *is_said);
    said.map(|(_, part, field)| (part, field)).collect()
}

/// TLS as a transport says.
pub(super) fn client_tls(
    link: &mut Link<'_, '_>,
    home: Home<'_>,
    written: &ClientTls,
    path: &str,
) -> Result<UpstreamTls, Missing> {
    if written.spiffe.is_some() {
        return Err(Missing {
            message: "`spiffe` is not supported, so servers are not called through this transport"
                .into(),
            fix: Some("name the authority in `rootCAs` and the peer in `peerCertURI`".into()),
        });
    }
    if written.insecure_skip_verify {
        let message = "`insecureSkipVerify` accepts any certificate of the servers";
        let fix = "name the authority in `rootCAs` instead".to_owned();
        link.say(Severity::Warning, written.at, path, message, Some(fix));
    }
    let (min_version, max_version) = versions(link, written, path)?;
    let mut roots = Vec::new();
    for root in &written.roots {
        let pem = root_pem(link, home, root)?;
        if !roots.is_empty() {
            roots.push(b'\n');
        }
        roots.extend_from_slice(&pem);
    }
    if written.certificates.len() > 1 {
        let message = "only the first client certificate is used";
        link.say(Severity::Warning, written.at, path, message, None);
    }
    let client = written.certificates.first();
    let client = match client.map(|certificate| certificate_of(link, home, certificate)) {
        None => None,
        Some((None, missing)) => {
            let none = || Missing::because("there is no client certificate");
            return Err(missing.unwrap_or_else(none));
        }
        Some((found, missing)) => {
            if let Some(Missing { message, fix }) = missing {
                link.tell(Severity::Error, written.at, path, &message, fix);
            }
            found
        }
    };
    let names = written.peer_names.iter().map(|name| match name {
        PeerName::Dns(name) => SubjectAltName::Dns(name.clone()),
        PeerName::Uri(uri) => SubjectAltName::Uri(uri.clone()),
    });
    Ok(UpstreamTls {
        server_name: Some(written.server_name.clone()).filter(|name| !name.is_empty()),
        roots_pem: (!roots.is_empty()).then(|| roots.into()),
        client,
        insecure_skip_verify: written.insecure_skip_verify,
        subject_alt_names: names.collect(),
        min_version,
        max_version,
        files: None,
    })
}

/// The lowest and the highest version that a transport names.
fn versions(
    link: &mut Link<'_, '_>,
    written: &ClientTls,
    path: &str,
) -> Result<(TlsVersion, TlsVersion), Missing> {
    let UpstreamTls { mut min_version, mut max_version, .. } = UpstreamTls::default();
    if let Some(version) = &written.min_version {
        match spoken(version.value) {
            Some(version) => min_version = version,
            None => {
                let path = format!("{path}.minVersion");
                link.say(Severity::Warning, version.at, &path, OLD_MINIMUM, None);
            }
        }
    }
    if let Some(version) = &written.max_version {
        max_version = spoken(version.value).ok_or_else(|| Missing::because(OLD_MAXIMUM))?;
    }
    Ok((min_version, max_version))
}

/// A certificate from a Secret or from files.
pub(super) fn certificate_of(
    link: &Link<'_, '_>,
    home: Home<'_>,
    certificate: &CertificateRef,
) -> (Option<Arc<Certificate>>, Option<Missing>) {
    let (cert, key) = match certificate {
        CertificateRef::Secret(name) => {
            return match link.scope.certificate(home.namespace(), name) {
                Ok(certificate) => (Some(certificate), None),
                Err(error) => (None, Some(Missing::certificate(&error))),
            };
        }
        CertificateRef::Files { cert, key } => (cert, key),
    };
    let (chain, key) = match (pem(link, cert), pem(link, key)) {
        (Ok(chain), Ok(key)) => (chain, key),
        (Err(missing), _) | (_, Err(missing)) => return (None, Some(missing)),
    };
    let name = origin(cert);
    if is_inline(cert) {
        return match certificates::from_pem(&name, &chain, &key) {
            Ok(certificate) => (Some(Arc::new(certificate)), None),
            Err(error) => (None, Some(Missing::certificate(&error))),
        };
    }
    let (found, error) = link.scope.certificates().of_pair(&name, &chain, &key);
    let missing = error.map(|error| Missing::because(broken_pair(&error, found.is_some())));
    (found, missing)
}

/// What is said of two files that do not belong together.
pub(super) fn broken_pair(error: &InvalidCertificate, has_older: bool) -> String {
    match has_older {
        true => format!("{error}; the certificate that was there before is still served"),
        false => error.to_string(),
    }
}

/// What messages call a certificate that is given by file or in place.
pub(super) fn origin(text: &str) -> String {
    if is_inline(text) {
        "the certificate in the document".into()
    } else {
        format!("file `{text}`")
    }
}

/// PEM text, or the content of a file.
pub(super) fn pem(link: &Link<'_, '_>, text: &Spanned<Box<str>>) -> Result<Arc<[u8]>, Missing> {
    if is_inline(text) {
        return Ok(text.as_bytes().into());
    }
    let file = link.scope.options().files.get(&text.value);
    file.map(Arc::clone).ok_or_else(|| Missing {
        message: format!("file `{}` cannot be read", text.value),
        fix: Some(
            "write its path as seen from where the gateway is started, and let its user read it"
                .into(),
        ),
    })
}

/// Whether a field that may name a file holds PEM itself, which Traefik allows.
pub(super) fn is_inline(text: &str) -> bool {
    text.contains("-----BEGIN")
}

/// The authorities that a reference names, PEM.
pub(super) fn root_pem(
    link: &Link<'_, '_>,
    home: Home<'_>,
    root: &RootRef,
) -> Result<Arc<[u8]>, Missing> {
    let namespace = home.namespace();
    let without_authority = |name: &str| Missing {
        message: format!("{name} has no `ca.crt`"),
        fix: Some("put the authority, PEM, under `ca.crt`".into()),
    };
    let (pem, origin): (Arc<[u8]>, String) = match root {
        RootRef::File(text) => (pem(link, text)?, origin(text)),
        RootRef::Secret(name) => {
            let key = Key::new("", "Secret", namespace, name.value.clone());
            let name = format!("secret `{namespace}/{}`", name.value);
            let found = link.scope.get(key.clone()).map(|found| &found.body);
            let Some(Kind::Secret(secret)) = found else {
                return Err(Missing::resource(link.scope, key, &name));
            };
            let value = secret.value("tls.ca").or_else(|| secret.value("ca.crt"));
            (value.ok_or_else(|| without_authority(&name))?.into(), name)
        }
        RootRef::ConfigMap(name) => {
            let key = Key::new("", "ConfigMap", namespace, name.value.clone());
            let name = format!("config map `{namespace}/{}`", name.value);
            let found = link.scope.get(key.clone()).map(|found| &found.body);
            let Some(Kind::ConfigMap(map)) = found else {
                return Err(Missing::resource(link.scope, key, &name));
            };
            (map.value("ca.crt").ok_or_else(|| without_authority(&name))?.into(), name)
        }
    };
    certificates::check_roots(&origin, &pem).map_err(|error| Missing::certificate(&error))?;
    Ok(pem)
}

fn transport<'a>(
    link: &Link<'_, 'a>,
    home: Home<'_>,
    name: &Spanned<Box<str>>,
) -> Result<&'a ServersTransport, Missing> {
    let reference = ObjectRef { name: name.value.clone(), namespace: None, at: name.at };
    let found = locate(link.scope, "ServersTransport", home, &reference)?;
    match &found.body {
        Kind::ServersTransport(transport) => Ok(transport),
        _ => Err(Missing::because(format!("{} is no transport", label(found)))),
    }
}

/// The scheme where the user names none: as Traefik decides by port, and by `appProtocol`.
fn scheme_of(hints: &PortHints<'_>) -> Scheme {
    match hints.app_protocol {
        Some("https" | "kubernetes.io/https") => Scheme::Https,
        Some("kubernetes.io/h2c" | "h2c") => Scheme::H2c,
        _ if hints.number == 443 || hints.name.starts_with("https") => Scheme::Https,
        _ => Scheme::Http,
    }
}

/// Whether the port says that only HTTP/2 is spoken, so that gRPC is never sent over HTTP/1.1.
fn speaks_http2(hints: &PortHints<'_>) -> bool {
    let is_http2 = |text: &str| {
        ["grpc", "h2c", "http2"].iter().any(|name| {
            text.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    hints.app_protocol.is_some_and(is_http2) || is_http2(hints.name)
}

fn picker(strategy: Strategy) -> PickerKind {
    match strategy {
        Strategy::Wrr => PickerKind::RoundRobin,
        Strategy::P2c => PickerKind::LeastRequest,
        Strategy::Hrw => PickerKind::Rendezvous,
        Strategy::LeastTime => PickerKind::PeakEwma,
    }
}

/// A cookie for choices that Traefik calls `name` together.
pub(super) fn cookie(sticky: &written::Sticky, name: &str) -> Affinity {
    Affinity::Cookie(Cookie {
        name: cookie_name(&sticky.name, name).into(),
        path: sticky.path.clone(),
        domain: sticky.domain.clone(),
        http_only: sticky.http_only,
        secure: sticky.secure,
        same_site: sticky.same_site.clone(),
        max_age_secs: sticky.max_age_secs,
    })
}

/// A small hash that never changes (FNV-1a).
pub(super) fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
