//! Annotations of other controllers, which have no effect here.

use std::sync::Arc;

use weft_model::outcome::Reason;
use weft_model::policy::Refusal;
use weft_resources::{Annotation, Resource};

use crate::context::Output;
use crate::ingress::annotation::boolean;
use crate::remark::Place;
use crate::report::Verdict;

/// Controllers with annotations of their own.
const PREFIXES: [&str; 10] = [
    "nginx.ingress.kubernetes.io/",
    "ingress.kubernetes.io/",
    "nginx.org/",
    "nginx.com/",
    "appprotect.f5.com/",
    "haproxy.org/",
    "haproxy-ingress.github.io/",
    "konghq.com/",
    "alb.ingress.kubernetes.io/",
    "projectcontour.io/",
];

/// What names of annotations that protect begin with. Without them a route would be open to those
/// it was closed to, so it is not served.
const PROTECTING: [&str; 23] = [
    "auth-",
    "whitelist",
    "allowlist",
    "allow-list",
    "denylist",
    "deny-list",
    "blacklist",
    "inbound-cidrs",
    "limit-",
    "rate-limit",
    "global-rate-limit",
    "enable-global-auth",
    "enable-modsecurity",
    "enable-owasp",
    "modsecurity-",
    "satisfy",
    "waf",
    "app-protect",
    "basic-auth",
    // What these lead to is most often authentication or a limit.
    "plugins",
    "policies",
    "oauth",
    "jwt-",
];

/// Directives in a snippet that protect.
const PROTECTING_DIRECTIVES: [&str; 7] =
    ["allow", "deny", "auth", "limit_", "return", "satisfy", "modsecurity"];

/// Marks an Ingress that is to get a share of the requests of another one with the same rules.
const CANARY: &str = "nginx.ingress.kubernetes.io/canary";

/// Whether an Ingress is a canary, which is then said. Alone it would be a route like any other, and
/// take all requests or none, by its age.
pub(super) fn is_canary(resource: &Arc<Resource>, out: &mut Output) -> bool {
    let Some(annotation) = resource.find_annotation(CANARY) else { return false };
    if boolean(&annotation.value) != Some(true) {
        return false;
    }
    let path = format!("metadata.annotations[{CANARY}]");
    Place::new(resource, annotation.at, &path).error_with(
        out,
        "not served: canaries are not supported, and without its share it would stand in the way \
         of the main Ingress, which is served alone",
        "share requests by weight, with an HTTPRoute (`backendRefs`) or an IngressRoute \
         (`services`) for both",
    );
    out.verdict(&resource.key, Verdict::Rejected);
    true
}

/// Reports the annotations of other controllers; a refusal where one of them protects.
pub(super) fn report(resource: &Arc<Resource>, out: &mut Output) -> Option<Refusal> {
    let mut refusal = None;
    for Annotation { name, value, at } in &resource.annotations {
        let Some(own) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) else {
            continue;
        };
        let path = format!("metadata.annotations[{name}]");
        let place = Place::new(resource, *at, &path);
        if own.trim_end_matches('s').ends_with("-snippet") {
            let message = format!("`{own}` is never supported: it is code of another proxy");
            place.error_with(out, message, "use a Middleware");
            if PROTECTING_DIRECTIVES.iter().any(|word| value.contains(word)) {
                refuse(&mut refusal, name);
            }
        } else if is_protecting(own, value) {
            place.error_with(
                out,
                format!("not served (503): `{own}` protects, and it is not supported"),
                "name a Middleware in traefik.ingress.kubernetes.io/router.middlewares",
            );
            refuse(&mut refusal, name);
        } else {
            place.warn(out, format!("`{own}` is not supported and has no effect"));
        }
    }
    refusal
}

fn refuse(refusal: &mut Option<Refusal>, name: &str) {
    let detail = format!("the annotation {name} protects, and it is not supported");
    refusal.get_or_insert(Refusal { reason: Reason::PolicyUnenforceable, detail: detail.into() });
}

fn is_protecting(name: &str, value: &str) -> bool {
    // Signs of protection that are switched off, or only shape what a protecting one does.
    let value = value.trim().to_ascii_lowercase();
    let is_off = matches!(&*value, "" | "false" | "off" | "none" | "0");
    let is_shape = matches!(name, "auth-keepalive" | "limit-rate-after" | "limit-rate");
    !is_off && !is_shape && PROTECTING.iter().any(|prefix| name.starts_with(prefix))
}
