use weft_model::policy::Comparison;

use super::*;

use RetryExpression::{And, Attempts, IsNetworkError, Not, Or, ResponseCode};

fn facts(attempts: u32, response_code: u16) -> ExpressionFacts {
    ExpressionFacts { attempts, response_code, is_network_error: false }
}

#[test]
fn expressions() {
    let usual = And(Box::new(IsNetworkError), Box::new(Attempts(Comparison::LessOrEqual, 2)));
    let server_error = ResponseCode(Comparison::GreaterOrEqual, 500);
    let either = Or(Box::new(server_error.clone()), Box::new(ResponseCode(Comparison::Equal, 429)));
    let not = Not(Box::new(ResponseCode(Comparison::NotEqual, 200)));
    let cases = [
        (&usual, facts(1, 502), true),
        (&usual, facts(2, 504), true),
        (&usual, facts(3, 502), false),
        (&usual, facts(1, 503), false),
        (&usual, ExpressionFacts { is_network_error: true, ..facts(1, 500) }, true),
        (&server_error, facts(1, 500), true),
        (&server_error, facts(1, 499), false),
        (&either, facts(1, 429), true),
        (&either, facts(1, 404), false),
        (&not, facts(1, 200), true),
        (&not, facts(1, 201), false),
        (&Attempts(Comparison::Less, 2), facts(1, 200), true),
        (&Attempts(Comparison::Greater, 1), facts(1, 200), false),
    ];
    for (expression, facts, expected) in cases {
        assert_eq!(may_retry(expression, facts), expected, "{expression:?} {facts:?}");
    }
}

#[test]
fn an_expression_that_is_always_true_ends() {
    let always = ResponseCode(Comparison::Greater, 0);
    let made = (1..).find(|attempts| !may_retry(&always, facts(*attempts, 200)));
    assert_eq!(made, Some(ATTEMPTS_MAX));
}
