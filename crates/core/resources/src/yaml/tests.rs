use proptest::prelude::*;

use super::*;

fn one(text: &str) -> Node {
    let (mut documents, problems) = parse_stream("f.yaml", text);
    assert_eq!(problems, [], "{text}");
    assert_eq!(documents.len(), 1, "{text}");
    documents.remove(0)
}

fn errors(text: &str) -> Vec<String> {
    parse_stream("f.yaml", text).1.iter().map(ToString::to_string).collect()
}

fn text<'a>(node: &'a Node, key: &str) -> &'a str {
    &node.find(key).and_then(Node::as_scalar).expect("a scalar").text
}

#[test]
fn core_schema() {
    let check = |scalar: &str, expected: Core| {
        let node = one(&format!("a: {scalar}\n"));
        let scalar = node.find("a").and_then(Node::as_scalar).expect("a scalar").core();
        assert_eq!(scalar, expected, "{node:?}");
    };
    check("yes", Core::Str);
    check("on", Core::Str);
    check("'8080'", Core::Str);
    check("\"true\"", Core::Str);
    check("!!str 8080", Core::Str);
    check("8080", Core::Int(8080));
    check("-1", Core::Int(-1));
    check("+12", Core::Int(12));
    check("010", Core::Int(10));
    check("0o17", Core::Int(15));
    check("0xff", Core::Int(255));
    check("1.5", Core::Float(1.5));
    check("1e3", Core::Float(1000.0));
    check("1.2.3", Core::Str);
    check("1-2", Core::Str);
    check("--1", Core::Str);
    check("250ms", Core::Str);
    check("True", Core::Bool(true));
    check("tRUE", Core::Str);
    check("~", Core::Null);
    check("", Core::Null);
    check("null", Core::Null);
}

#[test]
fn positions_count_from_one() {
    let node = one("# comment\na:\n  - b: c\n    dd: \"x y\"\n");
    assert_eq!(node.at, Pos::new(2, 1));
    let item = &node.find("a").and_then(Node::as_seq).expect("a list")[0];
    assert_eq!(item.at, Pos::new(3, 5));
    let entries = item.as_map().expect("a map");
    assert_eq!(entries[1].at, Pos::new(4, 5));
    assert_eq!(entries[1].value.at, Pos::new(4, 9));
    assert_eq!(entries[1].value.end, Pos::new(4, 14));
}

#[test]
fn positions_count_through_documents() {
    let (documents, problems) = parse_stream("f", "a: 1\n---\n\nb: 2\n--- # c\nc: 3\n");
    assert_eq!(problems, []);
    let lines: Vec<u32> = documents.iter().map(|node| node.at.line).collect();
    assert_eq!(lines, [1, 4, 6]);
}

#[test]
fn empty_documents_are_left_out() {
    for text in ["", "---\n", "# only\n---\n# comments\n---\n", "\u{feff}---\n...\n"] {
        assert_eq!(parse_stream("f", text), (vec![], vec![]), "{text:?}");
    }
}

#[test]
fn a_broken_document_costs_only_itself() {
    let (documents, problems) = parse_stream("f.yaml", "a: 1\n---\nb: [1, 2\nc: 3\n---\nd: 4\n");
    assert_eq!(documents.len(), 2);
    assert_eq!(text(&documents[1], "d"), "4");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].to_string().starts_with("f.yaml:4:"), "{}", problems[0]);
}

#[test]
fn duplicate_keys() {
    assert_eq!(
        errors("a: 1\nb: 2\na: 3\n"),
        ["f.yaml:3:1: error: the key `a` is already given 2 lines above"]
    );
}

#[test]
fn anchors_aliases_and_merge_keys() {
    let node =
        one("base: &base {x: 1, y: 2}\nuse:\n  <<: *base\n  y: 3\nlist: &l [1]\nagain: *l\n");
    let used = node.find("use").expect("it is there");
    assert_eq!((text(used, "x"), text(used, "y")), ("1", "3"));
    assert_eq!(node.find("again").and_then(Node::as_seq).map(<[Node]>::len), Some(1));
}

