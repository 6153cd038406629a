use super::*;

#[test]
fn a_report_is_found_in_either_field() {
    let check = |fields: &[(&str, &str)], expected: Option<f64>| {
        let mut head = Fields::new();
        for (name, value) in fields {
            head.set(*name, value.as_bytes()).expect("it is valid");
        }
        let found = read(&head).map(|report| report.cpu_utilization);
        assert_eq!(found, expected, "{fields:?}");
    };
    let half = "CQAAAAAAAOA/"; // field 1: 0.5
    check(&[], None);
    check(&[("endpoint-load-metrics", "TEXT cpu_utilization=0.25")], Some(0.25));
    check(&[("endpoint-load-metrics-bin", half)], Some(0.5));
    let both = [("endpoint-load-metrics", "TEXT cpu_utilization=0.25")];
    check(&[both[0], ("endpoint-load-metrics-bin", half)], Some(0.5));
}
