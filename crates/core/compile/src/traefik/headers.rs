//! The `headers` middleware: cross-origin rules, custom headers, security headers.
//!
//! In Traefik the security part sits inside the custom part: a request passes the cross-origin
//! rules and custom request headers first, and a response gets the security headers first, so that
//! custom response headers win.

use weft_message::FieldName;
use weft_model::policy::{Cors, HeaderEdits, Rewrite, SecureHeaders, StepKind};
use weft_policy::fields::is_settable;
use weft_resources::Pos;
use weft_resources::traefik::middleware::Headers;

use super::middleware::{field_name, pattern};
use super::prepare::Problems;

/// The steps, with a suffix for the id of each.
pub(super) fn steps(
    headers: &Headers,
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> Vec<(&'static str, StepKind)> {
    let mut steps = Vec::new();
    if headers.cors.is_set() {
        steps.push(("cors", StepKind::Cors(cors(headers, path, problems))));
    }
    let (request, host) = request_edits(headers, at, path, problems);
    if request != HeaderEdits::default() {
        steps.push(("request", StepKind::RequestHeaders(request)));
    }
    if let Some(host) = host {
        let rewrite = Rewrite { host: Some(host), path: None };
        steps.push(("host", StepKind::Rewrite(rewrite)));
    }
    let response = edits(
        &headers.custom_response_headers,
        at,
        &format!("{path}.customResponseHeaders"),
        problems,
    );
    if response != HeaderEdits::default() {
        steps.push(("response", StepKind::ResponseHeaders(response)));
    }
    if let Some(redirect) = ssl_redirect(headers, at, path, problems) {
        steps.push(("redirect", redirect));
    }
    let secure = secure(headers, at, path, problems);
    if secure != SecureHeaders::default() {
        steps.push(("secure", StepKind::SecureHeaders(secure)));
    }
    if steps.is_empty() && problems.list.is_empty() {
        problems.warn(at, path, "this middleware does nothing");
    }
    steps
}

fn cors(headers: &Headers, path: &str, problems: &mut Problems<'_>) -> Cors {
    let cors = &headers.cors;
    let path = format!("{path}.accessControlAllowOriginListRegex");
    let patterns = cors.allow_origin_list_regex.iter();
    Cors {
        allow_origins: cors.allow_origin_list.clone(),
        allow_origin_patterns: patterns.filter_map(|text| pattern(text, &path, problems)).collect(),
        allow_methods: cors.allow_methods.clone(),
        allow_headers: cors.allow_headers.clone(),
        expose_headers: cors.expose_headers.clone(),
        allow_credentials: cors.allow_credentials,
        // Traefik sends 0 too, which tells a browser to ask each time.
        max_age_secs: Some(cors.max_age),
        always_vary: cors.add_vary_header,
        answer_all_preflights: true,
    }
}

/// Custom request headers; `Host` is not a header of ours but part of the target.
fn request_edits(
    headers: &Headers,
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> (HeaderEdits, Option<Box<str>>) {
    let mut host = None;
    let mut pairs = Vec::new();
    for (name, value) in &headers.custom_request_headers {
        if !name.eq_ignore_ascii_case("host") {
            pairs.push((name.clone(), value.clone()));
        } else if value.is_empty() {
            let path = format!("{path}.customRequestHeaders.{name}");
            problems.error(at, path, "`Host` cannot be removed");
        } else {
            host = Some(value.clone());
        }
    }
    let path = format!("{path}.customRequestHeaders");
    (edits(&pairs, at, &path, problems), host)
}

/// An empty value removes.
fn edits(
    pairs: &[(Box<str>, Box<str>)],
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> HeaderEdits {
    let mut edits = HeaderEdits::default();
    for (name, value) in pairs {
        let path = format!("{path}.{name}");
        let Some(name) = field_name(name, at, &path, problems) else { continue };
        if !is_settable(&name) {
            let message = format!(
                "it has no effect: `{name}` frames the message or belongs to the connection, and \
                 is the gateway's own"
            );
            problems.warn(at, path, message).fix = Some("remove it".into());
        } else if !is_field_value(value) {
            problems.error(at, path, "the value holds control characters");
        } else if value.is_empty() {
            edits.remove.push(name);
        } else {
            edits.set.push((name, value.clone()));
        }
    }
    edits
}

fn secure(headers: &Headers, at: Pos, path: &str, problems: &mut Problems<'_>) -> SecureHeaders {
    let mut names = |list: &[Box<str>], field: &str| -> Vec<FieldName> {
        let path = format!("{path}.{field}");
        list.iter().filter_map(|name| field_name(name, at, &path, problems)).collect()
    };
    let hosts_proxy_headers = names(&headers.hosts_proxy_headers, "hostsProxyHeaders");
    let ssl_path = format!("{path}.sslProxyHeaders");
    let ssl_proxy_headers: Vec<(FieldName, Box<str>)> = headers
        .ssl_proxy_headers
        .iter()
        .filter_map(|(name, value)| {
            Some((field_name(name, at, &ssl_path, problems)?, value.clone()))
        })
        .collect();
    let response = fixed(headers, at, path, problems);
    // isDevelopment switches off what would be in the way on a laptop.
    let sts = (headers.sts_seconds > 0 && !headers.is_development).then(|| sts(headers));
    let allowed_hosts =
        if headers.is_development { Vec::new() } else { headers.allowed_hosts.clone() };
    SecureHeaders {
        allowed_hosts: allowed_hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect(),
        hosts_proxy_headers,
        force_sts: sts.is_some() && headers.force_sts_header,
        sts,
        ssl_proxy_headers,
        response,
    }
}

fn sts(headers: &Headers) -> Box<str> {
    let mut text = format!("max-age={}", headers.sts_seconds);
    if headers.sts_include_subdomains {
        text.push_str("; includeSubDomains");
    }
    if headers.sts_preload {
        text.push_str("; preload");
    }
    text.into()
}

fn fixed(
    headers: &Headers,
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> Vec<(FieldName, Box<str>)> {
    let or = |custom: &str, flag: bool, value: &str| -> Box<str> {
        match (custom, flag) {
            ("", true) => value.into(),
            (custom, _) => custom.into(),
        }
    };
    let frame = or(&headers.custom_frame_options_value, headers.frame_deny, "DENY");
    let xss = or(&headers.custom_browser_xss_value, headers.browser_xss_filter, "1; mode=block");
    let nosniff = or("", headers.content_type_nosniff, "nosniff");
    let pairs: [(&str, &str); 9] = [
        ("x-frame-options", &frame),
        ("x-content-type-options", &nosniff),
        ("x-xss-protection", &xss),
        ("content-security-policy", &headers.content_security_policy),
        ("content-security-policy-report-only", &headers.content_security_policy_report_only),
        ("public-key-pins", &headers.public_key),
        ("referrer-policy", &headers.referrer_policy),
        ("permissions-policy", &headers.permissions_policy),
        ("feature-policy", &headers.feature_policy),
    ];
    let mut fixed = Vec::new();
    for (name, value) in pairs {
        if value.is_empty() {
            continue;
        }
        if !is_field_value(value) {
            let message = format!("the value of `{name}` holds control characters");
            problems.error(at, path, message);
            continue;
        }
        let name = FieldName::new(name).expect("these names are tokens");
        fixed.push((name, value.into()));
    }
    fixed
}

fn ssl_redirect(
    headers: &Headers,
    at: Pos,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<StepKind> {
    let redirect = headers.ssl_redirect.as_ref()?;
    if !redirect.host.is_empty() || redirect.force_host {
        let message = "`sslHost` and `sslForceHost` have no effect";
        problems.warn(at, format!("{path}.sslHost"), message).fix =
            Some("use a redirectRegex middleware".into());
    }
    (!headers.is_development).then(|| StepKind::RedirectScheme {
        scheme: "https".into(),
        port: "".into(),
        permanent: !redirect.temporary,
    })
}

/// RFC 9110, 5.5: no control characters but tab.
pub(super) fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}
