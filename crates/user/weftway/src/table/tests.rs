use super::*;

#[test]
fn columns_stand_below_their_names_and_lines_end_with_them() {
    let rows = [["a", "long enough"], ["longer", ""]].map(|row| row.map(str::to_owned));
    assert_eq!(table(["ONE", "TWO"], rows), "ONE     TWO\na       long enough\nlonger");
}

#[test]
fn a_list_of_nothing_has_its_header() {
    assert_eq!(table(["ONE", "TWO"], []), "ONE  TWO");
}
