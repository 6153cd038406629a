use super::*;

#[test]
fn the_bars_can_be_read_and_name_existing_cases() {
    let names: Vec<&str> = crate::cases::ALL.iter().map(|case| case.name).collect();
    for bar in load().expect("the bars are valid") {
        assert!(names.contains(&bar.case.as_str()), "{bar:?}");
    }
}
