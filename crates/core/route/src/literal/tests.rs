use super::*;

fn check(found: Literals, expected: &Literals, text: &str) {
    assert_eq!(found, *expected, "{text}");
}

fn whole(texts: &[&str]) -> Literals {
    Literals::Whole(texts.iter().map(|text| (*text).to_owned()).collect())
}

fn part(texts: &[&str]) -> Literals {
    Literals::Part(texts.iter().map(|text| (*text).to_owned()).collect())
}

#[test]
fn beginnings() {
    let check = |text, expected| check(prefixes(&Pattern::new(text).unwrap()), &expected, text);
    check(
        "^/api/v[0-9]+/",
        part(&[
            "/api/v0", "/api/v1", "/api/v2", "/api/v3", "/api/v4", "/api/v5", "/api/v6", "/api/v7",
            "/api/v8", "/api/v9",
        ]),
    );
    check("^/api/", part(&["/api/"]));
    check("^/api$", whole(&["/api"]));
    check("^(?:/a|/b/.*)", part(&["/a", "/b/"]));
    check("^(/a)?/b", part(&["/a/b", "/b"]));
    check("^/[a-z]+/x", part(&["/"]));
    check("(^/a|^/b)", part(&["/a", "/b"]));
    check("(^/a|/b)", Literals::None);
    check("/api", Literals::None);
    check("^.*/x", Literals::None);
    check("^(/a)?", Literals::None);
    check("(?m)^/a", Literals::None);
    check("", Literals::None);
    check("^$", Literals::None);
}

#[test]
fn ends() {
    let check = |text, expected| check(suffixes(&Pattern::new(text).unwrap()), &expected, text);
    check(r"^.+\.shop\.example$", part(&[".shop.example"]));
    check(r"^(a|b)\.example$", whole(&["a.example", "b.example"]));
    check(r"\.example$", part(&[".example"]));
    check(r"\.example", Literals::None);
    check(r"^[a-z]+$", Literals::None);
}