#[test]
fn laughs_are_bounded() {
    let mut text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, last) in "bcdefghij".chars().zip("abcdefghi".chars()) {
        let aliases = vec![format!("*{last}"); 10].join(", ");
        text.push_str(&format!("{name}: &{name} [{aliases}]\n"));
    }
    let errors = errors(&text);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("aliases expand to more than 100000 values"), "{errors:?}");
    assert!(errors[0].starts_with("f.yaml:5:"), "{errors:?}");
    // Anchors around anchors are copies too.
    let list = vec!["x"; 5_000].join(", ");
    let open: String = (0..50).map(|depth| format!("&a{depth} [")).collect();
    let anchors = format!("a:\n  {open}{list}{}", "]".repeat(50));
    let (documents, problems) = parse_stream("f.yaml", &anchors);
    assert_eq!((documents.len(), problems.len()), (0, 1));
    let shown = problems[0].to_string();
    assert!(shown.starts_with("f.yaml:2:"), "{shown}");
    assert!(shown.contains("anchors and aliases expand to more than"), "{shown}");
}

#[test]
fn depth_is_bounded() {
    let flow = format!("a: {}{}", "[".repeat(200), "]".repeat(200));
    assert!(errors(&flow)[0].contains("nested deeper than 64 levels"));
    let block: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(errors(&block)[0].contains("nested deeper than 64 levels"));
}

#[test]
fn json_is_yaml() {
    let node = one("{\"a\": {\"b\": [1, true, null, \"x\\u00e9\\n\"]}}");
    let list = node.find("a").and_then(|a| a.find("b")).and_then(Node::as_seq).expect("a list");
    let core: Vec<Core> = list.iter().filter_map(Node::as_scalar).map(Scalar::core).collect();
    assert_eq!(core, [Core::Int(1), Core::Bool(true), Core::Null, Core::Str]);
    assert_eq!(&*list[3].as_scalar().expect("text").text, "xé\n");
}

#[test]
fn a_tab_is_explained() {
    let (_, problems) = parse_stream("f", "a:\n\tb: 1\n");
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].at.line, 2, "{}", problems[0]);
}

#[test]
fn unknown_tags_and_keys_that_are_no_text() {
    assert!(errors("a: !secret x\n")[0].contains("tag `!secret` is not supported"));
    assert!(errors("[a]: b\n")[0].contains("a key must be text"));
}

#[test]
fn documents_are_cut_where_yaml_says() {
    let check = |text: &str, wanted: &[(u32, &str)]| {
        let found: Vec<(u32, &str)> =
            split(text).iter().map(|chunk| (chunk.line, chunk.text)).collect();
        assert_eq!(found, wanted, "{text:?}");
    };
    check("a: 1\n---\nb: 2\n", &[(1, "a: 1\n"), (2, "---\nb: 2\n")]);
    check("a: 1\r\n---\r\nb: 2", &[(1, "a: 1\r\n"), (2, "---\r\nb: 2")]);
    check("\u{feff}# c\n---\na: 1\n", &[(1, "# c\n---\na: 1\n")]);
    // What looks like a marker and is none.
    check("a: |\n  ---\n  ...\n", &[(1, "a: |\n  ---\n  ...\n")]);
    check("---a: 1\n----\n...b\n", &[(1, "---a: 1\n----\n...b\n")]);
    // A directive belongs to the document after it.
    check(
        "a: 1\n...\n# c\n%YAML 1.2\n---\nb: 2\n... # end\n...\n# nothing\n",
        &[(1, "a: 1\n...\n"), (3, "# c\n%YAML 1.2\n---\nb: 2\n... # end\n")],
    );
    check("a: 1\n...\nb: 2\n", &[(1, "a: 1\n...\n"), (3, "b: 2\n")]);
    // Ends of lines as they were long ago: the parser has to find the documents.
    check("a: 1\r---\rb: 2\r", &[(1, "a: 1\r---\rb: 2\r")]);
    assert_eq!(parse_stream("f", "a: 1\r---\rb: 2\r").0.len(), 2);
}

