//! Patterns over text, compiled once when a snapshot is built.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

/// The largest compiled size of one user-supplied pattern, in bytes.
///
/// Users write patterns, so each has a ceiling; 1 MiB holds every pattern seen in practice and
/// keeps a thousand of the worst below a gigabyte.
pub const PATTERN_SIZE_BYTES_MAX: usize = 1 << 20;

/// A regular expression of the linear-time kind (RE2 syntax), not anchored.
#[derive(Clone)]
pub struct Pattern(Arc<Regex>);

/// The text is not a regular expression, or one too large when compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid regular expression `{pattern}`: {reason}")]
pub struct InvalidPattern {
    pattern: String,
    reason: String,
}

// === impl Pattern ===

impl Pattern {
    /// Compiles `text`.
    ///
    /// # Errors
    ///
    /// When the syntax is wrong or the compiled form exceeds [`PATTERN_SIZE_BYTES_MAX`].
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        regex::RegexBuilder::new(text)
            .size_limit(PATTERN_SIZE_BYTES_MAX)
            .build()
            .map(|regex| Self(Arc::new(regex)))
            .map_err(|error| InvalidPattern::new(text, &error))
    }

    /// Compiles `text` so that it must match the whole input.
    ///
    /// # Errors
    ///
    /// As [`Pattern::new`].
    pub fn anchored(text: &str) -> Result<Self, InvalidPattern> {
        Self::new(text)?;
        Self::new(&format!("^(?:{text})$"))
    }

    /// The compiled expression.
    pub fn regex(&self) -> &Regex {
        &self.0
    }

    /// Whether any part of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The source text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

// === impl InvalidPattern ===

impl InvalidPattern {
    fn new(pattern: &str, error: &regex::Error) -> Self {
        // The library draws the place over several lines; its last says what is wrong.
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Self { pattern: pattern.into(), reason: reason.into() }
    }

    /// What is wrong, without the pattern.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

/// How a header or query value is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    /// Byte for byte.
    Exact(Box<str>),
    /// Somewhere in the value (or all of it, if the pattern is anchored).
    Regex(Pattern),
    /// The name is there, whatever its value.
    Present,
}

impl TextMatch {
    /// Whether `value` satisfies this comparison.
    pub fn is_match(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => **text == *value,
            Self::Regex(pattern) => pattern.is_match(value),
            Self::Present => true,
        }
    }
}
