//! From one part of a stream to its resources.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Item, Placed};
use crate::key::Key;
use crate::kind::{self, Kind, KindInfo, Slip};
use crate::metadata::{self, Metadata};
use crate::problem::{Pos, Severity};
use crate::read::{Path, Reader, Sink};
use crate::resource::Resource;
use crate::traefik;
use crate::yaml::{self, Chunk, Node};

/// The resources of one part of a stream, placed within it.
pub(super) fn items(file: &Arc<str>, text: &str) -> Vec<Placed> {
    let mut problems = Vec::new();
    let documents = yaml::parse_chunk(file, Chunk { text, line: 1 }, &mut problems);
    let mut items = Vec::new();
    if let Some(first) = problems.first() {
        let at = first.at;
        // Of a document that cannot be parsed nobody knows the kind for sure.
        let is_secret = text.contains("Secret");
        for problem in &mut problems {
            problem.is_secret = is_secret;
            problem.at = problem.at.within(at.line);
        }
        let mut item = Item::unread(file, problems);
        item.may_protect = may_protect(text);
        items.push(placed(at, item));
    }
    for node in &documents {
        object(file, node, &mut items);
    }
    items
}

fn placed(at: Pos, item: Item) -> Placed {
    Placed { at, item: Arc::new(item) }
}

/// Whether a text that is no YAML may have been a document that protects workloads.
fn may_protect(text: &str) -> bool {
    let (kinds, versions) = (words_after(text, "kind"), words_after(text, "apiVersion"));
    versions.iter().any(|version| kinds.iter().any(|kind| kind::may_protect(version, kind)))
}

/// What follows each occurrence of a field, with or without quotes and colon; an empty word where
/// there is none.
fn words_after<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let word = |(at, _): (usize, &str)| {
        let rest = text[at + name.len()..].trim_start_matches([' ', '\t', ':', '"', '\'']);
        let is_part = |c: char| c.is_ascii_alphanumeric() || "./-".contains(c);
        rest.split(|c| !is_part(c)).next().unwrap_or_default()
    };
    let mut words: Vec<&str> = text.match_indices(name).map(word).collect();
    if words.is_empty() {
        words.push("");
    }
    words
}

/// One object, the objects of a list, or a file of Traefik's file provider.
fn object(file: &Arc<str>, node: &Node, items: &mut Vec<Placed>) {
    let is_object = node.find("apiVersion").is_some() || node.find("kind").is_some();
    if !is_object && traefik::file::is_file_provider(node) {
        items.extend(traefik::file::items(file, node));
        return;
    }
    let is_list =
        node.find("kind").and_then(Node::as_scalar).is_some_and(|kind| kind.text.ends_with("List"));
    match node.find("items").and_then(Node::as_seq) {
        Some(nodes) if is_list => nodes.iter().for_each(|node| object(file, node, items)),
        _ => items.push(placed(node.at, single(file, node))),
    }
}

fn single(file: &Arc<str>, node: &Node) -> Item {
    let sink = Sink::new(Arc::clone(file), node.at.line);
    let decoded = decode(node, &sink);
    let failed = sink.error_count() > 0;
    let is_whole = !sink.has_gaps();
    let mut problems = sink.into_problems();
    // Problems are logged, and their lines with them.
    let is_secret = node
        .find("kind")
        .and_then(Node::as_scalar)
        .is_some_and(|kind| kind.text.eq_ignore_ascii_case("Secret"));
    problems.iter_mut().for_each(|problem| problem.is_secret = is_secret);
    let mut item = Item::unread(file, problems);
    let Some((key, body)) = decoded else {
        let text = |name| node.find(name).and_then(Node::as_scalar).map_or("", |text| &text.text);
        item.may_protect = kind::may_protect(text("apiVersion"), text("kind"));
        return item;
    };
    let make = |key: Key, head: Head, body: Kind| {
        Arc::new(Resource {
            key,
            api_version: head.api_version,
            labels: head.metadata.labels,
            annotations: head.metadata.annotations,
            created: head.metadata.created,
            file: Arc::clone(file),
            body,
        })
    };
    match body {
        Some((head, body)) if !failed => item.resource = Some(make(key, head, body)),
        Some((head, mut body)) => {
            if body.mark_broken() {
                item.resource = Some(make(key, head, body));
            } else {
                item.rejected = Some(Box::new(key.clone()));
                item.draft = is_whole.then(|| make(key, head, body));
            }
        }
        None => item.rejected = Some(Box::new(key)),
    }
    item
}

/// What every object has.
pub(crate) struct Head {
    api_version: Box<str>,
    metadata: Metadata,
}

/// Reads an object. `None` when its name cannot be read; no body when an error keeps it from being.
pub(crate) fn decode(node: &Node, sink: &Sink) -> Option<(Key, Option<(Head, Kind)>)> {
    let reader = Reader::new(node, Path::Root, sink)?;
    let api_version = reader.require_string("apiVersion");
    let kind = reader.require_string("kind");
    let metadata = metadata::metadata(&reader);
    let (Some(api_version), Some(kind), Some(metadata)) = (api_version, kind, metadata) else {
        // Without these nothing else can be judged.
        reader.skip_rest();
        return None;
    };
    reader.skip("status");
    let known = kind::find(&api_version, &kind);
    // What protects and is written under a wrong name stays, as one that is broken.
    let Some(info) = known.or_else(|| meant(&reader, &api_version, &kind)) else {
        reader.skip_rest();
        return Some(unknown(api_version, kind, metadata));
    };
    metadata::check_annotations(&reader, info.kind);
    let body = (info.decode)(&reader);
    let group = match known {
        Some(_) => Cow::Borrowed(info.group),
        None => Cow::Owned(kind::group(&api_version).to_owned()),
    };
    let namespace = if info.namespaced { metadata.namespace.clone() } else { "".into() };
    let name = metadata.name.clone();
    let key = Key { group, kind: Cow::Borrowed(info.kind), namespace, name };
    Some((key, body.map(|body| (Head { api_version, metadata }, body))))
}

/// Reports what is wrong with the name of a kind that is not known. What was meant is the answer if
/// it protects workloads.
fn meant(reader: &Reader<'_, '_>, api_version: &str, kind: &str) -> Option<&'static KindInfo> {
    let (info, message, fix) = match kind::slip(api_version, kind)? {
        Slip::ApiVersion(info) => {
            let fix = format!("use {}", kind::known_api_versions(kind).join(" or "));
            (info, format!("{kind} is not known under apiVersion `{api_version}`"), fix)
        }
        Slip::Kind(info) => {
            let fix = format!("did you mean `{}`?", info.kind);
            (info, format!("`{kind}` is not a kind of apiVersion `{api_version}`"), fix)
        }
    };
    reader.sink().report(Severity::Error, reader.at(), Path::Root, message, Some(fix));
    info.protects().then_some(info)
}

fn unknown(
    api_version: Box<str>,
    kind: Box<str>,
    metadata: Metadata,
) -> (Key, Option<(Head, Kind)>) {
    let key = Key {
        group: Cow::Owned(kind::group(&api_version).to_owned()),
        kind: Cow::Owned(kind.to_string()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
    };
    let body = Kind::Unknown { api_version: api_version.clone(), kind };
    (key, Some((Head { api_version, metadata }, body)))
}
