//! From parser events to nodes, within bounds.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};

use super::{ALIAS_NODES_MAX, Chunk, DEPTH_MAX, Entry, Node, Scalar, Value};
use crate::problem::{Pos, Problem, Severity};

/// The documents of one part of a stream.
pub(super) fn documents(
    file: &Arc<str>,
    chunk: Chunk<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Node> {
    let mut builder = Builder::new(chunk);
    let mut documents = Vec::new();
    let mut parser = Parser::new_from_str(chunk.text);
    while let Some(event) = parser.next_event() {
        let step = match event {
            Ok((event, span)) => builder.event(event, span, &mut documents),
            Err(error) => Err(builder.syntax(&error)),
        };
        if let Err(Fault { at, message, fix }) = step {
            let fix = if is_template(chunk.text) { Some(RENDER) } else { fix };
            let mut problem = Problem::new(Severity::Error, file, at, "", message);
            problem.fix = fix.map(Into::into);
            problems.push(problem);
            // What a document says after its first fault is guesswork.
            return Vec::new();
        }
    }
    documents.retain(|node| !node.is_null());
    documents
}

/// What to do about what the parser says, by a part of its words; the first that fits.
const ADVICE: &[(&str, &str)] = &[
    ("tab", "indent with spaces; YAML allows no tabs there"),
    (
        "mapping values are not allowed",
        "put text that contains `: ` between quotes, or check the indentation",
    ),
    (
        "illegal placement of ':'",
        "close the list or map that began above, or put text that contains `:` between quotes",
    ),
    ("quoted scalar", "close the quote, or write text that contains quotes in a block (`|`)"),
    (
        "flow sequence",
        "close the list with `]`, and put values with `[`, `{` or `,` between quotes",
    ),
    ("flow", "close the map with `}`, and put values with `[`, `{` or `,` between quotes"),
    (
        "unknown anchor",
        "give the anchor before it is used, or put text that begins with `*` between quotes",
    ),
    ("anchor or alias", "put text that begins with `*` or `&` between quotes"),
    ("simple key", "write `name: value`, with a space after the colon"),
    ("unexpected character", "put text that begins with this character between quotes"),
    ("indent", INDENT),
    ("did not find expected", INDENT),
    ("block", INDENT),
    ("not allowed", INDENT),
    ("plain scalar", INDENT),
];

const INDENT: &str = "check the indentation: what belongs together begins in the same column, two spaces further in \
     than its name";

const RENDER: &str = "this is a template, not a document: render it first, as with `helm template`";

/// Whether a text has actions of Go's templates, as charts of Helm do.
fn is_template(text: &str) -> bool {
    const WORDS: &[&str] = &[
        ".",
        "$",
        "/*",
        "include ",
        "template ",
        "if ",
        "range ",
        "with ",
        "define ",
        "end ",
        "toYaml ",
    ];
    text.split("{{").skip(1).any(|rest| {
        let action = rest.strip_prefix('-').unwrap_or(rest).trim_start();
        rest.contains("}}") && WORDS.iter().any(|word| action.starts_with(word))
    })
}

/// Why a document is not usable.
struct Fault {
    at: Pos,
    message: String,
    fix: Option<&'static str>,
}

/// A map or list that is still open.
struct Frame {
    at: Pos,
    anchor: usize,
    content: Content,
}

enum Content {
    Seq(Vec<Node>),
    Map { entries: Vec<Entry>, key: Option<(Box<str>, Pos)>, merges: Vec<Node> },
}

struct Builder<'a> {
    text: &'a str,
    first_line: u32,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    alias_nodes: usize,
}

// === impl Builder ===

impl<'a> Builder<'a> {
    fn new(chunk: Chunk<'a>) -> Self {
        let (text, first_line) = (chunk.text, chunk.line);
        Self { text, first_line, stack: Vec::new(), anchors: HashMap::new(), alias_nodes: 0 }
    }

