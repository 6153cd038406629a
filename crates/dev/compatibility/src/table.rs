//! What becomes of each field: the rows, and the field that each is for.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use weft_resources::catalogue::{self, FieldUse, Step, Subject, Taken};
use weft_resources::{Problem, load};

use crate::dialect::{self, Dialect};

/// All kinds with what becomes of their fields.
#[derive(Debug)]
pub struct Table {
    /// In the order of the page.
    pub kinds: Vec<Fields>,
}

/// A kind with what becomes of its fields.
#[derive(Debug)]
pub struct Fields {
    /// Where in [`dialect::ALL`] its dialect stands.
    pub dialect: usize,
    /// The kind.
    pub subject: &'static Subject,
    /// The fields that have no field below them, by their paths.
    pub fields: BTreeMap<String, Fate>,
}

/// What becomes of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fate {
    /// Which of the states.
    pub state: State,
    /// What differs, or why it has no effect; perhaps empty.
    pub why: Box<str>,
    /// The tests that show it.
    pub tests: Vec<Box<str>>,
    /// The row that says so; fields of one row have the same.
    pub row: Box<str>,
}

/// What becomes of a field, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It does what its dialect says.
    Honoured,
    /// It does, but not in all respects.
    Differs,
    /// It has no effect, and the report says so.
    Ignored,
    /// It would protect; what it would protect is closed.
    Closed,
    /// It is nobody's here, and nothing is said: what the API server writes, or the cluster alone
    /// acts on.
    Bookkeeping,
}

/// A row as it is written; one of the first four says the state.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    honoured: Option<Vec<Box<str>>>,
    #[serde(default)]
    differs: Option<Box<str>>,
    #[serde(default)]
    ignored: Option<Box<str>>,
    #[serde(default)]
    closed: Option<Box<str>>,
    #[serde(default)]
    tests: Vec<Box<str>>,
}

/// The rows of one kind by pattern.
type Rows = BTreeMap<String, Row>;

/// What is written of a kind.
struct Written {
    dialect: usize,
    /// The kind whose rows hold where it has none.
    like: Option<String>,
    rows: Rows,
}

/// The key in a kind's rows that names the kind that it is like.
const LIKE: &str = "like";

// === impl Table ===

impl Table {
    /// Reads the rows of all dialects.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them, a line each.
    pub fn read() -> Result<Self, Vec<String>> {
        Self::of(dialect::ALL, catalogue::kinds())
    }

    pub(crate) fn of(
        dialects: &[Dialect],
        subjects: &'static [Subject],
    ) -> Result<Self, Vec<String>> {
        let mut wrong = Vec::new();
        let mut written: BTreeMap<String, Written> = BTreeMap::new();
        for (number, dialect) in dialects.iter().enumerate() {
            for (kind, rows) in rows(dialect, number, &mut wrong) {
                if written.insert(kind.clone(), rows).is_some() {
                    wrong.push(format!("{}: {kind} is there twice", dialect.file));
                }
            }
        }
        let mut kinds: Vec<Fields> = Vec::new();
        for subject in subjects {
            let Some(own) = written.get(&title(subject)) else {
                wrong.push(format!("no dialect has rows for {}", title(subject)));
                continue;
            };
            let like = own.like.as_ref().and_then(|like| written.get(like));
            if own.like.is_some() && like.is_none() {
                wrong.push(format!("{} is like what is not there", title(subject)));
            }
            let fields = fates(subject, &own.rows, like.map(|like| &like.rows), &mut wrong);
            kinds.push(Fields { dialect: own.dialect, subject, fields });
        }
        let known: BTreeSet<String> = subjects.iter().map(title).collect();
        let unknown = written.keys().filter(|kind| !known.contains(*kind));
        wrong.extend(unknown.map(|kind| format!("there is no kind {kind:?}")));
        kinds.sort_by_key(|fields| fields.dialect);
        if wrong.is_empty() { Ok(Self { kinds }) } else { Err(wrong) }
    }

    /// The tests that rows name, with the field that they are to show.
    pub fn tests(&self) -> impl Iterator<Item = (&str, String)> {
        self.kinds.iter().flat_map(|kind| {
            let named = kind
                .fields
                .iter()
                .flat_map(|(path, fate)| fate.tests.iter().map(move |test| (&**test, path)));
            named.map(|(test, path)| (test, format!("{} {path}", title(kind.subject))))
        })
    }
}

// === impl State ===

impl State {
    /// In the order of the page.
    pub const ALL: [Self; 5] =
        [Self::Honoured, Self::Differs, Self::Ignored, Self::Closed, Self::Bookkeeping];

    /// The word shown to users.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Differs => "with a difference",
            Self::Ignored => "ignored",
            Self::Closed => "closed",
            Self::Bookkeeping => "bookkeeping",
        }
    }
}

// === impl Row ===

impl Row {
    /// What the row says of a field, if it says just one thing.
    fn fate(&self, pattern: &str) -> Option<Fate> {
        let said = [
            self.honoured.as_ref().map(|_| (State::Honoured, Box::default())),
            self.differs.clone().map(|why| (State::Differs, why)),
            self.ignored.clone().map(|why| (State::Ignored, why)),
            self.closed.clone().map(|why| (State::Closed, why)),
        ];
        let mut said = said.into_iter().flatten();
        let (Some((state, why)), None) = (said.next(), said.next()) else { return None };
        let tests = self.honoured.iter().flatten().chain(&self.tests).cloned().collect();
        Some(Fate { state, why, tests, row: pattern.into() })
    }
}

/// What a kind is called in rows and headings: `networking.istio.io Gateway`.
pub fn title(subject: &Subject) -> String {
    format!("{} {}", subject.group, subject.kind).trim_start().to_owned()
}

