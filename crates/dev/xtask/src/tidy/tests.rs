use super::*;

/// Lines and texts of what is found in a file of this name.
fn check_file(path: &str, text: &str, expected: &[(usize, &str)]) {
    let found = check(Path::new(path), text, &["weft-model".to_owned()]);
    let found: Vec<(usize, &str)> =
        found.iter().map(|finding| (finding.line, finding.what.as_str())).collect();
    assert_eq!(found, expected, "{path}\n{text}");
}

fn check_rust(text: &str, expected: &[(usize, &str)]) {
    check_file("crates/core/x/src/a.rs", &format!("//! Doc.\n{text}"), expected);
}

#[test]
fn a_module_has_a_doc_and_a_name_of_its_own() {
    check_file("crates/core/x/src/a.rs", "fn f() {}\n", &[(1, "the module has no `//!` doc")]);
    check_file("crates/core/x/src/a/tests.rs", "fn f() {}\n", &[]);
    check_file("crates/core/x/tests/a.rs", "fn f() {}\n", &[]);
    check_file(
        "crates/core/x/src/a/mod.rs",
        "//! Doc.\n",
        &[(0, "a module file is named after its module, not mod.rs")],
    );
    check_file(
        "crates/core/x/src/prelude.rs",
        "//! Doc.\n",
        &[(0, "there is no prelude: one path per name")],
    );
}

#[test]
fn functions_stay_short_or_say_why() {
    let body = "    g();\n".repeat(68);
    check_rust(&format!("fn f() {{\n{body}}}\n"), &[]);
    let body = "    g();\n".repeat(69);
    let too_long: &[(usize, &str)] = &[(2, "f has 71 lines; 70 are allowed")];
    check_rust(&format!("fn f() {{\n{body}}}\n"), too_long);
    check_rust(&format!("// long: a table\nfn f() {{\n{body}}}\n"), &[]);
    check_rust(&format!("fn f() {{ // long: a table\n{body}}}\n"), &[]);
    check_rust(
        &format!("// long:\nfn f() {{\n{body}}}\n"),
        &[(3, "f has 71 lines; 70 are allowed")],
    );
    check_rust(
        &format!("impl A {{\n    fn f() {{\n{body}    }}\n}}\n"),
        &[(3, "f has 71 lines; 70 are allowed")],
    );
}

#[test]
fn files_stay_short_or_say_why() {
    let text = format!("//! Doc.\n{}", "\n".repeat(800));
    check_file("crates/a/b/src/a.rs", &text, &[(0, "801 lines; 800 are allowed")]);
    let marked = format!("//! Doc.\n// long: generated table\n{}", "\n".repeat(800));
    check_file("crates/a/b/src/a.rs", &marked, &[]);
    check_file("docs/a.md", &"\n".repeat(900), &[]);
}

#[test]
fn glob_imports_are_for_tests_of_the_parent() {
    let glob = "a glob import hides where names come from";
    check_rust("use std::io::*;\n", &[(2, glob)]);
    check_rust("use std::{fmt, io::{Read, *}};\n", &[(2, glob)]);
    check_rust("use super::*;\n", &[(2, glob)]);
    check_rust("mod tests {\n    use super::*;\n}\n", &[]);
    check_file("crates/core/x/src/a/tests.rs", "use super::*;\n", &[]);
    check_file("crates/core/x/src/a/tests.rs", "use std::io::*;\n", &[(1, glob)]);
}

#[test]
fn exceptions_say_why() {
    let reason = "an exception from a lint says `reason = \"...\"`";
    check_rust("#[allow(dead_code)]\nfn f() {}\n", &[(2, reason)]);
    check_rust("#[expect(dead_code, reason = \"x\")]\nfn f() {}\n", &[]);
    check_rust("#[ignore]\nfn f() {}\n", &[(2, "an ignored test says why")]);
    check_rust("#[ignore = \"needs root\"]\nfn f() {}\n", &[]);
}

#[test]
fn getters_are_named_after_what_they_give() {
    check_rust(
        "fn get_name() {}\nfn get_mut() {}\nfn get() {}\n",
        &[(2, "get_name: getters are named after what they give")],
    );
}

#[test]
fn unfinished_work_and_machine_paths_are_found_in_any_text() {
    let marker = concat!("TO", "DO");
    check_file(
        "a.toml",
        &format!("# {marker}: x\n"),
        &[(1, &format!("{marker} marks unfinished work"))],
    );
    check_file("a.toml", &format!("# {marker}S and m{marker}\n"), &[]);
    let path = concat!("/tmp", "/w/x");
    check_file("a.md", &format!("see {path}\n"), &[(1, "names a path of one machine")]);
}

#[test]
fn documents_name_what_exists() {
    let exists = |path: &Path| path == Path::new("crates/core") || path == Path::new("docs/a.md");
    let crates = ["weft-model".to_owned()];
    let check = |text: &str, expected: &[&str]| {
        let found = docs::check(Path::new("docs/page.md"), text, &crates, &exists);
        let found: Vec<&str> = found.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, expected, "{text}");
    };
    check("`crates/core`, `crates/core/:12` and `application/json`", &[]);
    check("`crates/gone/a.rs:3`", &["crates/gone/a.rs:3 does not exist"]);
    check("`crates/*/src`", &[]);
    check("weft-model and `weft-gone`", &["there is no crate weft-gone"]);
    check("[a](a.md#part) [b](../docs/a.md) [c](https://a.test/b.md) [d](#part)", &[]);
    check("[a](b.md)", &["the link b.md leads nowhere"]);
    check("```\n`crates/gone` [a](b.md)\n```\n", &[]);
}
