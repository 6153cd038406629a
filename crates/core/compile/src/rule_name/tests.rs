use super::label;

#[test]
fn a_rule_has_the_name_that_it_alone_has() {
    let names = [Some("pay"), None, Some("twice"), Some("twice"), Some("7"), Some("a/b"), Some("")];
    let labels: Vec<String> = (0..names.len()).map(|index| label(&names, index)).collect();
    assert_eq!(labels, ["pay", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(label(&[Some("Reviews_v2.a-b")], 0), "Reviews_v2.a-b");
}
