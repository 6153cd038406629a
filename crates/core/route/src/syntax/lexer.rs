//! Text to tokens, with one token of lookahead.

use std::borrow::Cow;

use weft_model::policy::Comparison;

use crate::syntax::{Fault, Span};

/// One token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind<'a>,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// The kinds of token.
#[derive(Debug, Clone, PartialEq)]
pub enum TokenKind<'a> {
    /// The name of a function.
    Name(&'a str),
    /// A string; borrowed when its bytes are those between the quotes.
    Text(Cow<'a, str>),
    /// A number, as written.
    Number(&'a str),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `!`
    Not,
    /// `<`, `<=`, `>`, `>=`, `==` or `!=`
    Compare(Comparison),
    /// Nothing is left.
    End,
}

/// The argument of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument<'a> {
    /// Its value.
    pub value: Value<'a>,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// A string.
    Text(Cow<'a, str>),
    /// A number, as written.
    Number(&'a str),
}

/// The tokens of a text.
#[derive(Debug)]
pub struct Tokens<'a> {
    text: &'a str,
    /// The first byte behind `next`.
    at: usize,
    next: Token<'a>,
}

// === impl Tokens ===

impl<'a> Tokens<'a> {
    /// Starts at the first token.
    ///
    /// # Errors
    ///
    /// When the first token is none.
    pub fn new(text: &'a str) -> Result<Self, Fault> {
        let next = Token { kind: TokenKind::End, span: Span { offset: 0, length: 0 } };
        let mut tokens = Self { text, at: 0, next };
        tokens.advance()?;
        Ok(tokens)
    }

    /// The next token.
    pub fn peek(&self) -> &Token<'a> {
        &self.next
    }

    /// Takes the next token.
    ///
    /// # Errors
    ///
    /// When what follows it is no token.
    pub fn advance(&mut self) -> Result<Token<'a>, Fault> {
        let rest = &self.text[self.at..];
        let offset = self.at + rest.len() - rest.trim_start().len();
        let (kind, length) = read(self.text, offset)?;
        self.at = offset + length;
        Ok(std::mem::replace(&mut self.next, Token { kind, span: Span { offset, length } }))
    }

    /// Takes a name.
    ///
    /// # Errors
    ///
    /// When something else comes next; `wanted` says what the language has there.
    pub fn name(&mut self, wanted: &str) -> Result<(&'a str, Span), Fault> {
        match self.next.kind {
            TokenKind::Name(name) => {
                let span = self.next.span;
                self.advance()?;
                Ok((name, span))
            }
            _ => Err(self.misplaced(wanted)),
        }
    }

    /// Takes the parenthesized arguments of a call, and where the call ends.
    ///
    /// # Errors
    ///
    /// When they are not there, or not values separated by commas.
    pub fn arguments(&mut self) -> Result<(Vec<Argument<'a>>, Span), Fault> {
        if self.next.kind != TokenKind::Open {
            return Err(self.misplaced("`(`"));
        }
        self.advance()?;
        let mut arguments = Vec::new();
        if self.next.kind == TokenKind::Close {
            return Ok((arguments, self.advance()?.span));
        }
        loop {
            let value = match &self.next.kind {
                TokenKind::Text(text) => Value::Text(text.clone()),
                TokenKind::Number(number) => Value::Number(number),
                _ => return Err(self.not_a_value()),
            };
            arguments.push(Argument { value, span: self.advance()?.span });
            match self.next.kind {
                TokenKind::Comma => self.advance()?,
                TokenKind::Close => return Ok((arguments, self.advance()?.span)),
                _ => return Err(self.misplaced("`,` or `)`")),
            };
        }
    }

    /// The fault that the next token is, when the language has `wanted` there.
    pub fn misplaced(&self, wanted: &str) -> Fault {
        let Token { kind, span } = &self.next;
        if *kind == TokenKind::End {
            return Fault::new(*span, format!("expected {wanted}, found the end"));
        }
        let found = &self.text[span.offset..span.offset + span.length];
        let fault = Fault::new(*span, format!("expected {wanted}, found {}", shown(found)));
        match found {
            "and" | "AND" | "And" => fault.remedy("conditions are joined by `&&`"),
            "or" | "OR" | "Or" => fault.remedy("alternatives are joined by `||`"),
            "not" | "NOT" | "Not" => fault.remedy("a condition is negated by `!`"),
            _ => fault,
        }
    }

    fn not_a_value(&self) -> Fault {
        let Span { offset, .. } = self.next.span;
        if !matches!(self.next.kind, TokenKind::Name(_)) {
            return self.misplaced("a value");
        }
        let bare = self.text[offset..].split([',', ')', ' ']).next().unwrap_or_default();
        let span = Span { offset, length: bare.len() };
        Fault::new(span, format!("the value {} is not quoted", shown(bare)))
            .remedy(format!("write `{bare}`, backticks included"))
    }
}

/// The token at `offset`, which is no white space, and its length.
fn read(text: &str, offset: usize) -> Result<(TokenKind<'_>, usize), Fault> {
    let rest = &text[offset..];
    let two = rest.get(..2).unwrap_or_default();
    let kind = match two {
        "&&" => TokenKind::And,
        "||" => TokenKind::Or,
        "<=" => TokenKind::Compare(Comparison::LessOrEqual),
        ">=" => TokenKind::Compare(Comparison::GreaterOrEqual),
        "==" => TokenKind::Compare(Comparison::Equal),
        "!=" => TokenKind::Compare(Comparison::NotEqual),
        _ => return read_one(rest, offset),
    };
    Ok((kind, 2))
}