    fn pos(&self, marker: Marker) -> Pos {
        let line = u32::try_from(marker.line()).unwrap_or(u32::MAX);
        let column = u32::try_from(marker.col()).unwrap_or(u32::MAX);
        // The parser counts lines from 1 and columns from 0.
        Pos::new(line.saturating_add(self.first_line - 1), column.saturating_add(1))
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let mut at = self.pos(*error.marker());
        let message = error.info();
        if message.contains("tab") {
            at = self.tab(at);
        }
        let fix = ADVICE.iter().find(|(part, _)| message.contains(part)).map(|(_, fix)| *fix);
        Fault { at, message: format!("invalid YAML: {message}"), fix }
    }

    /// The tab that an error means: the parser stops at the end of the line before.
    fn tab(&self, at: Pos) -> Pos {
        let lines = self.text.lines().zip(self.first_line..);
        let after = lines.skip_while(|(_, line)| *line < at.line);
        let tabs = after.filter_map(|(text, line)| {
            let indent = text.chars().take_while(|c| c.is_whitespace());
            let column = indent.take_while(|c| *c != '\t').count();
            let is_tab = text.chars().nth(column) == Some('\t');
            is_tab.then(|| Pos::new(line, column as u32 + 1))
        });
        tabs.into_iter().next().unwrap_or(at)
    }

    fn event(
        &mut self,
        event: Event<'_>,
        span: Span,
        documents: &mut Vec<Node>,
    ) -> Result<(), Fault> {
        let at = self.pos(span.start);
        let node = match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {
                return Ok(());
            }
            Event::DocumentStart(_) => {
                self.anchors.clear();
                self.alias_nodes = 0;
                return Ok(());
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "seq", at)?;
                return self.open(Frame { at, anchor, content: Content::Seq(Vec::new()) });
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref(), "map", at)?;
                let content = Content::Map { entries: Vec::new(), key: None, merges: Vec::new() };
                return self.open(Frame { at, anchor, content });
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(self.pos(span.end))?,
            Event::Alias(anchor) => self.alias(anchor, at)?,
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = self.scalar(text, style, tag.as_deref(), at)?;
                let node = Node { value: Value::Scalar(scalar), at, end: self.pos(span.end) };
                self.remember(anchor, &node)?;
                node
            }
        };
        self.put(node, documents)
    }

    fn open(&mut self, frame: Frame) -> Result<(), Fault> {
        if self.stack.len() >= DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels");
            return Err(Fault { at: frame.at, message, fix: None });
        }
        self.stack.push(frame);
        Ok(())
    }

    fn close(&mut self, end: Pos) -> Result<Node, Fault> {
        let frame = self.stack.pop().expect("the parser closes only what it opened");
        let value = match frame.content {
            Content::Seq(items) => Value::Seq(items),
            Content::Map { mut entries, merges, .. } => {
                refuse_duplicates(&entries)?;
                merge(&mut entries, merges, frame.at)?;
                Value::Map(entries)
            }
        };
        let node = Node { value, at: frame.at, end };
        self.remember(frame.anchor, &node)?;
        Ok(node)
    }

    fn remember(&mut self, anchor: usize, node: &Node) -> Result<(), Fault> {
        if anchor > 0 {
            spend(&mut self.alias_nodes, node, node.at)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, at: Pos) -> Result<Node, Fault> {
        let Some(node) = self.anchors.get(&anchor) else {
            let message = "an alias refers to a value that contains it".into();
            return Err(Fault { at, message, fix: None });
        };
        spend(&mut self.alias_nodes, node, at)?;
        if self.stack.len() + depth(node) > DEPTH_MAX {
            let message = format!("nested deeper than {DEPTH_MAX} levels by an alias");
            return Err(Fault { at, message, fix: None });
        }
        Ok(node.clone())
    }

    fn put(&mut self, node: Node, documents: &mut Vec<Node>) -> Result<(), Fault> {
        let Some(frame) = self.stack.last_mut() else {
            documents.push(node);
            return Ok(());
        };
        match &mut frame.content {
            Content::Seq(items) => items.push(node),
            Content::Map { entries, key, merges } => match key.take() {
                None => *key = Some(key_of(node)?),
                Some((name, at)) if &*name == "<<" => {
                    if !matches!(node.value, Value::Map(_) | Value::Seq(_)) {
                        let message = "a merge key takes a map or a list of maps".into();
                        return Err(Fault { at, message, fix: None });
                    }
                    merges.push(node);
                }
                Some((name, at)) => entries.push(Entry { key: name, at, value: node }),
            },
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Pos,
    ) -> Result<Scalar, Fault> {
        let mut plain = style == ScalarStyle::Plain;
        if let Some(tag) = tag {
            match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
                (true, "str") => plain = false,
                (true, "int" | "bool" | "float" | "null") => plain = true,
                _ => return Err(unsupported_tag(tag, at)),
            }
        }
        Ok(Scalar { text: text.into(), plain })
    }

    fn check_tag(&self, tag: Option<&Tag>, expected: &str, at: Pos) -> Result<(), Fault> {
        match tag {
            Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
                Err(unsupported_tag(tag, at))
            }
            _ => Ok(()),
        }
    }
}

