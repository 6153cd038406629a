//! Traefik's expressions: when a circuit breaker opens, and when buffering sends again.
//!
//! Both are comparisons and calls joined by `&&` and `||`, negated by `!`, grouped by parentheses,
//! with the strings and precedence of rules.

use weft_model::policy::{Comparison, RetryExpression};
use weft_resilience::settings::{BreakerExpression, Measure, Operator};
use weft_route::syntax::{self, Argument, Fault, Grammar, Span, TokenKind, Tokens, Value};

/// The longest expression, in bytes: a hundred comparisons fit, and the trees stay so shallow that
/// walking them needs no care.
pub(crate) const EXPRESSION_BYTES_MAX: usize = 4096;

/// The text is no expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}")]
pub(crate) struct InvalidExpression {
    fault: Fault,
}

/// Reads the `expression` of a circuit breaker, for instance
/// `NetworkErrorRatio() > 0.5 || ResponseCodeRatio(500, 600, 0, 600) > 0.25`.
///
/// # Errors
///
/// [`InvalidExpression`] names the first thing that is wrong.
pub(crate) fn breaker_expression(text: &str) -> Result<BreakerExpression, InvalidExpression> {
    Ok(syntax::parse(&mut Breaker, text, EXPRESSION_BYTES_MAX)?)
}

/// Reads the `retryExpression` of buffering, for instance
/// `IsNetworkError() && Attempts() <= 2`.
///
/// # Errors
///
/// [`InvalidExpression`] names the first thing that is wrong.
pub(crate) fn retry_expression(text: &str) -> Result<RetryExpression, InvalidExpression> {
    Ok(syntax::parse(&mut Retry, text, EXPRESSION_BYTES_MAX)?)
}

// === impl InvalidExpression ===

impl From<Fault> for InvalidExpression {
    fn from(fault: Fault) -> Self {
        Self { fault }
    }
}

// === impl Breaker ===

struct Breaker;

impl Grammar for Breaker {
    type Node = BreakerExpression;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<BreakerExpression, Fault> {
        let (measure, span) = measure(tokens)?;
        let comparison = comparison(tokens, span, "> 0.5")?;
        let (number, number_span) = number(tokens)?;
        let limit = limit(measure, number_span, number)?;
        Ok(BreakerExpression::Compare(measure, operator(comparison), limit))
    }

    fn all(&mut self, nodes: Vec<BreakerExpression>) -> BreakerExpression {
        joined(nodes, BreakerExpression::And)
    }

    fn any(&mut self, nodes: Vec<BreakerExpression>) -> BreakerExpression {
        joined(nodes, BreakerExpression::Or)
    }

    fn not(&mut self, node: BreakerExpression) -> BreakerExpression {
        BreakerExpression::Not(Box::new(node))
    }
}

const MEASURES: &str = "the functions are NetworkErrorRatio(), ResponseCodeRatio(from, to, \
     divFrom, divTo), LatencyAtQuantileMS(quantile) and RequestThreshold()";

/// A call of one of the functions that measure.
fn measure(tokens: &mut Tokens<'_>) -> Result<(Measure, Span), Fault> {
    let (name, start) = tokens.name("a function")?;
    let (arguments, end) = tokens.arguments()?;
    let span = start.to(end);
    let wrong = |usage: &str| {
        Fault::new(span, format!("{name} does not take {}", counted(arguments.len())))
            .remedy(format!("write {usage}"))
    };
    let measure = match (name, &*arguments) {
        ("NetworkErrorRatio", []) => Measure::NetworkErrorRatio,
        ("NetworkErrorRatio", _) => return Err(wrong("NetworkErrorRatio()")),
        ("RequestThreshold", []) => Measure::RequestThreshold,
        ("RequestThreshold", _) => return Err(wrong("RequestThreshold()")),
        ("LatencyAtQuantileMS", [quantile]) => latency(quantile)?,
        ("LatencyAtQuantileMS", _) => return Err(wrong("LatencyAtQuantileMS(50.0)")),
        ("ResponseCodeRatio", [from, to, div_from, div_to]) => {
            ratio([status(from)?, status(to)?, status(div_from)?, status(div_to)?], span)?
        }
        ("ResponseCodeRatio", _) => return Err(wrong("ResponseCodeRatio(500, 600, 0, 600)")),
        _ => return Err(unknown(name, start, MEASURES)),
    };
    Ok((measure, span))
}

fn latency(quantile: &Argument<'_>) -> Result<Measure, Fault> {
    match float(quantile)? {
        value if (0.0..=100.0).contains(&value) => Ok(Measure::LatencyAtQuantileMs(value)),
        _ => Err(Fault::new(quantile.span, "a quantile is 0 to 100")),
    }
}

fn ratio([from, to, div_from, div_to]: [u16; 4], span: Span) -> Result<Measure, Fault> {
    if from >= to || div_from >= div_to {
        let fault = Fault::new(span, "a range of statuses is empty");
        return Err(fault.remedy("the second status of a range is the first one past it"));
    }
    Ok(Measure::ResponseCodeRatio { from, to, div_from, div_to })
}

