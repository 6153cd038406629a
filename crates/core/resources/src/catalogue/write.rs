//! Documents as text, with or without a field.

use std::fmt::Write;

use crate::istio::mesh_config;
use crate::read::{FieldPath, Step};
use crate::yaml::{Core, Node, Scalar, Value};

/// A document as JSON, one field a line. The lines of what is at `gone` are empty, so that nothing
/// else moves; `None` when the document does not have it.
pub(super) fn document(node: &Node, gone: Option<&FieldPath>) -> Option<String> {
    let mut writer = Writer { text: String::new(), indent: 0, has_found: false };
    writer.node(node, gone.map(|path| &*path.steps));
    writer.text.push('\n');
    (gone.is_none() || writer.has_found).then_some(writer.text)
}

/// A ConfigMap that holds the text of a MeshConfig.
pub(super) fn mesh_config(text: &str) -> String {
    let mut writer = Writer { text: String::new(), indent: 0, has_found: false };
    writer.quoted(text);
    let (name, key) = (mesh_config::CONFIG_MAP, mesh_config::CONFIG_MAP_KEY);
    format!(
        "{{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {{\"name\": \"{name}\", \
         \"namespace\": \"istio-system\"}}, \"data\": {{\"{key}\": {}}}}}\n",
        writer.text
    )
}

struct Writer {
    text: String,
    indent: usize,
    has_found: bool,
}

// === impl Writer ===

impl Writer {
    /// Writes a value; `gone` leads from here to what is left out.
    fn node(&mut self, node: &Node, gone: Option<&[Step]>) {
        match &node.value {
            Value::Scalar(scalar) => self.scalar(scalar),
            Value::Seq(items) => {
                let inner = gone.and_then(|gone| gone.strip_prefix(&[Step::Item]));
                self.text.push('[');
                self.lines(items.len(), |writer, index| writer.node(&items[index], inner));
                self.text.push(']');
            }
            Value::Map(entries) => {
                self.text.push('{');
                self.lines(entries.len(), |writer, index| {
                    let entry = &entries[index];
                    let inner = gone.and_then(|gone| match gone.split_first()? {
                        (Step::Field(name), rest) if *name == entry.key => Some(rest),
                        (Step::Any, rest) => Some(rest),
                        _ => None,
                    });
                    if inner.is_some_and(<[Step]>::is_empty) {
                        writer.blank(&entry.key, &entry.value);
                    } else {
                        writer.entry(&entry.key, &entry.value, inner);
                    }
                });
                self.text.push('}');
            }
        }
    }

    fn entry(&mut self, key: &str, value: &Node, gone: Option<&[Step]>) {
        self.quoted(key);
        self.text.push_str(": ");
        self.node(value, gone);
    }

    /// Leaves an entry out, and its lines empty.
    fn blank(&mut self, key: &str, value: &Node) {
        self.has_found = true;
        let start = self.text.len();
        self.entry(key, value, None);
        let lines = self.text[start..].matches('\n').count();
        self.text.truncate(start);
        self.text.extend(std::iter::repeat_n('\n', lines));
    }

    /// Writes each of `count` values on lines of its own.
    fn lines(&mut self, count: usize, mut write: impl FnMut(&mut Self, usize)) {
        self.indent += 2;
        for index in 0..count {
            self.line();
            let start = self.text.len();
            write(self, index);
            if !self.text[start..].trim().is_empty() {
                self.text.push(',');
            }
        }
        self.indent -= 2;
        self.line();
    }

    fn line(&mut self) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', self.indent));
    }

    fn scalar(&mut self, scalar: &Scalar) {
        match scalar.core() {
            Core::Str => self.quoted(&scalar.text),
            Core::Null => self.text.push_str("null"),
            Core::Bool(_) | Core::Int(_) | Core::Float(_) => self.text.push_str(&scalar.text),
        }
    }

    /// Writes a text in double quotes (YAML 1.2, 7.3.1).
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.chars() {
            match c {
                '"' | '\\' => self.text.extend(['\\', c]),
                '\n' => self.text.push_str("\\n"),
                c if c.is_control() => {
                    write!(self.text, "\\U{:08x}", u32::from(c)).expect("a String takes any text");
                }
                c => self.text.push(c),
            }
        }
        self.text.push('"');
    }
}
