use super::*;

#[test]
fn the_bars_can_be_read_and_name_existing_cases() {
    let cases = crate::cases::SUITES.iter().flat_map(|suite| suite.cases);
    let names: Vec<&str> = cases.map(|case| case.name).collect();
    for bar in load().expect("the bars are valid") {
        assert!(names.contains(&bar.case.as_str()), "{bar:?}");
    }
}
