use weft_resources::load;

use crate::{EntryPoint, Options, Report, Verdict, compile, render};

fn options() -> Options {
    Options::new(vec![EntryPoint {
        name: "web".into(),
        addr: "127.0.0.1:80".parse().expect("an address"),
        tls: false,
    }])
}

#[test]
fn a_problem_is_new_once() {
    let middleware = |name: &str| {
        format!(
            "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}}}\nspec: {{retry: {{attemps: 2}}}}\n"
        )
    };
    let report = |text: String| compile(&load(&[("m.yaml", text)]), &options(), None).report;
    let first = report(middleware("a"));
    assert_eq!(first.news(&Report::default()), first.problems());
    assert_eq!(first.news(&first), []);
    // It moves, and another says the same.
    let second = report(format!("\n\n{}---\n{}", middleware("a"), middleware("b")));
    let lines = |problems: &[weft_resources::Problem]| -> Vec<u32> {
        problems.iter().map(|problem| problem.at.line).collect()
    };
    assert_eq!(lines(&second.problems()), [6, 6, 11, 11]);
    assert_eq!(lines(&second.news(&first)), [11, 11]);
    assert_eq!(first.news(&second), []);
}

#[test]
fn problems_are_shown_with_their_line_and_advice() {
    let text = "apiVersion: traefik.io/v1alpha1
kind: Middleware
metadata:
  name: greeter-retries
spec:
  retry:
    attemps: 2
\tx: 1
";
    let good = text.replace("\tx: 1\n", "");
    let options = options();
    let set = load(&[("a/middleware.yaml", good.as_str())]);
    let world = compile(&set, &options, None);
    let shown = render(&world.report, |problem| set.line_of(problem));
    assert_eq!(
        shown,
        "a/middleware.yaml:7:5: error: spec.retry: the field `attempts` is required
  7 |     attemps: 2
    |     ^
a/middleware.yaml:7:5: error: spec.retry.attemps: unknown field `attemps`
  7 |     attemps: 2
    |     ^
  fix: did you mean `attempts`?
"
    );
    assert_eq!(world.report.resources[0].verdict, Verdict::Rejected);
    let shown = render(&world.report, |_| None);
    assert!(!shown.contains(" | "), "{shown}");
    // The tab is a syntax error of its own.
    let world = compile(&load(&[("t.yaml", text)]), &options, None);
    assert!(render(&world.report, |_| None).starts_with("t.yaml:8:"));
}

#[test]
fn markers_follow_tabs() {
    let problem = weft_resources::Problem::new(
        weft_resources::Severity::Error,
        &"f".into(),
        weft_resources::Pos::new(1, 3),
        "",
        "m",
    );
    assert_eq!(problem.render(Some("\tab")), "f:1:3: error: m\n  1 | \tab\n    | \t ^\n");
}