fn read_one(rest: &str, offset: usize) -> Result<(TokenKind<'_>, usize), Fault> {
    let Some(first) = rest.chars().next() else { return Ok((TokenKind::End, 0)) };
    let kind = match first {
        '(' => TokenKind::Open,
        ')' => TokenKind::Close,
        ',' => TokenKind::Comma,
        '!' => TokenKind::Not,
        '<' => TokenKind::Compare(Comparison::Less),
        '>' => TokenKind::Compare(Comparison::Greater),
        '`' => return raw(rest, offset),
        '"' => return interpreted(rest, offset),
        '\'' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' => {
            return Err(wrong_quotes(rest, offset, first));
        }
        '0'..='9' | '.' | '-' => return Ok(number(rest)),
        'A'..='Z' | 'a'..='z' | '_' => return Ok(name(rest)),
        _ => return Err(stray(offset, first)),
    };
    Ok((kind, 1))
}

fn name(rest: &str) -> (TokenKind<'_>, usize) {
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    (TokenKind::Name(&rest[..length]), length)
}

fn number(rest: &str) -> (TokenKind<'_>, usize) {
    let digits = &rest[1..];
    let length =
        1 + digits.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(digits.len());
    (TokenKind::Number(&rest[..length]), length)
}

/// A Go raw string: everything up to the next backtick, carriage returns left out.
fn raw(rest: &str, offset: usize) -> Result<(TokenKind<'_>, usize), Fault> {
    let Some(length) = rest[1..].find('`') else {
        return Err(unterminated(rest, offset, '`'));
    };
    let text = &rest[1..1 + length];
    let text =
        if text.contains('\r') { Cow::Owned(text.replace('\r', "")) } else { Cow::Borrowed(text) };
    Ok((TokenKind::Text(text), length + 2))
}

/// A Go interpreted string.
fn interpreted(rest: &str, offset: usize) -> Result<(TokenKind<'_>, usize), Fault> {
    let bytes = rest.as_bytes();
    let mut value: Vec<u8> = Vec::new();
    let mut escaped = false;
    let mut at = 1;
    loop {
        match bytes.get(at) {
            None | Some(b'\n') => return Err(unterminated(rest, offset, '"')),
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                at += escape(rest, at, offset, &mut value)?;
            }
            Some(byte) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    let length = at + 1;
    if !escaped {
        return Ok((TokenKind::Text(Cow::Borrowed(&rest[1..at])), length));
    }
    match String::from_utf8(value) {
        Ok(text) => Ok((TokenKind::Text(Cow::Owned(text)), length)),
        Err(_) => Err(Fault::new(Span { offset, length }, "the escapes do not make valid UTF-8")),
    }
}

/// Decodes the escape whose backslash is at `at`, and says how long it is.
fn escape(rest: &str, at: usize, offset: usize, value: &mut Vec<u8>) -> Result<usize, Fault> {
    let fault = |length: usize| {
        let length = rest.ceil_char_boundary(at + length) - at;
        Fault::new(Span { offset: offset + at, length }, "not an escape of a Go string")
            .remedy("a backslash is written `\\\\` between double quotes, or use backticks")
    };
    let (digits, radix) = match rest.as_bytes().get(at + 1) {
        Some(b'x') => (2, 16),
        Some(b'u') => (4, 16),
        Some(b'U') => (8, 16),
        Some(b'0'..=b'7') => (3, 8),
        Some(simple) => {
            value.push(simple_escape(*simple).ok_or_else(|| fault(2))?);
            return Ok(2);
        }
        None => return Err(fault(1)),
    };
    let start = if radix == 8 { at + 1 } else { at + 2 };
    let length = start + digits - at;
    let code = rest
        .get(start..start + digits)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .and_then(|text| u32::from_str_radix(text, radix).ok())
        .ok_or_else(|| fault(length))?;
    if digits < 4 {
        value.push(u8::try_from(code).map_err(|_| fault(length))?);
    } else {
        let scalar = char::from_u32(code).ok_or_else(|| fault(length))?;
        value.extend_from_slice(scalar.encode_utf8(&mut [0; 4]).as_bytes());
    }
    Ok(length)
}

fn simple_escape(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'\\' => b'\\',
        b'"' => b'"',
        _ => return None,
    })
}

fn unterminated(rest: &str, offset: usize, quote: char) -> Fault {
    let name = if quote == '`' { "backtick" } else { "double quote" };
    Fault::new(Span { offset, length: rest.len() }, format!("the closing {name} is missing"))
}

fn wrong_quotes(rest: &str, offset: usize, quote: char) -> Fault {
    let inner = &rest[quote.len_utf8()..];
    let closing = ['\'', '\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}'];
    let end = inner.find(closing);
    let quoted = end.map_or(inner, |end| &inner[..end]);
    let last = inner[quoted.len()..].chars().next().map_or(0, char::len_utf8);
    let length = quote.len_utf8() + quoted.len() + last;
    let kind = if quote == '\'' { "single" } else { "typographic" };
    let fault = Fault::new(Span { offset, length }, format!("{kind} quotes do not make a string"));
    match end {
        Some(_) if quoted.len() <= 80 && !quoted.contains('`') => {
            fault.remedy(format!("write `{quoted}`, backticks included"))
        }
        _ => fault.remedy("use backticks or double quotes"),
    }
}

fn stray(offset: usize, found: char) -> Fault {
    let span = Span { offset, length: found.len_utf8() };
    let fault = Fault::new(span, format!("unexpected {}", shown(found.encode_utf8(&mut [0; 4]))));
    match found {
        '&' => fault.remedy("conditions are joined by `&&`"),
        '|' => fault.remedy("alternatives are joined by `||`"),
        '=' => fault.remedy("equality is written `==`"),
        _ => fault,
    }
}

/// Text of the user inside a message: quoted, without control characters, not too long.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(40).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{}`", short.escape_debug())
}
