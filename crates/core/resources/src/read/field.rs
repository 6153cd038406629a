//! One value with its place, and the types it may be read as.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Path, Reader, Sink, nearest};
use crate::duration::{parse_duration, parse_gateway_duration};
use crate::problem::{Pos, Severity};
use crate::resource::Spanned;
use crate::yaml::{Core, Node, Value};

/// One value with its place.
///
/// Each conversion answers `None` after it has reported why not.
#[derive(Debug, Clone, Copy)]
pub struct Field<'d, 'p> {
    node: &'d Node,
    at: Pos,
    key_at: Pos,
    path: Path<'p>,
    sink: &'p Sink,
}

// === impl Field ===

impl<'d, 'p> Field<'d, 'p> {
    /// A value at `path`, whose key (or itself, in a list) is written at `key_at` of the text.
    pub fn new(node: &'d Node, key_at: Pos, path: Path<'p>, sink: &'p Sink) -> Self {
        Self { node, at: sink.place(node.at), key_at: sink.place(key_at), path, sink }
    }

    /// The value as parsed.
    pub fn node(&self) -> &'d Node {
        self.node
    }

    /// Where the value begins.
    pub fn at(&self) -> Pos {
        self.at
    }

    /// Where its key is written.
    pub fn key_at(&self) -> Pos {
        self.key_at
    }

    /// Its path.
    pub fn path(&self) -> &Path<'p> {
        &self.path
    }

    /// Whether nothing was written.
    pub fn is_null(&self) -> bool {
        self.node.is_null()
    }

    /// Reports an error here.
    pub fn error(&self, message: impl Into<Box<str>>, fix: Option<String>) {
        self.sink.report(Severity::Error, self.at, self.path, message, fix);
    }

    /// Reports a warning here.
    pub fn warn(&self, message: impl Into<Box<str>>, fix: Option<String>) {
        self.sink.report(Severity::Warning, self.at, self.path, message, fix);
    }

    /// Reports something worth knowing here.
    pub fn note(&self, message: impl Into<Box<str>>) {
        self.sink.report(Severity::Note, self.at, self.path, message, None);
    }

    /// A value together with this place.
    pub fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned { value, at: self.at }
    }

    /// Text. Numbers and booleans without quotes are not text.
    pub fn string(&self) -> Option<Box<str>> {
        match self.node.as_scalar() {
            Some(scalar) if scalar.core() == Core::Str => Some(scalar.text.clone()),
            Some(scalar) if scalar.core() != Core::Null => {
                let fix = format!("write \"{}\"", scalar.text);
                self.error(format!("expected text, found {}", self.node.describe()), Some(fix));
                None
            }
            _ => self.mismatch("text"),
        }
    }

    /// Text with this place.
    pub fn spanned_string(&self) -> Option<Spanned<Box<str>>> {
        self.string().map(|text| self.spanned(text))
    }

    /// Text that is not empty.
    pub fn non_empty_string(&self) -> Option<Box<str>> {
        let text = self.string()?;
        if text.is_empty() {
            self.error("must not be empty", None);
            return None;
        }
        Some(text)
    }

    /// Text, or a number or boolean as it is written: for values whose readers are lenient.
    pub fn text(&self) -> Option<Box<str>> {
        match self.node.as_scalar() {
            Some(scalar) if scalar.core() != Core::Null => Some(scalar.text.clone()),
            _ => self.mismatch("text"),
        }
    }

    /// A boolean: `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        match self.node.as_scalar().map(|scalar| (scalar.core(), &*scalar.text)) {
            Some((Core::Bool(value), _)) => Some(value),
            Some((Core::Str, text)) => {
                let fix = match text.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" => Some("write true".into()),
                    "no" | "off" | "n" | "false" => Some("write false".into()),
                    _ => None,
                };
                let found = self.node.describe();
                self.error(format!("expected true or false, found {found}"), fix);
                None
            }
            _ => self.mismatch("true or false"),
        }
    }

    /// An integer within bounds, both included.
    pub fn int(&self, min: i64, max: i64) -> Option<i64> {
        let value = match self.node.as_scalar().map(|scalar| (scalar.core(), &*scalar.text)) {
            Some((Core::Int(value), _)) => value,
            // 1e3 and 5.0 are integers in JSON's eyes.
            Some((Core::Float(value), _)) if value.fract() == 0.0 && value.abs() < 9e15 => {
                value as i64
            }
            Some((Core::Str, text)) if text.parse::<i64>().is_ok() => {
                let fix = format!("write {text} without quotes");
                self.error(format!("expected a number, found the text `{text}`"), Some(fix));
                return None;
            }
            _ => return self.mismatch("a whole number"),
        };
        if value < min || value > max {
            let bounds = match (min, max) {
                (_, i64::MAX) => format!("must be at least {min}"),
                (i64::MIN, _) => format!("must be at most {max}"),
                _ => format!("must be between {min} and {max}"),
            };
            self.error(format!("{value} is out of range: {bounds}"), None);
            return None;
        }
        Some(value)
    }

    /// A port number, 1 to 65535.
    pub fn port(&self) -> Option<u16> {
        self.int(1, 65_535).map(|port| port as u16)
    }

    /// A number, with or without a fraction.
    pub fn number(&self) -> Option<f64> {
        match self.node.as_scalar().map(crate::yaml::Scalar::core) {
            Some(Core::Int(value)) => Some(value as f64),
            Some(Core::Float(value)) if value.is_finite() => Some(value),
            _ => self.mismatch("a number"),
        }
    }

    /// A Go duration (`250ms`, `1m30s`) or a bare number of seconds, as Traefik reads them.
    pub fn duration(&self) -> Option<Duration> {
        self.duration_with(parse_duration, "write a duration such as 250ms, 30s or 1m30s")
    }

    /// A duration that may be negative, which is answered as zero with the sign: Traefik uses
    /// negative durations for "at once".
    pub fn signed_duration(&self) -> Option<(bool, Duration)> {
        let scalar = self.node.as_scalar();
        let negative = scalar.and_then(|scalar| scalar.text.strip_prefix('-'));
        if let Some(Ok(value)) = negative.map(parse_duration) {
            return Some((true, value));
        }
        self.duration().map(|value| (false, value))
    }

    /// A Gateway API duration (GEP-2257): one to four of `h`, `m`, `s`, `ms`.
    pub fn gateway_duration(&self) -> Option<Duration> {
        self.duration_with(parse_gateway_duration, "write a duration such as 250ms, 30s or 1m30s")
    }

    fn duration_with(
        &self,
        parse: fn(&str) -> Result<Duration, crate::duration::InvalidDuration>,
        fix: &str,
    ) -> Option<Duration> {
        let Some(scalar) = self.node.as_scalar().filter(|scalar| scalar.core() != Core::Null)
        else {
            return self.mismatch("a duration");
        };
        match parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(error.to_string(), Some(fix.into()));
                None
            }
        }
    }

    /// A quantity of Kubernetes without a unit, such as `2` or `500m`, in thousandths.
    pub fn quantity_thousandths(&self) -> Option<u64> {
        let scalar = self.node.as_scalar().filter(|scalar| scalar.core() != Core::Null);
        let Some(scalar) = scalar else { return self.mismatch("a quantity") };
        let thousandths = match scalar.text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse().ok(),
            None => scalar.text.parse().ok().and_then(|whole: u64| whole.checked_mul(1000)),
        };
        if thousandths.is_none() {
            let fix = "write a number such as 2, or thousandths such as 500m".into();
            self.error(format!("`{}` is not a quantity", scalar.text), Some(fix));
        }
        thousandths
    }

    /// An address range; a bare address is a range of one.
    pub fn ip_net(&self) -> Option<IpNet> {
        let text = self.string()?;
        let parsed = text
            .parse::<IpNet>()
            .map(|net| net.trunc())
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        if parsed.is_err() {
            let fix = "write an address or a range such as 10.0.0.0/8".into();
            self.error(format!("`{text}` is not an address or address range"), Some(fix));
        }
        parsed.ok()
    }

    /// One of a closed list of words.
    pub fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let text = self.string()?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == &*text) {
            return Some(value.clone());
        }
        let names: Vec<&str> =
            choices.iter().map(|(name, _)| *name).filter(|name| !name.is_empty()).collect();
        let fix = match nearest(&text, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("use one of {}", names.join(", ")),
        };
        self.error(format!("`{text}` is not a value of this field"), Some(fix));
        None
    }

    /// A list; items that fail are left out after they were reported.
    pub fn list<T>(&self, mut item: impl FnMut(&Field<'d, '_>) -> Option<T>) -> Vec<T> {
        let Value::Seq(nodes) = &self.node.value else {
            let _: Option<()> = self.mismatch("a list");
            return Vec::new();
        };
        // Lists are short and many, so their room is exact.
        let mut items = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let field = Field::new(node, node.at, Path::Index(&self.path, index), self.sink);
            match item(&field) {
                Some(item) => items.push(item),
                None => self.sink.has_gaps.set(true),
            }
        }
        items
    }

    /// A list of texts.
    pub fn strings(&self) -> Vec<Box<str>> {
        self.list(|item| item.string())
    }

    /// A map from texts to texts. Numbers and booleans are taken as written.
    pub fn text_map(&self) -> Vec<(Box<str>, Box<str>)> {
        let Some(reader) = self.reader() else { return Vec::new() };
        reader
            .rest()
            .filter_map(|(name, field)| {
                let text = if field.is_null() { Some("".into()) } else { field.text() };
                text.map(|text| (name.into(), text))
            })
            .collect()
    }

    /// A map, to be read field by field.
    pub fn reader<'r>(&'r self) -> Option<Reader<'d, 'r>>
    where
        'p: 'r,
    {
        Reader::new(self.node, self.path, self.sink)
    }

    /// A map, read with `read`.
    pub fn nested<T>(&self, read: impl FnOnce(&Reader<'d, '_>) -> Option<T>) -> Option<T> {
        let reader = self.reader()?;
        read(&reader)
    }

    /// A map that has the shape of the one at `shape`, in which it stands: conditions in conditions.
    pub fn nested_as<T>(
        &self,
        shape: &Path<'_>,
        read: impl FnOnce(&Reader<'d, '_>) -> Option<T>,
    ) -> Option<T> {
        let path = Path::Like(&self.path, shape);
        let reader = Reader::new(self.node, path, self.sink)?;
        read(&reader)
    }

    fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.error(format!("expected {expected}, found {}", self.node.describe()), None);
        None
    }
}
