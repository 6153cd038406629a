//! Changes of documents, so that what excludes a field is out of its way.

use serde_json::Value;
use weft_resources::catalogue::{FieldPath, Step};

/// A document with changes: `spec.gateways` leaves a field out, `spec.gateways = ["mesh"]` sets one
/// that is there, `spec.gateways += ["mesh"]` one that may not be, `tls.stores.a => b` renames one.
/// `[]` stands for every item of a list, `*` for every key, `|` for a dot in a key, and
/// `[type=CORS]` for the items of a list that have this, which are left out at the end of a path.
/// A text that is a document itself (`data.mesh`) is one of more fields.
pub(crate) fn adjusted(document: &str, changes: &[&str]) -> String {
    if changes.is_empty() {
        return document.to_owned();
    }
    let mut root = parsed(document);
    for change in changes {
        let json = |text| serde_json::from_str(text).expect("a change is JSON");
        let (path, change) = if let Some((path, value)) = change.split_once(" += ") {
            (path, Change::Add(json(value)))
        } else if let Some((path, value)) = change.split_once(" = ") {
            (path, Change::Set(json(value)))
        } else if let Some((path, name)) = change.split_once(" => ") {
            (path, Change::Rename(name))
        } else {
            (*change, Change::LeaveOut)
        };
        let steps: Vec<String> =
            path.replace('[', ".[").split('.').map(|step| step.replace('|', ".")).collect();
        change_at(&mut root, &steps, &change);
    }
    root.to_string()
}

/// What becomes of a field.
enum Change<'a> {
    LeaveOut,
    Set(Value),
    Add(Value),
    Rename(&'a str),
}

fn change_at(node: &mut Value, steps: &[String], change: &Change<'_>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Change::Set(value) | Change::Add(value) = change {
            *node = value.clone();
        }
        return;
    };
    match node {
        Value::Array(items) if step == "[]" => {
            items.iter_mut().for_each(|item| change_at(item, rest, change));
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
            chosen.for_each(|item| change_at(item, rest, change));
        }
        Value::Object(entries) if step == "*" => {
            entries.values_mut().for_each(|entry| change_at(entry, rest, change));
        }
        Value::Object(entries) => match (change, rest) {
            (Change::LeaveOut, []) => drop(entries.remove(step)),
            (Change::Add(value), []) => drop(entries.insert(step.clone(), value.clone())),
            (Change::Rename(name), []) => {
                if let Some(entry) = entries.remove(step) {
                    entries.insert((*name).to_owned(), entry);
                }
            }
            _ => {
                if let Some(entry) = entries.get_mut(step) {
                    change_at(entry, rest, change);
                }
            }
        },
        Value::String(text) => {
            let mut inner = parsed(text);
            change_at(&mut inner, steps, change);
            *text = inner.to_string();
        }
        _ => {}
    }
}

/// The document, and the same with another value of a field wherever it has one, if there is one of
/// the same sort: another number, the other truth, a name that nothing has. Both are written alike,
/// as places may be in what is compiled.
pub(crate) fn with_another(document: &str, path: &FieldPath) -> Option<(String, String)> {
    let mut root: Value = serde_json::from_str(&strict(document)).ok()?;
    let same = root.to_string();
    let has_changed = another_at(&mut root, &path.steps);
    has_changed.then(|| (same, root.to_string()))
}

fn another_at(node: &mut Value, steps: &[Step]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return another(node) };
    // All of them change, not the first alone.
    let any = |changed: bool, entry: &mut Value| another_at(entry, rest) | changed;
    match (step, node) {
        (Step::Item, Value::Array(items)) => items.iter_mut().fold(false, any),
        (Step::Any, Value::Object(entries)) => entries.values_mut().fold(false, any),
        (Step::Field(name), Value::Object(entries)) => {
            entries.get_mut(&**name).is_some_and(|entry| another_at(entry, rest))
        }
        _ => false,
    }
}

fn another(value: &mut Value) -> bool {
    let other = match &mut *value {
        Value::Bool(is) => Value::Bool(!*is),
        Value::Number(number) => number.as_u64().map_or(Value::Null, |number| (number + 1).into()),
        // Durations and amounts.
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => {
            Value::String(format!("1{text}"))
        }
        Value::String(text) => Value::String(format!("{text}x")),
        Value::Array(items) => {
            return items.iter_mut().fold(false, |changed, item| another(item) | changed);
        }
        _ => return false,
    };
    *value = other;
    true
}

fn parsed(document: &str) -> Value {
    serde_json::from_str(&strict(document)).expect("a document of the catalogue is JSON")
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
