use super::*;

/// What is shown of a line: the excerpt, and the text that the marker points at.
#[track_caller]
fn check(line: &str, column: u32, begins: &str, marked: &str) {
    let problem = Problem::new(Severity::Error, &"a.yaml".into(), Pos::new(1, column), "", "wrong");
    let shown = problem.render(Some(line));
    let lines: Vec<&str> = shown.lines().collect();
    let [_, excerpt, marker] = lines[..] else { panic!("{shown}") };
    assert!(excerpt.starts_with(&format!("  1 | {begins}")), "{shown}");
    assert!(excerpt.chars().count() <= EXCERPT_COLUMNS_MAX + 8, "{shown}");
    let at = marker.chars().count() - 1;
    assert!(excerpt.chars().skip(at).collect::<String>().starts_with(marked), "{shown}");
}

#[test]
fn the_marker_points_at_the_place() {
    let long = format!("{{{}wrong: 1, {}}}", "a: 1, ".repeat(60), "b: 2, ".repeat(60));
    check("kind: wrong", 7, "kind: ", "wrong");
    check(&long, 362, "… ", "wrong");
    check(&long, 1, "{a: 1", "{a");
    check("gr\u{fc}n: wrong", 7, "gr\u{fc}n", "wrong");
    check("short", 400, "short", "");
}
