use weft_resources::load;

use crate::{EntryPoint, Options, compile};

fn middleware(namespace: &str, name: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: {name}, namespace: \
         {namespace}}}\nspec: {{addPrefix: {{prefix: /a}}}}\n---\n"
    )
}

/// The advice for a route that names the middleware `strip`, beside these.
fn advice(middlewares: &[(&str, &str)], more_files: &[(&str, &str)]) -> String {
    let addr = "127.0.0.1:80".parse().expect("an address");
    let mut options = Options::new(vec![EntryPoint { name: "web".into(), addr, tls: false }]);
    options.backends.insert(("s".into(), 80), vec![addr]);
    let route = "apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: \
                 r}\nspec:\n  routes:\n  - match: Path(`/`)\n    middlewares: [{name: strip}]\n    \
                 services: [{name: s, port: 80}]\n";
    let all: String =
        middlewares.iter().map(|(namespace, name)| middleware(namespace, name)).collect();
    let mut files = vec![("m.yaml", all.as_str()), ("r.yaml", route)];
    files.extend(more_files);
    let world = compile(&load(&files), &options, None);
    let problems = world.report.problems();
    let [problem] = &problems[..] else { panic!("{problems:#?}") };
    assert!(problem.message.contains("Middleware `default/strip` is not found"), "{problem}");
    problem.fix.as_deref().expect("there is advice").into()
}

#[test]
fn the_nearest_name_is_meant() {
    for (middlewares, expected) in [
        (&[("default", "stripp"), ("default", "limit")][..], "default/stripp (m.yaml:1)"),
        (&[("default", "limit"), ("shop", "strip")], "shop/strip (m.yaml:6)"),
        (&[("shop", "strip"), ("default", "strap")], "default/strap (m.yaml:6)"),
        (&[("shop", "strap")], "shop/strap (m.yaml:1)"),
    ] {
        assert_eq!(advice(middlewares, &[]), format!("did you mean Middleware {expected}?"));
    }
}

#[test]
fn without_one_the_files_are_named() {
    let add = "add Middleware default/strip to what is read, which is ";
    assert_eq!(advice(&[("default", "limit")], &[]), format!("{add}m.yaml, r.yaml"));
    let more = [("s.yaml", ""), ("t.yaml", ""), ("u.yaml", "")];
    assert_eq!(advice(&[], &more), format!("{add}m.yaml, r.yaml, s.yaml and 2 more"));
}
