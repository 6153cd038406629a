use super::*;

#[test]
fn every_row_names_an_existing_test() {
    let page = "# Status\n\n\
        | Feature | State | Test |\n\
        | --- | --- | --- |\n\
        | routes | yes | `route::tests::longest_wins`, `first_wins` |\n\
        | retries | yes | `retry_is_bounded` |\n\
        | canary | yes | |\n\
        | fancy | planned | – |\n\n\
        | Other | Table |\n\
        | --- | --- |\n\
        | a | `no_test_here` |\n";
    let tests = ["longest_wins", "first_wins"].map(str::to_owned).into();
    let (rows, broken) = check(page, &tests);
    assert_eq!(rows, 4);
    assert_eq!(
        broken,
        [
            "docs/STATUS.md:6: there is no test retry_is_bounded",
            "docs/STATUS.md:7: the row names no test",
        ],
    );
}

#[test]
fn tests_are_found_in_modules_and_in_property_macros() {
    let text = "mod tests { #[test] fn a() {} #[tokio::test] async fn b() {} fn helper() {} \
                proptest! { #[test] fn c(x in 0..1) { f(x); } } }";
    let mut names = Names::default();
    names.visit_file(&syn::parse_file(text).expect("valid Rust"));
    assert_eq!(names.0, ["a", "b", "c"].map(str::to_owned).into());
}
