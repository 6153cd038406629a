//! Changes of documents, so that what excludes a field is out of its way.

use serde_json::Value;
use weft_resources::catalogue::{FieldPath, Step};

/// A document with some fields left out (`spec.gateways`), or set: `spec.gateways = ["mesh"]`.
/// Only what is there is set.
/// `[]` stands for every item of a list, `*` for every key, `|` for a dot in a key, and
/// `[type=CORS]` for the items of a list that have this, which are left out at the end of a path.
pub(crate) fn adjusted(document: &str, changes: &[&str]) -> String {
    if changes.is_empty() {
        return document.to_owned();
    }
    let mut root: Value = serde_json::from_str(&strict(document)).expect("it is JSON now");
    for change in changes {
        let (path, value) = match change.split_once(" = ") {
            Some((path, value)) => {
                (path, Some(serde_json::from_str(value).expect("a change is JSON")))
            }
            None => (*change, None),
        };
        let steps: Vec<String> =
            path.replace('[', ".[").split('.').map(|step| step.replace('|', ".")).collect();
        change_at(&mut root, &steps, value.as_ref());
    }
    root.to_string()
}

fn change_at(node: &mut Value, steps: &[String], value: Option<&Value>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(value) = value {
            *node = value.clone();
        }
        return;
    };
    match node {
        Value::Array(items) if step == "[]" => {
            items.iter_mut().for_each(|item| change_at(item, rest, value));
        }
        Value::Array(items) if rest.is_empty() => {
            let wanted = step.trim_matches(['[', ']']).split_once('=');
            items.retain(|item| {
                wanted.is_none_or(|(name, value)| item.get(name).is_none_or(|is| is != value))
            });
        }
        Value::Array(items) => {
            let Some((name, is)) = step.trim_matches(['[', ']']).split_once('=') else { return };
            let chosen = items.iter_mut().filter(|item| item.get(name).is_some_and(|v| v == is));
            chosen.for_each(|item| change_at(item, rest, value));
        }
        Value::Object(entries) if step == "*" => {
            entries.values_mut().for_each(|entry| change_at(entry, rest, value));
        }
        Value::Object(entries) if rest.is_empty() && value.is_none() => drop(entries.remove(step)),
        Value::Object(entries) => {
            if let Some(entry) = entries.get_mut(step) {
                change_at(entry, rest, value);
            }
        }
        _ => {}
    }
}

/// The same document with another value of a field wherever it has one, if there is one of the
/// same sort: another number, the other truth, a name that nothing has.
pub(crate) fn with_another(document: &str, path: &FieldPath) -> Option<String> {
    let mut root: Value = serde_json::from_str(&strict(document)).ok()?;
    let has_changed = another_at(&mut root, &path.steps, path.steps.last()?);
    has_changed.then(|| root.to_string())
}

fn another_at(node: &mut Value, steps: &[Step], last: &Step) -> bool {
    let Some((step, rest)) = steps.split_first() else { return another(node, last) };
    match (step, node) {
        (Step::Item, Value::Array(items)) => {
            items.iter_mut().filter_map(|item| another_at(item, rest, last).then_some(())).count()
                > 0
        }
        (Step::Any, Value::Object(entries)) => {
            entries
                .values_mut()
                .filter_map(|entry| another_at(entry, rest, last).then_some(()))
                .count()
                > 0
        }
        (Step::Field(name), Value::Object(entries)) => {
            entries.get_mut(&**name).is_some_and(|entry| another_at(entry, rest, last))
        }
        _ => false,
    }
}

/// Names that refer to something; words of a dialect's own are not changed, as others may be
/// errors.
const NAMES: &[&str] = &["group", "apiGroup", "kind", "name", "namespace", "sectionName"];

fn another(value: &mut Value, last: &Step) -> bool {
    let is_name = match last {
        Step::Field(name) => NAMES.contains(&&**name),
        Step::Any => true,
        Step::Item => false,
    };
    let other = match &*value {
        Value::Bool(is) => Value::Bool(!is),
        Value::Number(number) => number.as_u64().map_or(Value::Null, |number| (number + 1).into()),
        Value::String(text) if is_name => Value::String(format!("{text}x")),
        // Durations and amounts.
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            Value::String(format!("1{text}"))
        }
        _ => return false,
    };
    *value = other;
    true
}

/// A document of the catalogue without the gaps of what was left out, which JSON knows not.
fn strict(document: &str) -> String {
    let mut text = String::with_capacity(document.len());
    for line in document.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with(['}', ']']) && text.ends_with(',') {
            text.pop();
        }
        let is_gap = line == "," && text.ends_with(['{', '[', ',']);
        text.push_str(if is_gap { "" } else { line });
    }
    text
}