/// What a measure is compared with, where some numbers can never be reached.
fn limit(measure: Measure, span: Span, number: f64) -> Result<f64, Fault> {
    let is_ratio =
        matches!(measure, Measure::NetworkErrorRatio | Measure::ResponseCodeRatio { .. });
    if is_ratio && !(0.0..=1.0).contains(&number) {
        let fault = Fault::new(span, "a ratio is 0 to 1");
        return Err(match (1.0..=100.0).contains(&number) {
            true => fault.remedy(format!("for {number} percent write {}", number / 100.0)),
            false => fault,
        });
    }
    if number < 0.0 {
        return Err(Fault::new(span, "the number is negative"));
    }
    Ok(number)
}

fn operator(comparison: Comparison) -> Operator {
    match comparison {
        Comparison::Less => Operator::Less,
        Comparison::LessOrEqual => Operator::LessOrEqual,
        Comparison::Greater => Operator::Greater,
        Comparison::GreaterOrEqual => Operator::GreaterOrEqual,
        Comparison::Equal => Operator::Equal,
        Comparison::NotEqual => Operator::NotEqual,
    }
}

// === impl Retry ===

struct Retry;

impl Grammar for Retry {
    type Node = RetryExpression;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<RetryExpression, Fault> {
        let (name, start) = tokens.name("a function")?;
        let (arguments, end) = tokens.arguments()?;
        let span = start.to(end);
        if !matches!(name, "Attempts" | "ResponseCode" | "IsNetworkError") {
            return Err(unknown(name, start, RETRY_FUNCTIONS));
        }
        if !arguments.is_empty() {
            let problem = format!("{name} does not take {}", counted(arguments.len()));
            return Err(Fault::new(span, problem).remedy(format!("write {name}()")));
        }
        if name == "IsNetworkError" {
            return Ok(RetryExpression::IsNetworkError);
        }
        let comparison = comparison(tokens, span, "<= 2")?;
        let (number, number_span) = number(tokens)?;
        Ok(match name {
            "Attempts" => RetryExpression::Attempts(comparison, whole(number, number_span)?),
            _ => RetryExpression::ResponseCode(comparison, whole(number, number_span)?),
        })
    }

    fn all(&mut self, nodes: Vec<RetryExpression>) -> RetryExpression {
        joined(nodes, RetryExpression::And)
    }

    fn any(&mut self, nodes: Vec<RetryExpression>) -> RetryExpression {
        joined(nodes, RetryExpression::Or)
    }

    fn not(&mut self, node: RetryExpression) -> RetryExpression {
        RetryExpression::Not(Box::new(node))
    }
}

const RETRY_FUNCTIONS: &str = "the functions are Attempts(), ResponseCode() and IsNetworkError()";

/// Joins two or more from the left.
fn joined<N>(nodes: Vec<N>, join: impl Fn(Box<N>, Box<N>) -> N) -> N {
    nodes
        .into_iter()
        .reduce(|left, right| join(Box::new(left), Box::new(right)))
        .expect("the grammar joins two or more")
}

fn comparison(tokens: &mut Tokens<'_>, call: Span, example: &str) -> Result<Comparison, Fault> {
    match tokens.peek().kind {
        TokenKind::Compare(comparison) => {
            tokens.advance()?;
            Ok(comparison)
        }
        TokenKind::Number(_) | TokenKind::Text(_) | TokenKind::Name(_) => {
            Err(tokens.misplaced("a comparison"))
        }
        _ => Err(Fault::new(call, "the value is compared with nothing")
            .remedy(format!("write for instance `{example}` behind it"))),
    }
}

/// A number outside of a call.
fn number(tokens: &mut Tokens<'_>) -> Result<(f64, Span), Fault> {
    match tokens.peek().kind {
        TokenKind::Number(_) => {}
        _ => return Err(tokens.misplaced("a number")),
    }
    let token = tokens.advance()?;
    match token.kind {
        TokenKind::Number(text) => Ok((parse_number(text, token.span)?, token.span)),
        _ => Err(Fault::new(token.span, "expected a number")),
    }
}

fn float(argument: &Argument<'_>) -> Result<f64, Fault> {
    match argument.value {
        Value::Number(text) => parse_number(text, argument.span),
        Value::Text(_) => {
            let fault = Fault::new(argument.span, "expected a number, found a string");
            Err(fault.remedy("leave out the quotes"))
        }
    }
}

fn status(argument: &Argument<'_>) -> Result<u16, Fault> {
    whole(float(argument)?, argument.span)
}

fn parse_number(text: &str, span: Span) -> Result<f64, Fault> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Fault::new(span, format!("`{text}` is not a number"))),
    }
}

/// A number without a fraction that fits.
fn whole<T: TryFrom<u64>>(number: f64, span: Span) -> Result<T, Fault> {
    let fits = number >= 0.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX);
    fits.then_some(number as u64)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| Fault::new(span, format!("`{number}` is not a whole number in range")))
}

fn unknown(name: &str, span: Span, known: &str) -> Fault {
    Fault::new(span, format!("unknown function `{name}`")).remedy(known)
}

fn counted(arguments: usize) -> String {
    match arguments {
        0 => "no values".to_owned(),
        1 => "one value".to_owned(),
        several => format!("{several} values"),
    }
}

#[cfg(test)]
mod tests;
