//! The boolean language that rules and expressions share: tokens, calls, `&&`, `||`, `!` and
//! parentheses.
//!
//! Traefik reads rules, circuit breaker expressions and retry expressions with Go's expression
//! grammar; one reader for the three keeps their strings, precedence and messages the same. What
//! stands between the operators is up to a [`Grammar`].

mod lexer;

use std::fmt;

pub use lexer::{Argument, Token, TokenKind, Tokens, Value};

/// The deepest nesting of parentheses. People nest three deep; 64 keeps every later walk over the
/// tree far from the end of a stack.
pub const DEPTH_MAX: usize = 64;

/// A stretch of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub offset: usize,
    /// Number of bytes; 0 at the end of the text.
    pub length: usize,
}

/// What is wrong with a text, where, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub span: Span,
    /// What is wrong, lower case, without a full stop.
    pub problem: String,
    /// What would be right, when that is known.
    pub remedy: Option<String>,
}

/// What stands between the operators of one language, and what the operators make of it.
pub trait Grammar {
    /// The tree.
    type Node;

    /// Reads what stands between operators: a call, or a comparison.
    ///
    /// # Errors
    ///
    /// When the tokens are none of the language.
    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<Self::Node, Fault>;

    /// Joins two or more by `&&`.
    fn all(&mut self, nodes: Vec<Self::Node>) -> Self::Node;

    /// Joins two or more by `||`.
    fn any(&mut self, nodes: Vec<Self::Node>) -> Self::Node;

    /// Negates. Double negations do not get here.
    fn not(&mut self, node: Self::Node) -> Self::Node;
}

/// Reads the whole of `text`; `!` binds closest, then `&&`, then `||`.
///
/// # Errors
///
/// When the text is longer than `bytes_max`, nests deeper than [`DEPTH_MAX`], or is not of the
/// language. The first fault is reported.
pub fn parse<G: Grammar>(grammar: &mut G, text: &str, bytes_max: usize) -> Result<G::Node, Fault> {
    if text.len() > bytes_max {
        let span = Span { offset: bytes_max, length: text.len() - bytes_max };
        let problem = format!("longer than {bytes_max} bytes");
        return Err(Fault::new(span, problem).remedy("split it up, or make it shorter"));
    }
    let mut tokens = Tokens::new(text)?;
    let node = either(grammar, &mut tokens, 0)?;
    match tokens.peek().kind {
        TokenKind::End => Ok(node),
        _ => Err(tokens.misplaced("`&&`, `||` or the end")),
    }
}

// === impl Span ===

impl Span {
    /// From the first byte of this to the last of `end`.
    pub fn to(self, end: Self) -> Self {
        Self { offset: self.offset, length: (end.offset + end.length).saturating_sub(self.offset) }
    }
}

// === impl Fault ===

impl Fault {
    /// A fault without a remedy.
    pub fn new(span: Span, problem: impl Into<String>) -> Self {
        Self { span, problem: problem.into(), remedy: None }
    }

    /// The same with what would be right.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.problem, self.span.offset)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl std::error::Error for Fault {}

/// Operands of `||`.
fn either<G: Grammar>(
    grammar: &mut G,
    tokens: &mut Tokens<'_>,
    depth: usize,
) -> Result<G::Node, Fault> {
    let first = both(grammar, tokens, depth)?;
    if tokens.peek().kind != TokenKind::Or {
        return Ok(first);
    }
    let mut nodes = vec![first];
    while tokens.peek().kind == TokenKind::Or {
        tokens.advance()?;
        nodes.push(both(grammar, tokens, depth)?);
    }
    Ok(grammar.any(nodes))
}

/// Operands of `&&`.
fn both<G: Grammar>(
    grammar: &mut G,
    tokens: &mut Tokens<'_>,
    depth: usize,
) -> Result<G::Node, Fault> {
    let first = unary(grammar, tokens, depth)?;
    if tokens.peek().kind != TokenKind::And {
        return Ok(first);
    }
    let mut nodes = vec![first];
    while tokens.peek().kind == TokenKind::And {
        tokens.advance()?;
        nodes.push(unary(grammar, tokens, depth)?);
    }
    Ok(grammar.all(nodes))
}

/// An operand, parenthesized or not, behind any number of `!`.
fn unary<G: Grammar>(
    grammar: &mut G,
    tokens: &mut Tokens<'_>,
    depth: usize,
) -> Result<G::Node, Fault> {
    let mut negated = false;
    while tokens.peek().kind == TokenKind::Not {
        tokens.advance()?;
        negated = !negated;
    }
    let node = match tokens.peek().kind {
        TokenKind::Open => {
            let span = tokens.peek().span;
            if depth == DEPTH_MAX {
                let problem = format!("parentheses nest deeper than {DEPTH_MAX}");
                return Err(Fault::new(span, problem));
            }
            tokens.advance()?;
            let node = either(grammar, tokens, depth + 1)?;
            if tokens.peek().kind != TokenKind::Close {
                return Err(tokens.misplaced("`)`"));
            }
            tokens.advance()?;
            node
        }
        _ => grammar.operand(tokens)?,
    };
    Ok(if negated { grammar.not(node) } else { node })
}

#[cfg(test)]
mod tests;
