use super::*;
use crate::bars::Limit;

fn finding(value: f64) -> Finding {
    Finding {
        case: "h1-c64",
        measure: "CPU ratio to haproxy".to_owned(),
        value,
        interval: Some((0.68, 0.72)),
        unit: "x",
    }
}

#[test]
fn bars_are_met_or_missed() {
    let bar = Bar {
        case: "h1-c64".to_owned(),
        measure: "CPU ratio to haproxy".to_owned(),
        limit: Limit::AtMost(0.8),
    };
    let section = |value| Section {
        title: "Small".to_owned(),
        body: "text\n".to_owned(),
        findings: vec![finding(value)],
    };
    let good = document(&["machine".to_owned()], &[], &[section(0.7)], std::slice::from_ref(&bar));
    assert!(
        good.contains("| h1-c64 | CPU ratio to haproxy | 0.70 x (0.68 to 0.72) | ≤ 0.80 x | met |"),
        "{good}"
    );
    assert!(good.starts_with("- machine\n"), "{good}");
    assert!(good.contains("### Small\n\ntext\n"), "{good}");
    let bad = document(&[], &[], &[section(0.9)], std::slice::from_ref(&bar));
    assert!(bad.contains("| **missed** |"), "{bad}");
    let least = Bar { limit: Limit::AtLeast(0.8), ..bar.clone() };
    let good = document(&[], &[], &[section(0.9)], std::slice::from_ref(&least));
    assert!(good.contains("| ≥ 0.80 x | met |"), "{good}");
    let bad = document(&[], &[], &[section(0.7)], &[least]);
    assert!(bad.contains("| **missed** |"), "{bad}");
    let none = document(&[], &[], &[section(0.9)], &[]);
    assert!(none.contains("| none | – |"), "{none}");
    let absent = document(&[], &["h1-c64"], &[], std::slice::from_ref(&bar));
    assert!(absent.contains("| **not measured** | ≤ 0.80 | – |"), "{absent}");
    let other = document(&[], &["h2c"], &[], &[bar]);
    assert!(!other.contains("not measured"), "{other}");
}

#[test]
fn only_what_stands_between_the_marks_changes() {
    let [begin, end] = marks("mesh");
    let text = format!("before\n{begin}\nold\n{end}\nafter\n");
    assert_eq!(
        replaced(&text, "mesh", "new\n").expect("the marks are there"),
        format!("before\n{begin}\nnew\n{end}\nafter\n"),
    );
    assert!(replaced(&text, "gateway", "new").is_err());
    assert!(replaced("no marks", "mesh", "new").is_err());
    assert!(replaced(&begin, "mesh", "new").is_err());
}

#[test]
fn numbers_keep_three_digits() {
    assert_eq!(number(0.0, ""), "0");
    assert_eq!(number(1.234, "µs"), "1.23 µs");
    assert_eq!(number(12.34, ""), "12.3");
    assert_eq!(number(12345.6, ""), "12346");
}
