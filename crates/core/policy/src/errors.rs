//! Pages in the place of error answers.

#[cfg(test)]
mod tests;

use weft_message::{Known, Method, PathRules, RequestHead, Scheme, canonical_path};
use weft_model::policy::ErrorPages;

use crate::media;
use crate::retry::contains;

/// The status under which a page is sent for an answer with `status`; `None` when the answer goes
/// out as it is.
pub fn wants(pages: &ErrorPages, status: u16) -> Option<u16> {
    if !contains(&pages.statuses, status) {
        return None;
    }
    let rewritten = pages.rewrites.iter().find(|(range, _)| contains(&[*range], status));
    Some(rewritten.map_or(status, |(_, to)| *to))
}

/// The request for the page: `GET` with the headers that the settings list, and no body.
///
/// `status` is what [`wants`] said, `original` what was answered. `None` when the settings make no
/// acceptable path; the answer then goes out as it is. Conditions and ranges of the request are
/// left out, because they are about another resource.
pub fn question(
    pages: &ErrorPages,
    status: u16,
    original: u16,
    head: &RequestHead,
    tls: bool,
) -> Option<RequestHead> {
    let ErrorPages { statuses: _, rewrites: _, target: _, query, request_headers } = pages;
    let scheme = if tls { Scheme::Https } else { Scheme::Http };
    let target = expand(query, status, original, scheme, head);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*target, None),
    };
    let mut question = RequestHead::new();
    question.set_method(Method::Get);
    question.set_scheme(scheme);
    question.set_path(&canonical_path(path, &PathRules::default()).ok()?).ok()?;
    question.set_query(query).ok()?;
    question.set_authority(head.authority()).ok()?;
    match request_headers {
        None => question.fields = head.fields.clone(),
        Some(names) => {
            for name in names {
                for value in head.fields.get_all(name) {
                    question.fields.append(name, value).ok()?;
                }
            }
        }
    }
    question.fields.strip_hop_by_hop();
    for name in [
        Known::Expect,
        Known::IfMatch,
        Known::IfModifiedSince,
        Known::IfNoneMatch,
        Known::IfRange,
        Known::IfUnmodifiedSince,
        Known::Range,
    ] {
        question.fields.remove(name);
    }
    Some(question)
}

/// Fills the template in; the result starts with a slash.
fn expand(
    template: &str,
    status: u16,
    original: u16,
    scheme: Scheme,
    head: &RequestHead,
) -> String {
    let mut out = String::from("/");
    let mut rest = template.strip_prefix('/').unwrap_or(template);
    while let Some(at) = rest.find('{') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("{status}") {
            out.push_str(&status.to_string());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{originalStatus}") {
            out.push_str(&original.to_string());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{url}") {
            for part in [scheme.as_str(), "://", head.authority(), head.path_and_query()] {
                media::percent_encode(part.as_bytes(), media::is_unreserved, &mut out);
            }
            rest = after;
        } else {
            out.push('{');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}
