use weft_resources::catalogue;

use super::dialect::Dialect;
use super::page::page;
use super::table::Table;

/// What is wrong with rows for the kind TCPRoute of the Gateway API, but for other kinds.
fn wrong(fields: &'static str) -> Vec<String> {
    let dialect = Dialect { name: "Some", prose: "", fields, file: "some.toml" };
    let wrong = Table::of(&[dialect], catalogue::kinds()).expect_err("other kinds have no rows");
    wrong.into_iter().filter(|line| !line.starts_with("no dialect")).collect()
}

#[test]
fn every_field_has_one_row() {
    let table = Table::read().unwrap_or_else(|wrong| panic!("{}", wrong.join("\n")));
    assert!(table.kinds.iter().all(|kind| !kind.fields.is_empty()));
    assert_eq!(table.kinds.len(), catalogue::kinds().len());
    assert!(page(&table).contains("### VirtualService (`networking.istio.io`)"));
}

#[test]
fn a_field_without_a_row_is_named() {
    let rows = r#"
        ["gateway.networking.k8s.io UDPRoute"]
        "spec" = { ignored = "UDP" }
        ["networking.k8s.io IngressClass"]
    "#;
    assert_eq!(wrong(rows), ["networking.k8s.io IngressClass spec.controller: no row"]);
}

#[test]
fn a_row_without_a_field_is_named() {
    let rows = r#"
        ["networking.k8s.io IngressClass"]
        "spec.controller" = { honoured = ["a"] }
        "spec.gone" = { honoured = ["a"] }
    "#;
    assert_eq!(wrong(rows), ["networking.k8s.io IngressClass spec.gone: the row is for nothing"]);
}

#[test]
fn what_is_called_honoured_has_a_test_and_is_not_ignored_by_its_reader() {
    let rows = r#"
        ["networking.k8s.io IngressClass"]
        "spec.controller" = { honoured = [] }
        "spec.parameters" = { honoured = ["a"] }
    "#;
    let expected = [
        "networking.k8s.io IngressClass spec.controller: no test shows that it is honoured",
        "networking.k8s.io IngressClass spec.parameters: the reader says it has no effect",
    ];
    assert_eq!(wrong(rows), expected);
}

#[test]
fn rows_have_one_state_and_known_kinds() {
    let rows = r#"
        ["networking.k8s.io IngressClass"]
        "spec.controller" = { honoured = ["a"], ignored = "b" }
        ["example.com Own"]
    "#;
    let found = wrong(rows).join("\n");
    assert!(found.contains("spec.controller: the row has not just one state"), "{found}");
    assert!(found.contains("there is no kind \"example.com Own\""), "{found}");
}
