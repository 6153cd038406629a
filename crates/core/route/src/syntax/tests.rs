use proptest::prelude::*;

use super::*;

/// A language whose operands are single names; the tree is written out fully parenthesized.
struct Names;

impl Grammar for Names {
    type Node = String;

    fn operand(&mut self, tokens: &mut Tokens<'_>) -> Result<String, Fault> {
        Ok(tokens.name("a name")?.0.to_owned())
    }

    fn all(&mut self, nodes: Vec<String>) -> String {
        format!("({})", nodes.join("&"))
    }

    fn any(&mut self, nodes: Vec<String>) -> String {
        format!("({})", nodes.join("|"))
    }

    fn not(&mut self, node: String) -> String {
        format!("!{node}")
    }
}

fn check(text: &str, expected: &str) {
    let shown = match parse(&mut Names, text, 1 << 20) {
        Ok(tree) => tree,
        Err(fault) => format!("{}+{} {fault}", fault.span.offset, fault.span.length),
    };
    assert_eq!(shown, expected, "{text}");
}

#[test]
fn operators_bind_as_in_go() {
    check("a", "a");
    check("a && b || c", "((a&b)|c)");
    check("a || b && c", "(a|(b&c))");
    check("(a || b) && c", "((a|b)&c)");
    check("!a && b", "(!a&b)");
    check("!(a && b)", "!(a&b)");
    check("!!a", "a");
    check("!!!a", "!a");
    check("a&&b&&c||d||e", "((a&b&c)|d|e)");
    check("\n a\n && b\t", "(a&b)");
}

#[test]
fn misplaced_tokens_are_named() {
    check("", "0+0 expected a name, found the end at byte 0");
    check("a &&", "4+0 expected a name, found the end at byte 4");
    check("a b", "2+1 expected `&&`, `||` or the end, found `b` at byte 2");
    check(
        "a and b",
        "2+3 expected `&&`, `||` or the end, found `and` at byte 2; \
         conditions are joined by `&&`",
    );
    check("(a", "2+0 expected `)`, found the end at byte 2");
    check("a)", "1+1 expected `&&`, `||` or the end, found `)` at byte 1");
    check("a & b", "2+1 unexpected `&` at byte 2; conditions are joined by `&&`");
    check("a | b", "2+1 unexpected `|` at byte 2; alternatives are joined by `||`");
    check("a = b", "2+1 unexpected `=` at byte 2; equality is written `==`");
    check("a ; b", "2+1 unexpected `;` at byte 2");
    check("a \u{e9}", "2+2 unexpected `é` at byte 2");
}

#[test]
fn nesting_and_size_are_bounded() {
    let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    check(&nested(DEPTH_MAX), "a");
    check(&nested(DEPTH_MAX + 1), "64+1 parentheses nest deeper than 64 at byte 64");
    check(&"(".repeat(1 << 19), "64+1 parentheses nest deeper than 64 at byte 64");
    check(&format!("{}a", "!".repeat((1 << 20) - 1)), "!a");
    let long = parse(&mut Names, &"a".repeat(11), 10).unwrap_err();
    assert_eq!(
        long.to_string(),
        "longer than 10 bytes at byte 10; split it up, or make it shorter"
    );
}

/// Checks the value of the first argument of a call.
fn check_value(argument: &str, expected: Result<&str, &str>) {
    let text = format!("f({argument})");
    let found = Tokens::new(&text).and_then(|mut tokens| {
        tokens.name("a name")?;
        Ok(tokens.arguments()?.0.swap_remove(0).value)
    });
    let found = found.map_err(|fault| fault.to_string());
    let expected = expected.map(|text| Value::Text(text.into())).map_err(str::to_owned);
    assert_eq!(found, expected, "{argument}");
}

#[test]
fn strings_are_go_strings() {
    check_value(r"`a\nb`", Ok(r"a\nb"));
    check_value("`a\r\nb`", Ok("a\nb"));
    check_value(r#""a""#, Ok("a"));
    check_value(r#""""#, Ok(""));
    check_value(r#""\a\b\f\n\r\t\v\\\"""#, Ok("\x07\x08\x0c\n\r\t\x0b\\\""));
    check_value(r#""\x41\101\u0042\U0001F600""#, Ok("AAB\u{1F600}"));
    check_value(r#""\xc3\xa9""#, Ok("é"));
    check_value(r#""\xff""#, Err("the escapes do not make valid UTF-8 at byte 2"));
    let escape = "not an escape of a Go string at byte 3; \
                  a backslash is written `\\\\` between double quotes, or use backticks";
    check_value(r#""\.""#, Err(escape));
    check_value(r#""\'""#, Err(escape));
    check_value(r#""\x4""#, Err(escape));
    check_value(r#""\400""#, Err(escape));
    check_value(r#""\u+041""#, Err(escape));
    check_value(r#""\uD800""#, Err(escape));
    check_value("\"\\\u{a1}\"", Err(escape));
    check_value("`a", Err("the closing backtick is missing at byte 2"));
    check_value("\"a\n\"", Err("the closing double quote is missing at byte 2"));
    check_value(
        "'a'",
        Err("single quotes do not make a string at byte 2; write `a`, backticks included"),
    );
    check_value(
        "\u{201c}a\u{201d}",
        Err("typographic quotes do not make a string at byte 2; write `a`, backticks included"),
    );
    check_value(
        "a.b-c, d",
        Err("the value `a.b-c` is not quoted at byte 2; write `a.b-c`, backticks included"),
    );
}

#[test]
fn arguments_are_values_between_commas() {
    let arguments = |text: &str| {
        let mut tokens = Tokens::new(text)?;
        tokens.arguments().map(|(arguments, _)| arguments.len())
    };
    assert_eq!(arguments("()"), Ok(0));
    assert_eq!(arguments("(1, 2.5, `a`)"), Ok(3));
    let faulty = |text: &str| arguments(text).unwrap_err().to_string();
    assert_eq!(faulty("(1 2)"), "expected `,` or `)`, found `2` at byte 3");
    assert_eq!(faulty("(1,)"), "expected a value, found `)` at byte 3");
    assert_eq!(faulty("(1"), "expected `,` or `)`, found the end at byte 2");
    assert_eq!(faulty("1"), "expected `(`, found `1` at byte 0");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_within_its_bounds(text in ".{0,200}") {
        if let Err(fault) = parse(&mut Names, &text, 1 << 20) {
            prop_assert!(fault.span.offset + fault.span.length <= text.len());
            prop_assert!(text.is_char_boundary(fault.span.offset));
            prop_assert!(text.is_char_boundary(fault.span.offset + fault.span.length));
        }
    }

    #[test]
    fn text_of_the_alphabet_is_read_or_refused(text in "[a-b()!&|<>=\"'`\\\\x0-9, ]{0,60}") {
        if let Err(fault) = parse(&mut Names, &text, 1 << 20) {
            prop_assert!(fault.span.offset + fault.span.length <= text.len());
        }
    }

    #[test]
    fn an_escaped_string_is_itself(text in "\\PC{0,40}") {
        let written: String = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
        let source = format!("(\"{written}\")");
        let (arguments, _) = Tokens::new(&source).unwrap().arguments().unwrap();
        prop_assert_eq!(&arguments[0].value, &Value::Text(text.into()));
    }
}
