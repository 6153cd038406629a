use super::*;

fn check_breaker(text: &str, expected: &str) {
    let shown = match breaker_expression(text) {
        Ok(expression) => format!("{expression:?}"),
        Err(invalid) => {
            let span = invalid.fault.span;
            format!("{}+{} {invalid}", span.offset, span.length)
        }
    };
    assert_eq!(shown, expected, "{text}");
}

fn check_retry(text: &str, expected: &str) {
    let shown = match retry_expression(text) {
        Ok(expression) => format!("{expression:?}"),
        Err(invalid) => {
            let span = invalid.fault.span;
            format!("{}+{} {invalid}", span.offset, span.length)
        }
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn breakers_compare_what_they_measure() {
    check_breaker("NetworkErrorRatio() > 0.5", "Compare(NetworkErrorRatio, Greater, 0.5)");
    check_breaker("RequestThreshold() >= 20", "Compare(RequestThreshold, GreaterOrEqual, 20.0)");
    check_breaker(
        "LatencyAtQuantileMS(50.0)>100",
        "Compare(LatencyAtQuantileMs(50.0), Greater, 100.0)",
    );
    check_breaker(
        "ResponseCodeRatio(500, 600, 0, 600) > .25",
        "Compare(ResponseCodeRatio { from: 500, to: 600, div_from: 0, div_to: 600 }, Greater, 0.25)",
    );
    for (sign, name) in [
        ("<", "Less"),
        ("<=", "LessOrEqual"),
        (">", "Greater"),
        (">=", "GreaterOrEqual"),
        ("==", "Equal"),
        ("!=", "NotEqual"),
    ] {
        check_breaker(
            &format!("NetworkErrorRatio() {sign} 1"),
            &format!("Compare(NetworkErrorRatio, {name}, 1.0)"),
        );
    }
}

#[test]
fn operators_bind_as_in_rules() {
    let (a, b, c) = (
        "Compare(NetworkErrorRatio, Greater, 0.1)",
        "Compare(NetworkErrorRatio, Greater, 0.2)",
        "Compare(NetworkErrorRatio, Greater, 0.3)",
    );
    let text = |signs: [&str; 2]| {
        let [first, second] = signs;
        format!(
            "NetworkErrorRatio() > 0.1 {first} NetworkErrorRatio() > 0.2 {second} \
             NetworkErrorRatio() > 0.3"
        )
    };
    check_breaker(&text(["||", "&&"]), &format!("Or({a}, And({b}, {c}))"));
    check_breaker(&text(["&&", "||"]), &format!("Or(And({a}, {b}), {c})"));
    check_breaker(&text(["&&", "&&"]), &format!("And(And({a}, {b}), {c})"));
    check_breaker("!(NetworkErrorRatio() > 0.1)", &format!("Not({a})"));
}

#[test]
fn faulty_breakers_say_where_and_how() {
    check_breaker("", "0+0 expected a function, found the end at byte 0");
    check_breaker(
        "NetworkErrorRatio()",
        "0+19 the value is compared with nothing at byte 0; \
         write for instance `> 0.5` behind it",
    );
    check_breaker("NetworkErrorRatio() > ", "22+0 expected a number, found the end at byte 22");
    check_breaker("NetworkErrorRatio() 0.5", "20+3 expected a comparison, found `0.5` at byte 20");
    check_breaker(
        "NetworkErrorRatio() = 0.5",
        "20+1 unexpected `=` at byte 20; equality is written `==`",
    );
    check_breaker(
        "NetworkErrorRatio() > 30",
        "22+2 a ratio is 0 to 1 at byte 22; for 30 percent write 0.3",
    );
    check_breaker("NetworkErrorRatio() > -1", "22+2 a ratio is 0 to 1 at byte 22");
    check_breaker("RequestThreshold() > -1", "21+2 the number is negative at byte 21");
    check_breaker("RequestThreshold() > 1x", "21+2 `1x` is not a number at byte 21");
    check_breaker(
        "NetworkErrorRatio(1) > 0.5",
        "0+20 NetworkErrorRatio does not take one value at byte 0; write NetworkErrorRatio()",
    );
    check_breaker(
        "ResponseCodeRatio(500, 600) > 0.5",
        "0+27 ResponseCodeRatio does not take 2 values at byte 0; \
         write ResponseCodeRatio(500, 600, 0, 600)",
    );
    check_breaker(
        "ResponseCodeRatio(600, 500, 0, 600) > 0.5",
        "0+35 a range of statuses is empty at byte 0; \
         the second status of a range is the first one past it",
    );
    check_breaker(
        "ResponseCodeRatio(500.5, 600, 0, 600) > 0.5",
        "18+5 `500.5` is not a whole number in range at byte 18",
    );
    check_breaker(
        "ResponseCodeRatio(500, 70000, 0, 600) > 0.5",
        "23+5 `70000` is not a whole number in range at byte 23",
    );
    check_breaker("LatencyAtQuantileMS(101) > 1", "20+3 a quantile is 0 to 100 at byte 20");
    check_breaker(
        "LatencyAtQuantileMS(`50`) > 1",
        "20+4 expected a number, found a string at byte 20; leave out the quotes",
    );
    check_breaker(
        "Latency() > 1",
        "0+7 unknown function `Latency` at byte 0; the functions are NetworkErrorRatio(), \
         ResponseCodeRatio(from, to, divFrom, divTo), LatencyAtQuantileMS(quantile) and \
         RequestThreshold()",
    );
}

#[test]
fn retries_look_at_the_attempt_and_its_outcome() {
    check_retry("IsNetworkError()", "IsNetworkError");
    check_retry(
        "IsNetworkError() && Attempts() <= 2",
        "And(IsNetworkError, Attempts(LessOrEqual, 2))",
    );
    check_retry(
        "Attempts() < 3 && (ResponseCode() == 502 || !IsNetworkError())",
        "And(Attempts(Less, 3), Or(ResponseCode(Equal, 502), Not(IsNetworkError)))",
    );
}

#[test]
fn faulty_retries_say_where_and_how() {
    check_retry(
        "Attempts()",
        "0+10 the value is compared with nothing at byte 0; write for instance `<= 2` behind it",
    );
    check_retry(
        "IsNetworkError(1)",
        "0+17 IsNetworkError does not take one value at byte 0; write IsNetworkError()",
    );
    check_retry("Attempts() < 2.5", "13+3 `2.5` is not a whole number in range at byte 13");
    check_retry(
        "ResponseCode() == 70000",
        "18+5 `70000` is not a whole number in range at byte 18",
    );
    check_retry(
        "NetworkErrorRatio() > 0.5",
        "0+17 unknown function `NetworkErrorRatio` at byte 0; \
         the functions are Attempts(), ResponseCode() and IsNetworkError()",
    );
}

#[test]
fn length_and_depth_are_bounded() {
    let long = "IsNetworkError() && ".repeat(205) + "IsNetworkError()";
    assert!(retry_expression(&long).is_err_and(|fault| fault.fault.problem.contains("longer")));
    let deep = "(".repeat(100) + "IsNetworkError()" + &")".repeat(100);
    assert!(retry_expression(&deep).is_err_and(|fault| fault.fault.problem.contains("deeper")));
    let most = "IsNetworkError() && ".repeat(200) + "IsNetworkError()";
    assert!(retry_expression(&most).is_ok());
}
