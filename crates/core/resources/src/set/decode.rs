//! From one part of a stream to its resources.

use std::borrow::Cow;
use std::sync::Arc;

use super::Item;
use crate::kind::{self, Kind, KindInfo};
use crate::metadata::{self, Metadata};
use crate::problem::{Pos, Problem, Severity};
use crate::read::{Path, Reader, Sink, nearest};
use crate::resource::{Key, Resource};
use crate::traefik;
use crate::yaml::{self, Chunk, Node};

/// The resources of one part of a stream.
pub(super) fn items(file: &Arc<str>, chunk: Chunk<'_>) -> Vec<Item> {
    let mut problems = Vec::new();
    let documents = yaml::parse_chunk(file, chunk, &mut problems);
    let mut items = Vec::new();
    // Of a document that cannot be parsed nobody knows the kind for sure.
    let is_secret = chunk.text.contains("Secret");
    problems.iter_mut().for_each(|problem| problem.is_secret = is_secret);
    if let Some(first) = problems.first() {
        items.push(broken(file, Pos { line: chunk.line, column: 1 }.max(first.at), problems));
    }
    for node in &documents {
        object(file, node, &mut items);
    }
    items
}

fn broken(file: &Arc<str>, at: Pos, problems: Vec<Problem>) -> Item {
    Item { rejected: None, file: Arc::clone(file), at, resource: None, problems }
}

/// One object, the objects of a list, or a file of Traefik's file provider.
fn object(file: &Arc<str>, node: &Node, items: &mut Vec<Item>) {
    let is_object = node.find("apiVersion").is_some() || node.find("kind").is_some();
    if !is_object && traefik::file::is_file_provider(node) {
        items.extend(traefik::file::items(file, node));
        return;
    }
    let is_list =
        node.find("kind").and_then(Node::as_scalar).is_some_and(|kind| kind.text.ends_with("List"));
    match node.find("items").and_then(Node::as_seq) {
        Some(nodes) if is_list => nodes.iter().for_each(|node| object(file, node, items)),
        _ => items.push(single(file, node)),
    }
}

fn single(file: &Arc<str>, node: &Node) -> Item {
    let sink = Sink::new(Arc::clone(file));
    let decoded = decode(node, &sink);
    let failed = sink.error_count() > 0;
    let mut problems = sink.into_problems();
    // Problems are logged, and their lines with them.
    let is_secret = node
        .find("kind")
        .and_then(Node::as_scalar)
        .is_some_and(|kind| kind.text.eq_ignore_ascii_case("Secret"));
    problems.iter_mut().for_each(|problem| problem.is_secret = is_secret);
    let mut item = broken(file, node.at, problems);
    if let Some((key, body)) = decoded {
        let body = body.and_then(|(head, body)| {
            let body = if failed { body.after_errors()? } else { body };
            Some((head, body))
        });
        let Some((head, body)) = body else {
            item.rejected = Some(Box::new(key));
            return item;
        };
        item.resource = Some(Arc::new(Resource {
            key,
            api_version: head.api_version,
            labels: head.metadata.labels,
            annotations: head.metadata.annotations,
            created: head.metadata.created,
            file: Arc::clone(file),
            line: node.at.line,
            body,
        }));
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
    if ours || nearest(&api_version, known.iter().copied()).is_some() {
        let message = format!("{kind} is not known under apiVersion `{api_version}`");
        let fix = format!("use {}", known.join(" or "));
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
