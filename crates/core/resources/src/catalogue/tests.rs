use std::collections::HashMap;

use super::*;
use crate::istio::MeshConfig;
use crate::kind::Kind;
use crate::problem::Pos;
use crate::set::{ResourceSet, load};
use crate::yaml::{Core, Value};

/// The documents of a subject's sample.
fn parsed(subject: &Subject) -> (Vec<Node>, Vec<Problem>) {
    documents(subject.kind, subject.sample)
}

/// What the samples lack or have in excess.
#[test]
fn samples_have_every_field_that_readers_ask_for() {
    let mut missing = Vec::new();
    for subject in kinds() {
        let (documents, problems) = parsed(subject);
        missing.extend(problems.iter().map(|problem| format!("{subject}: {problem}")));
        for (path, asked) in record(subject.kind, &documents) {
            let is_of_kind = is_of_every_object(&path) == (subject.kind == EVERY_OBJECT);
            if is_of_kind && !asked.is_there {
                missing.push(format!("{subject}: {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "the samples lack {}:\n{}", missing.len(), missing.join("\n"));
}

/// Kinds that are always an error, to say that they do not protect.
const REFUSED: &[&str] = &["TrafficTarget"];

#[test]
fn samples_are_accepted() {
    let mut errors = Vec::new();
    for subject in kinds() {
        let set = load(&[("sample.yaml", subject.sample)]);
        if set.items().is_empty() {
            errors.push(format!("{subject} has no sample"));
        }
        let problems = set.problems();
        let found = problems.iter().filter(|problem| problem.is_error());
        errors.extend(found.map(|problem| format!("{subject}: {problem}")));
        for resource in set.resources() {
            let is_own =
                *resource.key.kind == *subject.kind && *resource.key.group == *subject.group;
            let has_others = matches!(subject.kind, EVERY_OBJECT | FILE_PROVIDER | MESH_CONFIG);
            assert!(is_own || has_others, "{subject} has a sample of {}", resource.key);
        }
    }
    errors.retain(|error| !REFUSED.iter().any(|kind| error.starts_with(kind)));
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn the_mesh_config_is_accepted() {
    let subject = find("", MESH_CONFIG).expect("it is listed");
    for document in &subject.documents {
        let text = write::document(document, None).expect("nothing is left out");
        let (config, problems) = MeshConfig::read(&Arc::from("sample.yaml"), &text);
        let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
        assert!(errors.is_empty() && config != MeshConfig::default(), "{errors:?}");
    }
}

#[test]
fn every_field_can_be_deleted() {
    for subject in kinds() {
        for FieldUse { path, .. } in &subject.fields {
            let deletions = subject.deletions(path);
            assert!(!deletions.is_empty(), "{subject}: {path}");
            for Deletion { with, without } in deletions {
                assert_ne!(with, without, "{subject}: {path}");
                assert_eq!(with.lines().count(), without.lines().count());
                let (left, problems) = documents(subject.kind, &without);
                assert_eq!((left.len(), problems), (1, vec![]), "{without}");
                assert!(!has(&left[0], &path.steps), "{subject}: {path} is still there");
            }
        }
    }
}

fn has(node: &Node, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    match (step, &node.value) {
        (Step::Item, Value::Seq(items)) => items.iter().any(|item| has(item, rest)),
        (Step::Any, Value::Map(entries)) => entries.iter().any(|entry| has(&entry.value, rest)),
        (Step::Field(name), Value::Map(_)) => node.find(name).is_some_and(|node| has(node, rest)),
        _ => false,
    }
}

#[test]
fn written_documents_say_the_same() {
    for subject in kinds() {
        for document in &subject.documents {
            let text = write::document(document, None).expect("nothing is left out");
            let (mut again, problems) = yaml::parse_stream("sample.yaml", &text);
            assert_eq!(problems, []);
            let mut document = document.clone();
            erase_places(&mut document);
            again.iter_mut().for_each(erase_places);
            assert_eq!(again, [document], "{subject}");
        }
    }
}

#[test]
fn what_is_left_stays_in_its_place() {
    let (documents, _) =
        yaml::parse_stream("sample.yaml", "a: {b: 1, c: [x, {d: y, e: z}]}\nf: \"5\"\n");
    let field = |name: &str| Step::Field(name.into());
    let path = |steps: &[Step]| FieldPath { steps: steps.into() };
    let whole = write::document(&documents[0], None).expect("nothing is left out");
    for (gone, left) in [
        (path(&[field("a"), field("c"), Step::Item, field("d")]), "\"e\": \"z\""),
        (path(&[field("a")]), "\"f\": \"5\""),
        (path(&[field("a"), field("b")]), "\"c\": ["),
    ] {
        let text = write::document(&documents[0], Some(&gone)).expect("it is there");
        let place = |text: &str| text.lines().position(|line| line.contains(left));
        assert_eq!(place(&text), place(&whole), "{gone}\n{text}");
        assert!(place(&text).is_some());
    }
    assert_eq!(write::document(&documents[0], Some(&path(&[field("x")]))), None);
}

/// Fields that may be left out without anybody noticing, because they have one value only.
const SINGLE_VALUED: &[(&str, &str)] = &[
    ("HTTPLocalRateLimitPolicy", "spec.overrides[].clientRefs[].group"),
    ("TrafficSplit", "spec.matches[].apiGroup"),
    ("IngressRoute", "spec.routes[].kind"),
    ("File", "http.services.*.loadBalancer.servers[].preservePath"),
];

/// What a document says.
#[derive(PartialEq)]
enum Said {
    Objects(ResourceSet),
    Mesh(MeshConfig, Vec<Problem>),
}

fn said(subject: &Subject, document: &str) -> Said {
    let set = load(&[("sample.yaml", document)]);
    if subject.kind != MESH_CONFIG {
        return Said::Objects(set);
    }
    let body = set.resources().next().map(|resource| resource.body.clone());
    let Some(Kind::ConfigMap(map)) = body else { panic!("not a ConfigMap") };
    let text = map.value(mesh_config::CONFIG_MAP_KEY).expect("it holds a text");
    let text = std::str::from_utf8(text).expect("it was written as a text");
    let (config, problems) = MeshConfig::read(&Arc::from("sample.yaml"), text);
    Said::Mesh(config, problems)
}

/// A field that a reader takes is in what it makes of the document, or is said to be in vain.
#[test]
fn what_is_read_makes_a_difference() {
    let mut silent = Vec::new();
    for subject in kinds() {
        let is_single = |path: &str| {
            SINGLE_VALUED.iter().any(|(kind, field)| (subject.kind, path) == (*kind, *field))
        };
        let mut whole: HashMap<String, Said> = HashMap::new();
        for FieldUse { path, taken } in &subject.fields {
            // All else is in the same place in both.
            let is_silent =
                subject.deletions(path).into_iter().all(|Deletion { with, without }| {
                    let without = said(subject, &without);
                    *whole.entry(with).or_insert_with_key(|with| said(subject, with)) == without
                });
            let may_be_silent = *taken == Taken::Skipped || is_single(&path.to_string());
            if is_silent && !may_be_silent {
                silent.push(format!("{subject}: {path}"));
            }
        }
    }
    assert!(silent.is_empty(), "no difference by {}:\n{}", silent.len(), silent.join("\n"));
}

#[test]
fn how_a_field_is_taken_is_told() {
    let check = |group: &str, kind: &str, path: &str, expected: Taken| {
        let subject = find(group, kind).expect("it is listed");
        let field = subject.fields.iter().find(|field| field.path.to_string() == path);
        assert_eq!(field.map(|field| field.taken), Some(expected), "{kind} {path}");
    };
    check("", "Service", "spec.ports[].port", Taken::Read);
    check("", "Service", "spec.selector.*", Taken::Read);
    check("", "Service", "spec.internalTrafficPolicy", Taken::Ignored);
    check("", "Service", "spec.externalIPs", Taken::Skipped);
    check("", "Service", "metadata.annotations.weftway.io/slow-start", Taken::Read);
    check("", "Service", "metadata.annotations.timeout.linkerd.io/idle", Taken::Read);
    check("", EVERY_OBJECT, "metadata.labels.*", Taken::Read);
    // A condition in a condition is one condition.
    check("linkerd.io", "ServiceProfile", "spec.routes[].condition.not", Taken::Read);
    check("linkerd.io", "ServiceProfile", "spec.opaquePorts", Taken::Ignored);
}

fn erase_places(node: &mut Node) {
    (node.at, node.end) = (Pos::default(), Pos::default());
    match &mut node.value {
        Value::Scalar(scalar) => scalar.plain &= scalar.core() != Core::Str,
        Value::Seq(items) => items.iter_mut().for_each(erase_places),
        Value::Map(entries) => {
            for entry in entries {
                entry.at = Pos::default();
                erase_places(&mut entry.value);
            }
        }
    }
}
