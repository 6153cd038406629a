//! Edits of the path.
//!
//! The path is canonical before and after. Where an edit leaves something that is not (`/api`
//! stripped from `/api../admin`), the request is refused: the route was chosen for another path
//! than the upstream would read. What configuration adds is text, and escaped where a path cannot
//! hold it.

#[cfg(test)]
mod tests;

use weft_message::{InvalidTarget, Known, PathRules, canonical_path};
use weft_model::outcome::Reason;
use weft_model::policy::{PathRewrite, Rewrite};
use weft_model::text::Pattern;

use crate::expand::{Template, replace_all};
use crate::media;
use crate::step::{RequestContext, Verdict};

/// Puts `prefix` in front of the path. A slash at its end and the path's first one are one.
pub(crate) fn add_prefix(prefix: &str, ctx: &mut RequestContext<'_>) -> Verdict {
    if !has_path(ctx) {
        return Verdict::Continue;
    }
    ctx.scratch.clear();
    push_slash_before(prefix, ctx.scratch);
    ctx.scratch.push_str(prefix.strip_suffix('/').unwrap_or(prefix));
    ctx.scratch.push_str(ctx.head.path());
    if ctx.scratch.starts_with("//") {
        // The prefix was empty.
        ctx.scratch.remove(0);
    }
    set_configured_path(ctx)
}

/// Strips the first prefix that fits, character by character as Traefik does, and names it in
/// `X-Forwarded-Prefix`.
pub(crate) fn strip_prefix(prefixes: &[Box<str>], ctx: &mut RequestContext<'_>) -> Verdict {
    if !has_path(ctx) {
        return Verdict::Continue;
    }
    let path = ctx.head.path();
    let fits = |prefix: &str| !prefix.is_empty() && path.starts_with(prefix);
    match prefixes.iter().find(|prefix| fits(prefix)) {
        Some(prefix) => strip(prefix.len(), ctx),
        None => Verdict::Continue,
    }
}

/// The same with patterns, which count only where the match is at the start and not empty.
pub(crate) fn strip_prefix_regex(patterns: &[Pattern], ctx: &mut RequestContext<'_>) -> Verdict {
    if !has_path(ctx) {
        return Verdict::Continue;
    }
    let path = ctx.head.path();
    let length = patterns.iter().find_map(|pattern| {
        let found = pattern.regex().find(path)?;
        (found.start() == 0 && !found.is_empty()).then_some(found.len())
    });
    match length {
        Some(length) => strip(length, ctx),
        None => Verdict::Continue,
    }
}

/// Sets the path and keeps the old one in `X-Replaced-Path`.
pub(crate) fn replace_path(path: &str, ctx: &mut RequestContext<'_>) -> Verdict {
    if !has_path(ctx) {
        return Verdict::Continue;
    }
    ctx.scratch.clear();
    push_slash_before(path, ctx.scratch);
    ctx.scratch.push_str(path);
    match note_replaced_path(ctx) {
        Verdict::Continue => set_configured_path(ctx),
        refused => refused,
    }
}

/// Replaces what the pattern finds in the path and keeps the old path in `X-Replaced-Path`.
pub(crate) fn replace_path_regex(
    pattern: &Pattern,
    replacement: &str,
    ctx: &mut RequestContext<'_>,
) -> Verdict {
    if !has_path(ctx) {
        return Verdict::Continue;
    }
    ctx.scratch.clear();
    let template = Template::parse(replacement);
    if !replace_all(pattern.regex(), template, ctx.head.path(), ctx.scratch) {
        return Verdict::Continue;
    }
    if !ctx.scratch.starts_with('/') {
        ctx.scratch.insert(0, '/');
    }
    match note_replaced_path(ctx) {
        Verdict::Continue => set_replaced_path(ctx),
        refused => refused,
    }
}

/// Gateway API `URLRewrite`: host, path, or both.
pub(crate) fn rewrite(rewrite: &Rewrite, ctx: &mut RequestContext<'_>) -> Verdict {
    let Rewrite { host, path } = rewrite;
    if let Some(host) = host
        && let Err(error) = ctx.head.set_authority(host)
    {
        return ctx.refuse(Reason::Internal, format!("host `{host}`: {error}"));
    }
    let Some(path) = path else { return Verdict::Continue };
    if !has_path(ctx) {
        return Verdict::Continue;
    }
    ctx.scratch.clear();
    push_rewritten(path, ctx.head.path(), ctx.scratch);
    match path {
        PathRewrite::Full(_) | PathRewrite::Prefix { .. } => set_configured_path(ctx),
        PathRewrite::Regex { .. } => set_replaced_path(ctx),
    }
}

