//! How servers are asked whether they are well.

use weft_message::{FieldName, Method, PathRules, RequestHead, canonical_path};
use weft_model::backend::{HealthCheck, Probe};
use weft_policy::fields::is_settable;
use weft_resilience::settings::OutlierSettings;
use weft_resources::Severity;
use weft_resources::traefik::service as written;

use super::headers::is_field_value;
use super::link::Link;

/// What is wrong with a part of a health check.
struct Invalid {
    field: String,
    at: weft_resources::Pos,
    message: String,
    fix: &'static str,
}

/// Active checks as written at `path`. Of a check that cannot be made nothing is left: each of its
/// answers would say that a server is down which nobody has asked.
pub(super) fn active(
    link: &mut Link<'_, '_>,
    check: &written::HealthCheck,
    path: &str,
) -> Option<HealthCheck> {
    if let Some(scheme) = &check.scheme {
        let message = "`scheme` has no effect: servers are asked in the way that they are called";
        link.say(Severity::Warning, scheme.at, &format!("{path}.scheme"), message, None);
    }
    let invalid = if check.grpc { Vec::new() } else { problems(check) };
    for Invalid { field, at, message, fix } in &invalid {
        let message =
            format!("{message}; servers are not checked, and all of them count as healthy");
        let path = format!("{path}.{field}");
        link.say(Severity::Error, *at, &path, &message, Some((*fix).into()));
    }
    invalid.is_empty().then(|| made(check))
}

/// Passive checks.
pub(super) fn passive(check: written::PassiveHealthCheck) -> OutlierSettings {
    // Traefik lets a server back in when the window has passed, all of them if need be.
    OutlierSettings::traefik(check.max_failed_attempts, check.failure_window)
}

/// A check in the terms of the model, whether it can be made or not.
pub(super) fn made(check: &written::HealthCheck) -> HealthCheck {
    let text = |text: &Option<weft_resources::Spanned<Box<str>>>, default: &str| -> Box<str> {
        text.as_ref().map_or_else(|| default.into(), |text| text.value.clone())
    };
    let probe = if check.grpc {
        Probe::Grpc { service: text(&check.path, "").trim_start_matches('/').into() }
    } else {
        Probe::Http {
            path: text(&check.path, "/"),
            method: text(&check.method, "GET"),
            host: check.hostname.as_ref().map(|host| host.value.clone()),
            headers: check.headers.clone(),
            statuses: check.status.map(|status| (status, status)).into_iter().collect(),
        }
    };
    HealthCheck {
        probe,
        interval: check.interval,
        unhealthy_interval: check.unhealthy_interval.unwrap_or(check.interval),
        timeout: check.timeout,
        unhealthy_threshold: 1, // Traefik judges by the last probe
        healthy_threshold: 1,
        port: check.port,
    }
}

/// What keeps a check from being made.
fn problems(check: &written::HealthCheck) -> Vec<Invalid> {
    let mut found = Vec::new();
    if let Some(path) = &check.path
        && let Err(why) = target(path)
    {
        let message = format!("`{}` is not a path: {why}", path.value);
        let fix = "write a path such as /health, without scheme and host";
        found.push(Invalid { field: "path".into(), at: path.at, message, fix });
    }
    if let Some(method) = &check.method
        && Method::parse(method.as_bytes()).is_err()
    {
        let message = format!("`{}` is not a method", method.value);
        let fix = "write a method such as GET or HEAD";
        found.push(Invalid { field: "method".into(), at: method.at, message, fix });
    }
    if let Some(host) = &check.hostname
        && let Err(why) = RequestHead::new().set_authority(host)
    {
        let message = format!("`{}` is not a host: {why}", host.value);
        let fix = "write a host such as health.example";
        found.push(Invalid { field: "hostname".into(), at: host.at, message, fix });
    }
    for (name, value) in &check.headers {
        if let Err((message, fix)) = header(name, value) {
            found.push(Invalid { field: format!("headers.{name}"), at: check.at, message, fix });
        }
    }
    found
}

fn target(text: &str) -> Result<(), String> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    if path.contains("://") {
        return Err("it is a whole URL".into());
    }
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    canonical_path(&path, &PathRules::PERMISSIVE).map_err(|error| error.to_string())?;
    RequestHead::new().set_query(query).map_err(|error| error.to_string())
}

fn header(name: &str, value: &str) -> Result<(), (String, &'static str)> {
    let Ok(field) = FieldName::new(name) else {
        return Err((format!("`{name}` is not the name of a header"), "correct it or remove it"));
    };
    if field.as_str() == "host" {
        return Err(("`Host` cannot be set among the headers".into(), "set `hostname` instead"));
    }
    if !is_settable(&field) {
        let message = format!("`{name}` frames the message or belongs to the connection");
        return Err((message, "remove it"));
    }
    if !is_field_value(value) {
        let message = format!("the value of `{name}` holds control characters");
        return Err((message, "correct it or remove it"));
    }
    Ok(())
}
