//! Traefik's `retryExpression` of `buffering`.

#[cfg(test)]
mod tests;

use weft_model::policy::RetryExpression;

/// Attempts that no expression goes beyond, so that one that is always true ends.
pub const ATTEMPTS_MAX: u32 = 10;

/// What an expression sees of the attempts so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpressionFacts {
    /// Attempts made, at least 1.
    pub attempts: u32,
    /// Status of the last answer, ours included.
    pub response_code: u16,
    /// The last attempt failed before there was an answer.
    pub is_network_error: bool,
}

/// Whether the expression asks for another attempt. Never after [`ATTEMPTS_MAX`].
///
/// 502 and 504 count as network errors whoever answered them, as in Traefik.
pub fn may_retry(expression: &RetryExpression, facts: ExpressionFacts) -> bool {
    facts.attempts < ATTEMPTS_MAX && holds(expression, facts)
}

fn holds(expression: &RetryExpression, facts: ExpressionFacts) -> bool {
    match expression {
        RetryExpression::And(left, right) => holds(left, facts) && holds(right, facts),
        RetryExpression::Or(left, right) => holds(left, facts) || holds(right, facts),
        RetryExpression::Not(inner) => !holds(inner, facts),
        RetryExpression::Attempts(comparison, number) => comparison.holds(facts.attempts, *number),
        RetryExpression::ResponseCode(comparison, number) => {
            comparison.holds(facts.response_code, *number)
        }
        RetryExpression::IsNetworkError => {
            facts.is_network_error || matches!(facts.response_code, 502 | 504)
        }
    }
}