/// Appends the path that `rewrite` makes of `path`. A prefix is replaced by whole elements
/// (Gateway API, `HTTPPathModifier`); a path without it stays as it is.
pub(crate) fn push_rewritten(rewrite: &PathRewrite, path: &str, out: &mut String) {
    let start = out.len();
    match rewrite {
        PathRewrite::Full(full) => {
            push_slash_before(full, out);
            out.push_str(full);
        }
        PathRewrite::Prefix { matched, replacement } => {
            let matched = matched.strip_suffix('/').unwrap_or(matched);
            let Some(rest) = path.strip_prefix(matched).filter(|rest| starts_element(rest)) else {
                out.push_str(path);
                return;
            };
            let replacement = replacement.strip_suffix('/').unwrap_or(replacement);
            if !replacement.is_empty() {
                push_slash_before(replacement, out);
            }
            out.push_str(replacement);
            out.push_str(rest);
        }
        PathRewrite::Regex { pattern, replacement } => {
            if !replace_all(pattern.regex(), Template::parse(replacement), path, out) {
                out.push_str(path);
            } else if !out[start..].starts_with('/') {
                out.insert(start, '/');
            }
        }
    }
    if out.len() == start {
        out.push('/');
    }
}

/// Neither `OPTIONS *` nor `CONNECT`: there is a path to edit.
fn has_path(ctx: &RequestContext<'_>) -> bool {
    ctx.head.path().starts_with('/')
}

fn starts_element(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('/')
}

fn push_slash_before(path: &str, out: &mut String) {
    if !path.starts_with('/') {
        out.push('/');
    }
}

/// Strips `length` bytes of the path, which are named in `X-Forwarded-Prefix`.
fn strip(length: usize, ctx: &mut RequestContext<'_>) -> Verdict {
    ctx.scratch.clear();
    let (prefix, rest) = ctx.head.path().split_at(length);
    push_slash_before(rest, ctx.scratch);
    ctx.scratch.push_str(rest);
    let rest = ctx.scratch.len();
    ctx.scratch.push_str(prefix);
    let (path, prefix) = ctx.scratch.split_at(rest);
    if let Err(error) = ctx.head.set_path(path) {
        return refuse_path(ctx, Reason::AmbiguousTarget, error);
    }
    match ctx.head.fields.append(Known::XForwardedPrefix, prefix.as_bytes()) {
        Ok(()) => Verdict::Continue,
        Err(error) => ctx.refuse_field(Known::XForwardedPrefix.as_str(), error),
    }
}

/// Adds the present path to `X-Replaced-Path`; the scratch space keeps its content.
fn note_replaced_path(ctx: &mut RequestContext<'_>) -> Verdict {
    let end = ctx.scratch.len();
    ctx.scratch.push_str(ctx.head.path());
    let added = ctx.head.fields.append(Known::XReplacedPath, &ctx.scratch.as_bytes()[end..]);
    ctx.scratch.truncate(end);
    match added {
        Ok(()) => Verdict::Continue,
        Err(error) => ctx.refuse_field(Known::XReplacedPath.as_str(), error),
    }
}

/// Sets the path to what is in the scratch space: whole elements of the request's path, with whole
/// elements of configuration before them. When that is not canonical the configuration is not, and
/// its author meant the canonical form.
fn set_configured_path(ctx: &mut RequestContext<'_>) -> Verdict {
    let set = ctx.head.set_path(ctx.scratch).or_else(|_| {
        canonical_path(&escaped(ctx.scratch), &PathRules::PERMISSIVE)
            .and_then(|path| ctx.head.set_path(&path))
    });
    match set {
        Ok(()) => Verdict::Continue,
        Err(error) => refuse_path(ctx, Reason::Internal, error),
    }
}

/// `path` with what cannot stand in a path escaped: a space, `?`, letters beyond ASCII. That comes
/// from configuration, where it is text (as in Traefik, whose paths are decoded ones); the path of
/// a request holds no such thing.
#[cold]
fn escaped(path: &str) -> String {
    const PLAIN: &[u8] = b"-._~!$&'()*+,;=:@/[]";
    let mut out = String::with_capacity(path.len() + 8);
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        let is_escape = *byte == b'%'
            && matches!(after, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        let plain = |byte: u8| is_escape || byte.is_ascii_alphanumeric() || PLAIN.contains(&byte);
        media::percent_encode(&[*byte], plain, &mut out);
        rest = after;
    }
    out
}

/// Sets the path to what is in the scratch space: what a pattern has made of the request's path,
/// which may have put together what was apart.
fn set_replaced_path(ctx: &mut RequestContext<'_>) -> Verdict {
    let set = ctx.head.set_path(ctx.scratch);
    match set.or_else(|_| ctx.head.set_path(&escaped(ctx.scratch))) {
        Ok(()) => Verdict::Continue,
        Err(error) => refuse_path(ctx, Reason::AmbiguousTarget, error),
    }
}

#[cold]
fn refuse_path(ctx: &RequestContext<'_>, reason: Reason, error: InvalidTarget) -> Verdict {
    ctx.refuse(reason, format!("the path after the edit: {error}"))
}