/// Adds what merge keys bring; what the map says itself wins, then the earlier source.
fn merge(entries: &mut Vec<Entry>, merges: Vec<Node>, at: Pos) -> Result<(), Fault> {
    for source in merges {
        let maps = match source.value {
            Value::Seq(items) => items,
            Value::Map(_) | Value::Scalar(_) => vec![source],
        };
        for map in maps {
            let Value::Map(extra) = map.value else {
                let message = "a merge key takes a map or a list of maps".into();
                return Err(Fault { at, message, fix: None });
            };
            let known: HashSet<Box<str>> = entries.iter().map(|own| own.key.clone()).collect();
            entries.extend(extra.into_iter().filter(|entry| !known.contains(&entry.key)));
        }
    }
    Ok(())
}

fn refuse_duplicates(entries: &[Entry]) -> Result<(), Fault> {
    let mut lines = HashMap::with_capacity(entries.len());
    for Entry { key, at, .. } in entries {
        if let Some(line) = lines.insert(key, at.line) {
            // In words that stay true when the document moves.
            let first = match at.line.saturating_sub(line) {
                0 => "in this line".to_owned(),
                1 => "one line above".to_owned(),
                lines => format!("{lines} lines above"),
            };
            let message = format!("the key `{key}` is already given {first}");
            return Err(Fault { at: *at, message, fix: Some("keep one of the two") });
        }
    }
    Ok(())
}

fn key_of(node: Node) -> Result<(Box<str>, Pos), Fault> {
    match node.value {
        Value::Scalar(scalar) => Ok((scalar.text, node.at)),
        Value::Seq(_) | Value::Map(_) => {
            let message = "a key must be text, not a list or map".into();
            Err(Fault {
                at: node.at,
                message,
                fix: Some("put values that begin with `{` between quotes"),
            })
        }
    }
}

fn unsupported_tag(tag: &Tag, at: Pos) -> Fault {
    Fault { at, message: format!("the YAML tag `{tag}` is not supported"), fix: None }
}

/// Takes the nodes of a value that is copied from the document's budget.
fn spend(spent: &mut usize, node: &Node, at: Pos) -> Result<(), Fault> {
    *spent = spent.saturating_add(count(node));
    if *spent > ALIAS_NODES_MAX {
        let message = format!("anchors and aliases expand to more than {ALIAS_NODES_MAX} values");
        return Err(Fault { at, message, fix: None });
    }
    Ok(())
}

fn count(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::Seq(items) => items.iter().map(count).sum(),
        Value::Map(entries) => entries.iter().map(|entry| count(&entry.value)).sum(),
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::Scalar(_) => 0,
        Value::Seq(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|e| depth(&e.value)).max().unwrap_or(0),
    }
}
