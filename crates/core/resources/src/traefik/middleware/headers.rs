//! The `headers` middleware.

use super::MiddlewareKind;
use crate::read::{Field, Reader};
use crate::resource::Spanned;

type Pairs = Vec<(Box<str>, Box<str>)>;

/// `headers`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// An empty value removes.
    pub custom_request_headers: Pairs,
    /// An empty value removes.
    pub custom_response_headers: Pairs,
    /// Cross-origin rules.
    pub cors: Cors,
    /// Hosts served; empty is all.
    pub allowed_hosts: Vec<Box<str>>,
    /// Headers looked at for the host.
    pub hosts_proxy_headers: Vec<Box<str>>,
    /// Headers that say that a plain request was TLS.
    pub ssl_proxy_headers: Pairs,
    /// Redirect plain requests (old).
    pub ssl_redirect: Option<SslRedirect>,
    /// `Strict-Transport-Security`.
    pub sts_seconds: i64,
    /// `includeSubDomains`.
    pub sts_include_subdomains: bool,
    /// `preload`.
    pub sts_preload: bool,
    /// On plain requests too.
    pub force_sts_header: bool,
    /// `X-Frame-Options: DENY`.
    pub frame_deny: bool,
    /// `X-Frame-Options`.
    pub custom_frame_options_value: Box<str>,
    /// `X-Content-Type-Options: nosniff`.
    pub content_type_nosniff: bool,
    /// `X-XSS-Protection: 1; mode=block`.
    pub browser_xss_filter: bool,
    /// `X-XSS-Protection`.
    pub custom_browser_xss_value: Box<str>,
    /// `Content-Security-Policy`.
    pub content_security_policy: Box<str>,
    /// `Content-Security-Policy-Report-Only`.
    pub content_security_policy_report_only: Box<str>,
    /// `Public-Key-Pins`.
    pub public_key: Box<str>,
    /// `Referrer-Policy`.
    pub referrer_policy: Box<str>,
    /// `Permissions-Policy`.
    pub permissions_policy: Box<str>,
    /// `Feature-Policy` (old).
    pub feature_policy: Box<str>,
    /// Switches host checks, redirects and STS off.
    pub is_development: bool,
}

/// The cross-origin part of `headers`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cors {
    /// `accessControlAllowCredentials`
    pub allow_credentials: bool,
    /// `accessControlAllowHeaders`
    pub allow_headers: Vec<Box<str>>,
    /// `accessControlAllowMethods`
    pub allow_methods: Vec<Box<str>>,
    /// `accessControlAllowOriginList`
    pub allow_origin_list: Vec<Box<str>>,
    /// `accessControlAllowOriginListRegex`
    pub allow_origin_list_regex: Vec<Spanned<Box<str>>>,
    /// `accessControlExposeHeaders`
    pub expose_headers: Vec<Box<str>>,
    /// `accessControlMaxAge`; 0 leaves the header out.
    pub max_age: i64,
    /// `addVaryHeader`
    pub add_vary_header: bool,
}

/// `sslRedirect` with its companions, removed from Traefik 3 in favour of `redirectScheme`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslRedirect {
    /// 302 instead of 301.
    pub temporary: bool,
    /// Host redirected to.
    pub host: Box<str>,
    /// Also when the request is TLS already.
    pub force_host: bool,
}

/// Reads `headers`.
pub(super) fn read(field: &Field<'_, '_>) -> Option<MiddlewareKind> {
    if field.is_null() {
        field.error("`headers` is empty", None);
        return None;
    }
    field.nested(|r| Some(MiddlewareKind::Headers(Box::new(Headers::read(r)))))
}

impl Cors {
    /// Whether any rule is given.
    pub fn is_set(&self) -> bool {
        !self.allow_headers.is_empty()
            || !self.allow_methods.is_empty()
            || !self.allow_origin_list.is_empty()
            || !self.allow_origin_list_regex.is_empty()
            || !self.expose_headers.is_empty()
            || self.allow_credentials
            || self.max_age != 0
            || self.add_vary_header
    }

    fn read(r: &Reader<'_, '_>) -> Self {
        Self {
            allow_credentials: r.bool_or("accessControlAllowCredentials", false),
            allow_headers: r.strings("accessControlAllowHeaders"),
            allow_methods: r.strings("accessControlAllowMethods"),
            allow_origin_list: r.strings("accessControlAllowOriginList"),
            allow_origin_list_regex: r
                .list("accessControlAllowOriginListRegex", |item| item.spanned_string()),
            expose_headers: r.strings("accessControlExposeHeaders"),
            max_age: r.int("accessControlMaxAge", 0, i64::MAX).unwrap_or(0),
            add_vary_header: r.bool_or("addVaryHeader", false),
        }
    }
}

impl Headers {
    fn read(r: &Reader<'_, '_>) -> Self {
        let pairs = |name| r.take(name).map(|field| field.text_map()).unwrap_or_default();
        Self {
            custom_request_headers: pairs("customRequestHeaders"),
            custom_response_headers: pairs("customResponseHeaders"),
            cors: Cors::read(r),
            allowed_hosts: r.strings("allowedHosts"),
            hosts_proxy_headers: r.strings("hostsProxyHeaders"),
            ssl_proxy_headers: pairs("sslProxyHeaders"),
            ssl_redirect: ssl_redirect(r),
            sts_seconds: r.int("stsSeconds", 0, i64::MAX).unwrap_or(0),
            sts_include_subdomains: r.bool_or("stsIncludeSubdomains", false),
            sts_preload: r.bool_or("stsPreload", false),
            force_sts_header: r.bool_or("forceSTSHeader", false),
            frame_deny: r.bool_or("frameDeny", false),
            custom_frame_options_value: r.string_or_empty("customFrameOptionsValue"),
            content_type_nosniff: r.bool_or("contentTypeNosniff", false),
            browser_xss_filter: r.bool_or("browserXssFilter", false),
            custom_browser_xss_value: r.string_or_empty("customBrowserXSSValue"),
            content_security_policy: r.string_or_empty("contentSecurityPolicy"),
            content_security_policy_report_only: r
                .string_or_empty("contentSecurityPolicyReportOnly"),
            public_key: r.string_or_empty("publicKey"),
            referrer_policy: r.string_or_empty("referrerPolicy"),
            permissions_policy: r.string_or_empty("permissionsPolicy"),
            feature_policy: r.string_or_empty("featurePolicy"),
            is_development: r.bool_or("isDevelopment", false),
        }
    }
}

fn ssl_redirect(r: &Reader<'_, '_>) -> Option<SslRedirect> {
    let redirect = r.bool_or("sslRedirect", false);
    let temporary = r.bool_or("sslTemporaryRedirect", false);
    let host = r.string_or_empty("sslHost");
    let force_host = r.bool_or("sslForceHost", false);
    if !redirect && !force_host {
        return None;
    }
    let fix = "use a redirectScheme middleware";
    r.warn("`sslRedirect` was removed in Traefik 3; it is honoured here", Some(fix.into()));
    Some(SslRedirect { temporary, host, force_host })
}
