//! From one part of a stream to its resources.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Item, Placed};
use crate::key::Key;
use crate::kind::{self, Kind, KindInfo};
use crate::metadata::{self, Metadata};
use crate::problem::{Pos, Problem, Severity};
use crate::read::{Path, Reader, Sink, nearest};
use crate::resource::Resource;
use crate::traefik;
use crate::yaml::{self, Chunk, Node};

/// The group that Ingress came from, among others.
const LEGACY_GROUP: &str = "extensions";

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
        items.push(placed(at, broken(file, problems)));
    }
    for node in &documents {
        object(file, node, &mut items);
    }
    items
}

fn placed(at: Pos, item: Item) -> Placed {
    Placed { at, item: Arc::new(item) }
}

fn broken(file: &Arc<str>, problems: Vec<Problem>) -> Item {
    Item { rejected: None, file: Arc::clone(file), resource: None, draft: None, problems }
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
    let mut item = broken(file, problems);
    let Some((key, body)) = decoded else { return item };
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

struct Head {
    api_version: Box<str>,
    metadata: Metadata,
}

fn decode(node: &Node, sink: &Sink) -> Option<(Key, Option<(Head, Kind)>)> {
    let reader = Reader::new(node, Path::Root, sink)?;
    let api_version = reader.require_string("apiVersion");
    let kind = reader.require_string("kind");
    let metadata = metadata::metadata(&reader);
    let (Some(api_version), Some(kind), Some(metadata)) = (api_version, kind, metadata) else {
        // Without these nothing else can be judged.
        reader.rest().for_each(drop);
        return None;
    };
    reader.skip("status");
    let Some(info) = kind::find(&api_version, &kind) else {
        reader.rest().for_each(drop);
        return Some(unknown(&reader, api_version, kind, metadata));
    };
    metadata::check_own_annotations(&reader, info.kind);
    let body = (info.decode)(&reader);
    let key = key_of(info, &metadata);
    Some((key, body.map(|body| (Head { api_version, metadata }, body))))
}

fn key_of(info: &KindInfo, metadata: &Metadata) -> Key {
    let namespace = if info.namespaced { metadata.namespace.clone() } else { "".into() };
    Key::new(info.group, info.kind, namespace, metadata.name.clone())
}

fn unknown(
    reader: &Reader<'_, '_>,
    api_version: Box<str>,
    kind: Box<str>,
    metadata: Metadata,
) -> (Key, Option<(Head, Kind)>) {
    let known = kind::known_api_versions(&kind);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
    // A kind of ours under a wrong version is a mistake; a kind of others is none of our business.
    let ours = known.iter().any(|version| version.rsplit_once('/').map_or("", |(g, _)| g) == group);
    let moved = group == LEGACY_GROUP && !known.is_empty();
    if ours || moved || nearest(&api_version, known.iter().copied()).is_some() {
        let message = format!("{kind} is not known under apiVersion `{api_version}`");
        let fix = format!("use {}", known.join(" or "));
        reader.sink().report(Severity::Error, reader.at(), Path::Root, message, Some(fix));
    } else if let Some(meant) = kind::nearest_kind(&api_version, &kind) {
        let message = format!("`{kind}` is not a kind of apiVersion `{api_version}`");
        let fix = format!("did you mean `{meant}`?");
        reader.sink().report(Severity::Error, reader.at(), Path::Root, message, Some(fix));
    }
    let key = Key {
        group: Cow::Owned(group),
        kind: Cow::Owned(kind.to_string()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
    };
    let body = Kind::Unknown { api_version: api_version.clone(), kind };
    (key, Some((Head { api_version, metadata }, body)))
}