#[test]
fn splitting_keeps_every_byte_of_content() {
    let text = "%YAML 1.2\n---\na: |\n  ---\n  b\n---\n# c\n--- {d: 1}\n";
    let chunks = split(text);
    assert_eq!(chunks.iter().map(|chunk| chunk.line).collect::<Vec<_>>(), [1, 6, 8]);
    let (documents, problems) = parse_stream("f", text);
    assert_eq!(problems, []);
    assert_eq!(documents.len(), 2);
    assert_eq!(self::text(&documents[0], "a"), "---\nb\n");
}

/// A stream of documents and of what stands between them.
fn stream() -> impl Strategy<Value = String> {
    let document = prop_oneof![
        Just("a: 1\n"),
        Just("a: |\n  ---\n  b\n\n  ...\n"),
        Just("- x\n- {b: [c, 'd\n  e']}\n"),
        Just("a: &a [1]\nb: *a\n"),
        Just("# only a comment\n"),
        Just("\n"),
        Just("a: \"b\n  --- c\"\n"),
        Just("plain\n  text\n"),
    ];
    let between = prop_oneof![
        Just("---\n"),
        Just("---\r\n"),
        Just("--- # c\n"),
        Just("---\n# c\n\n"),
        Just("# c\n---\n"),
        Just("...\n"),
        Just("...\n---\n"),
        Just("...\n%YAML 1.2\n---\n"),
        Just("...\n# c\n...\n"),
        Just(""),
        Just("%YAML 1.2\n---\n"),
    ];
    let parts = proptest::collection::vec((between, document), 0..6);
    (parts, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(parts, crlf, mark, cut)| {
        let mut text: String =
            parts.iter().flat_map(|(between, document)| [*between, *document]).collect();
        if cut {
            text.truncate(text.trim_end().len());
        }
        if crlf {
            text = text.replace('\n', "\r\n");
        }
        if mark { format!("\u{feff}{text}") } else { text }
    })
}

proptest! {
    /// Documents that are read one by one are those that are read all at once, in their places.
    #[test]
    fn a_stream_is_the_sum_of_its_documents(text in stream()) {
        let mut problems = Vec::new();
        let whole = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let whole = parse_chunk(&"f".into(), Chunk { text: whole, line: 1 }, &mut problems);
        // What is broken as a whole may be good in part.
        if problems.is_empty() {
            prop_assert_eq!(parse_stream("f", &text), (whole, problems));
        }
    }

    /// Whatever the bytes, there is an answer.
    #[test]
    fn never_panics(text in "[a-c:\\-\\[\\]{}&*!#|>'\" \n\t,?%@`0-9~<]{0,80}") {
        let _ = parse_stream("f", &text);
    }

    /// Whatever the text.
    #[test]
    fn never_panics_on_any_text(text in any::<String>()) {
        let _ = parse_stream("f", &text);
    }
}

/// Whoever makes the most common mistakes reads what to do.
#[test]
fn mistakes_of_writing_come_with_advice() {
    for (text, advice) in [
        ("a:\n  b: 1\n c: 2\n", "indentation"),
        ("a: 1\n  b: 2\n", "indentation"),
        ("a:\n  - b\n - c\n", "indentation"),
        ("a: [1, 2\nb: 3\n", "close the list or map"),
        ("a: {b: 1\nc: 2\n", "close the"),
        ("a: 'b\n", "close the quote"),
        ("a: @b\n", "between quotes"),
        ("a: *b\n", "between quotes"),
        ("a:\n\tb: 1\n", "spaces"),
        ("a: b: c\n", "between quotes"),
        ("host: {{ .Values.host }}\n", "helm template"),
        ("{{- if .Values.on }}\na: 1\n{{- end }}\n", "helm template"),
        ("a: 1\n{{ include \"b\" . | indent 2 }}\n", "helm template"),
    ] {
        let (_, problems) = parse_stream("t.yaml", text);
        let fix = problems.first().and_then(|problem| problem.fix.as_deref()).unwrap_or_default();
        assert!(fix.contains(advice), "{text:?}: {problems:#?}");
    }
}
