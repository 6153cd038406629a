//! Filters as steps. Mirrors and extensions, which refer to other objects, are the caller's.

use weft_message::FieldName;
use weft_model::policy::{Cors, HeaderEdits, PathRewrite, Redirect, Rewrite, StepKind};
use weft_model::text::Pattern;
use weft_policy::fields::is_settable;
use weft_resources::gateway_api::filter::{
    CorsFilter, HeaderFilter, PathModifier, RedirectFilter, RewriteFilter,
};

/// Edits of headers. An empty value is sent as such.
///
/// # Errors
///
/// When a name or value is none.
pub(crate) fn headers(filter: &HeaderFilter) -> Result<HeaderEdits, String> {
    Ok(HeaderEdits {
        set: pairs(&filter.set)?,
        add: pairs(&filter.add)?,
        made: Vec::new(),
        remove: filter.remove.iter().map(|name| field_name(name)).collect::<Result<_, _>>()?,
    })
}

fn pairs(pairs: &[(Box<str>, Box<str>)]) -> Result<Vec<(FieldName, Box<str>)>, String> {
    pairs
        .iter()
        .map(|(name, value)| {
            if value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
                return Err(format!("the value of the header `{name}` has a line break in it"));
            }
            Ok((field_name(name)?, value.clone()))
        })
        .collect()
}

fn field_name(name: &str) -> Result<FieldName, String> {
    let field =
        FieldName::new(name).map_err(|error| format!("`{name}` is not a header name: {error}"))?;
    if field.as_str() == "host" {
        let hint = "use URLRewrite with `hostname`";
        return Err(format!("the header `{name}` cannot be changed by a filter; {hint}"));
    }
    if !is_settable(&field) {
        return Err(format!(
            "the header `{name}` cannot be changed by a filter: it frames the message or belongs \
             to the connection"
        ));
    }
    Ok(field)
}

/// A redirect; `prefix` is what the match names.
///
/// # Errors
///
/// When it replaces a prefix and the match names none.
pub(crate) fn redirect(filter: &RedirectFilter, prefix: Option<&str>) -> Result<StepKind, String> {
    Ok(StepKind::Redirect(Redirect {
        scheme: filter.scheme.clone(),
        host: filter.host.clone(),
        port: filter.port,
        path: filter.path.as_ref().map(|path| path_rewrite(path, prefix)).transpose()?,
        status: filter.status,
    }))
}

/// A rewrite; `prefix` is what the match names.
///
/// # Errors
///
/// As for [`redirect`].
pub(crate) fn rewrite(filter: &RewriteFilter, prefix: Option<&str>) -> Result<StepKind, String> {
    Ok(StepKind::Rewrite(Rewrite {
        host: filter.host.clone(),
        path: filter.path.as_ref().map(|path| path_rewrite(path, prefix)).transpose()?,
    }))
}

fn path_rewrite(path: &PathModifier, prefix: Option<&str>) -> Result<PathRewrite, String> {
    let absolute = |text: &str| -> Result<Box<str>, String> {
        let text = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
        crate::literal::path(&text).map_err(|error| format!("`{text}` is not a path: {error}"))
    };
    match path {
        PathModifier::Full(text) => Ok(PathRewrite::Full(absolute(text)?)),
        PathModifier::Prefix(text) => {
            let matched = prefix.ok_or(
                "ReplacePrefixMatch needs a match of type PathPrefix in each `matches` of the rule",
            )?;
            Ok(PathRewrite::Prefix { matched: matched.into(), replacement: absolute(text)? })
        }
    }
}

/// Cross-origin rules.
///
/// # Errors
///
/// When an origin or header name is none.
pub(crate) fn cors(filter: &CorsFilter) -> Result<StepKind, String> {
    let mut cors = Cors {
        allow_methods: filter.methods.clone(),
        allow_headers: filter.headers.clone(),
        expose_headers: filter.expose.clone(),
        allow_credentials: filter.credentials,
        max_age_secs: Some(filter.max_age_secs.into()),
        answer_all_preflights: true,
        ..Cors::default()
    };
    for name in filter.headers.iter().chain(&filter.expose).filter(|name| ***name != *"*") {
        FieldName::new(name).map_err(|error| format!("`{name}` is not a header name: {error}"))?;
    }
    for origin in &filter.origins {
        if **origin == *"*" {
            cors.allow_origins.push("*".into());
            continue;
        }
        let plain = plain_origin(origin)?;
        // A star right behind the scheme is understood as it is, with any case and port.
        match plain.split_once("://*").map_or(&*plain, |(_, suffix)| suffix).contains('*') {
            true => cors.allow_origin_patterns.push(origin_pattern(&plain)?),
            false => cors.allow_origins.push(plain.into()),
        }
    }
    Ok(StepKind::Cors(cors))
}

/// An origin as browsers send it: lower case, without the port that its scheme has anyway.
fn plain_origin(origin: &str) -> Result<String, String> {
    let lower = origin.to_ascii_lowercase();
    let known = [("http://", ":80"), ("https://", ":443")];
    for (scheme, port) in known {
        let Some(rest) = lower.strip_prefix(scheme) else { continue };
        let rest = rest.strip_suffix(port).unwrap_or(rest);
        if rest.is_empty() || rest.contains(['/', '?', '#', '@']) {
            break;
        }
        return Ok(format!("{scheme}{rest}"));
    }
    Err(format!("`{origin}` is not an origin such as https://shop.example"))
}

/// `*` stands for any run of characters of a host, dots included.
fn origin_pattern(origin: &str) -> Result<Pattern, String> {
    let text = origin.split('*').map(regex::escape).collect::<Vec<_>>().join("[^/:]*");
    Pattern::anchored(&format!("(?i){text}")).map_err(|error| error.to_string())
}