/// What a dialect's file says, by kind.
fn rows(dialect: &Dialect, number: usize, wrong: &mut Vec<String>) -> Vec<(String, Written)> {
    let document = match dialect.fields.parse::<toml::Table>() {
        Ok(document) => document,
        Err(error) => {
            wrong.push(format!("{}: {error}", dialect.file));
            return Vec::new();
        }
    };
    let mut kinds = Vec::new();
    for (kind, value) in document {
        let like = value.get(LIKE).and_then(toml::Value::as_str).map(str::to_owned);
        let mut rows = Rows::new();
        for (pattern, value) in value.as_table().into_iter().flatten() {
            if pattern == LIKE {
                continue;
            }
            match value.clone().try_into::<Row>() {
                Ok(row) => drop(rows.insert(pattern.clone(), row)),
                Err(error) => wrong.push(format!("{}: {kind} {pattern}: {error}", dialect.file)),
            }
        }
        kinds.push((kind, Written { dialect: number, like, rows }));
    }
    kinds
}

/// What becomes of every field of a kind.
fn fates(
    subject: &Subject,
    rows: &Rows,
    like: Option<&Rows>,
    wrong: &mut Vec<String>,
) -> BTreeMap<String, Fate> {
    let name = title(subject);
    let said = load(&[("sample.yaml", subject.sample)]).problems();
    let mut patterns: Vec<(String, Fate)> = Vec::new();
    let inherited = like.into_iter().flatten().filter(|(pattern, _)| !rows.contains_key(*pattern));
    for (pattern, row) in rows.iter().chain(inherited) {
        match row.fate(pattern) {
            Some(fate) => {
                patterns.extend(alternatives(pattern).into_iter().map(|one| (one, fate.clone())));
            }
            None => wrong.push(format!("{name} {pattern}: the row has not just one state")),
        }
    }
    let mut used = BTreeSet::new();
    let mut fates = BTreeMap::new();
    for field in leaves(subject) {
        let path = field.path.to_string();
        let fitting = patterns.iter().filter(|(pattern, _)| fits(pattern, &path));
        let row = fitting.max_by_key(|(pattern, _)| (!pattern.ends_with("**"), pattern.len()));
        if let Some((_, fate)) = row {
            used.insert(fate.row.clone());
        }
        let fate = match (row, field.taken) {
            // A wide row does not mean them.
            (_, Taken::Skipped) if row.is_none_or(|(pattern, _)| *pattern != path) => {
                Fate::bookkeeping()
            }
            (Some((_, fate)), _) => fate.clone(),
            (None, Taken::Ignored) => Fate::ignored(field, &said),
            (None, _) => {
                wrong.push(format!("{name} {path}: no row"));
                continue;
            }
        };
        wrong.extend(contradiction(&fate, field.taken).map(|why| format!("{name} {path}: {why}")));
        fates.insert(path, fate);
    }
    let unused = rows.keys().filter(|pattern| !used.contains(pattern.as_str()));
    wrong.extend(unused.map(|pattern| format!("{name} {pattern}: the row is for nothing")));
    fates
}

/// What is wrong with a row for a field that a reader takes in some way.
fn contradiction(fate: &Fate, taken: Taken) -> Option<&'static str> {
    let is_carried_out = matches!(fate.state, State::Honoured | State::Differs);
    match fate.state {
        _ if is_carried_out && taken == Taken::Ignored => Some("the reader says it has no effect"),
        _ if is_carried_out && fate.tests.is_empty() => Some("no test shows that it is honoured"),
        State::Differs | State::Ignored | State::Closed if fate.why.is_empty() => {
            Some("it is not said why")
        }
        _ => None,
    }
}

/// The fields that have no field below them: those that have are what these are.
pub fn leaves(subject: &Subject) -> impl Iterator<Item = &FieldUse> {
    let is_below =
        |path: &[Step], other: &[Step]| path.len() > other.len() && path.starts_with(other);
    subject.fields.iter().filter(move |field| {
        let mut others = subject.fields.iter();
        !others.any(|other| is_below(&other.path.steps, &field.path.steps))
    })
}

/// `a.{b,c}.d` as `a.b.d` and `a.c.d`.
fn alternatives(pattern: &str) -> Vec<String> {
    let Some((before, (inner, after))) =
        pattern.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return vec![pattern.to_owned()];
    };
    inner.split(',').flat_map(|one| alternatives(&format!("{before}{one}{after}"))).collect()
}

/// Whether a row is for a field: `a.b` for itself alone, `a.**` for all that is below `a`, and `a`.
fn fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix(".**") {
        None => pattern == "**" || pattern == path,
        Some(top) => path
            .strip_prefix(top)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])),
    }
}

// === impl Fate ===

impl Fate {
    fn bookkeeping() -> Self {
        Self { state: State::Bookkeeping, why: "".into(), tests: Vec::new(), row: "".into() }
    }

    /// A field of which the reader says itself that it has no effect, and why.
    fn ignored(field: &FieldUse, said: &[Problem]) -> Self {
        let path = field.path.to_string();
        let is_of_field = |problem: &&Problem| same_field(&problem.path, &path);
        let problem = said.iter().find(is_of_field);
        let why = problem.map_or("it has no effect", |problem| &*problem.message);
        Self { state: State::Ignored, why: why.into(), tests: Vec::new(), row: why.into() }
    }
}

/// Whether a place, `spec.rules[0].name`, is that of a field, `spec.rules[].name`.
fn same_field(place: &str, path: &str) -> bool {
    let mut plain = String::with_capacity(place.len());
    for part in place.split_inclusive('[') {
        let rest = part.split_once(']').map_or(part, |(_, rest)| rest);
        if part.contains(']') {
            plain.push(']');
        }
        plain.push_str(rest);
    }
    plain == path
}
