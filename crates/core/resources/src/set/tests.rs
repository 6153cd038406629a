use proptest::prelude::*;

use super::*;

const MIDDLEWARE: &str = "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {name: NAME}\nspec:\n  addPrefix: {prefix: /PREFIX}\n";

fn middleware(name: &str, prefix: &str) -> String {
    MIDDLEWARE.replace("NAME", name).replace("PREFIX", prefix)
}

fn shown(set: &ResourceSet) -> Vec<String> {
    set.problems().iter().map(ToString::to_string).collect()
}

fn names(set: &ResourceSet) -> Vec<&str> {
    set.resources().map(|resource| resource.name()).collect()
}

#[test]
fn documents_become_resources_with_places() {
    let text = format!("{}---\n{}", middleware("a", "x"), middleware("b", "y"));
    let set = load(&[("dir/m.yaml", text)]);
    assert_eq!(shown(&set), [""; 0]);
    let resource = set.get(&Key::new("traefik.io", "Middleware", "default", "b")).expect("b");
    assert_eq!(&*resource.file, "dir/m.yaml");
    assert_eq!(set.index.line(&resource.key), Some(7));
    assert_eq!(set.items()[1].at, Pos::new(7, 1));
}

#[test]
fn the_later_duplicate_is_rejected() {
    let set = load(&[("b.yaml", middleware("a", "x")), ("a.yaml", middleware("a", "y"))]);
    assert_eq!(names(&set), ["a"]);
    assert_eq!(set.resources().next().map(|resource| &*resource.file), Some("a.yaml"));
    assert_eq!(
        shown(&set),
        ["b.yaml:1:1: error: metadata.name: Middleware default/a is already defined in a.yaml:1; \
          this one is not used"]
    );
}

#[test]
fn a_wrong_document_rejects_only_itself() {
    let broken = middleware("b", "y").replace("prefix:", "prefx:");
    let text = [middleware("a", "x"), broken, "{\n".into(), middleware("c", "z")].join("---\n");
    let set = load(&[("m.yaml", text)]);
    assert_eq!(names(&set), ["a", "c"]);
    let problems = shown(&set);
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert!(problems[0].starts_with("m.yaml:11:14: error: spec.addPrefix: the field `prefix` is"));
    assert!(problems[1].contains("unknown field `prefx`"), "{problems:?}");
    assert!(problems[2].starts_with("m.yaml:"), "{problems:?}");
}

#[test]
fn lists_hold_objects() {
    let item = "  - apiVersion: traefik.io/v1alpha1\n    kind: Middleware\n    metadata: {name: N}\n    spec: {addPrefix: {prefix: /x}}\n";
    let text = format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{}{}",
        item.replace('N', "a"),
        item.replace('N', "b")
    );
    let set = load(&[("l.yaml", text)]);
    assert_eq!(shown(&set), [""; 0]);
    assert_eq!(names(&set), ["a", "b"]);
}

#[test]
fn what_names_nothing_is_said() {
    let check = |text: &str, expected: &str| {
        let set = load(&[("f", text)]);
        assert!(shown(&set).iter().any(|line| line.contains(expected)), "{:?}", shown(&set));
    };
    check("a: 1\n", "the field `apiVersion` is required");
    check("- a\n", "expected a map, found a list");
    check("kind: Middleware\nmetadata: {name: a}\n", "the field `apiVersion` is required");
    check(
        &middleware("a", "x").replace("v1alpha1", "v1"),
        "Middleware is not known under apiVersion `traefik.io/v1`",
    );
    check(
        &middleware("a", "x").replace("kind: Middleware", "kind: middlewares"),
        "`middlewares` is not a kind of apiVersion `traefik.io/v1alpha1`",
    );
    check(
        "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: a}\nspec: {}\n",
        "Ingress is not known under apiVersion `extensions/v1beta1`",
    );
    check(&middleware("A_b", "x"), "`A_b` is not a valid name");
}

#[test]
fn unknown_kinds_are_kept_as_such() {
    let set =
        load(&[("f", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n")]);
    assert_eq!(shown(&set), [""; 0]);
    let resource = set.resources().next().expect("it is there");
    assert!(matches!(resource.body, crate::Kind::Unknown { .. }));
    assert_eq!(resource.key.to_string(), "Deployment default/a");
}

/// What a document of this kind becomes under that name.
fn named(api_version: &str, kind: &str) -> ResourceSet {
    load(&[(
        "f",
        format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{}}\n"),
    )])
}

#[test]
fn what_protects_stays_under_a_wrong_name() {
    let check = |api_version: &str, kind: &str, meant: &str| {
        let set = named(api_version, kind);
        let resource = set.resources().next().expect("it stays");
        assert!(resource.body.is_broken(), "{api_version} {kind}");
        assert_eq!(resource.key.to_string().split(' ').next(), Some(meant));
        assert!(set.problems()[0].is_error());
    };
    check("security.istio.io/v1alpha1", "AuthorizationPolicy", "AuthorizationPolicy");
    check("security.istio.io", "AuthorizationPolicy", "AuthorizationPolicy");
    check("networking.istio.io/v1", "PeerAuthentication", "PeerAuthentication");
    check("v1", "RequestAuthentication", "RequestAuthentication");
    check("security.istio.io/v1", "PeerAuthentification", "PeerAuthentication");
    check("policy.linkerd.io/v1", "Server", "Server");
    check("polcy.linkerd.io/v1beta3", "Server", "Server");
    check("policy.linkerd.io/v1", "HTTPRoute", "HTTPRoute");
    check("extensions/v1beta1", "NetworkPolicy", "NetworkPolicy");
    check("projectcalico.org/v3", "NetworkPolicy", "NetworkPolicy");
    // These are none of ours, or only open.
    for (api_version, kind) in [
        ("games.example/v1", "Server"),
        ("apps/v1", "Deployment"),
        ("policy.linkerd.io/v9", "MeshTLSAuthentication"),
        ("traefik.io/v1", "Middleware"),
    ] {
        let set = named(api_version, kind);
        assert!(!set.resources().any(|resource| resource.body.is_broken()), "{kind}");
    }
}

#[test]
fn what_cannot_be_read_may_protect() {
    let check = |text: &str, expected: bool| {
        let set = load(&[("f", text)]);
        let found: Vec<bool> = set.items().iter().map(|placed| placed.item.may_protect).collect();
        assert_eq!(found, [expected], "{text}");
        assert!(!set.problems().is_empty());
    };
    check("kind: AuthorizationPolicy\nmetadata: {\n", true);
    check("\"kind\": \"NetworkPolicy\", {\n", true);
    check("kind AuthorizationPolicy\n- a: [\n", true);
    check("apiVersion: security.istio.io/v1\nkind: [\n", true);
    check("apiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nspec: {\n", true);
    check("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec: {\n", false);
    check("apiVersion: policy.linkerd.io/v1beta1\nkind: AuthorizationPolicy\nspec: {\n", false);
    check("apiVersion: v1\nkind: Service\nspec: {\n", false);
    // It can be parsed, and yet nobody knows what it is about.
    check("kind: AuthorizationPolicy\nmetadata: {name: a}\n", true);
    check("apiVersion: security.istio.io/v1\nmetadata: {name: a}\n", true);
    check("apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {}\n", true);
    check("apiVersion: v1\nkind: Service\nmetadata: {}\n", false);
}

#[test]
fn unchanged_documents_keep_their_arc() {
    let text = |prefix: &str| {
        [middleware("a", "x"), middleware("b", prefix), middleware("c", "z")].join("---\n")
    };
    let before = load(&[("f", text("y")), ("g", middleware("d", "w"))]);
    let after = load_incremental(&before, &[("f", Some(&text("changed")))]);
    let same: Vec<bool> =
        before.resources().zip(after.resources()).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(same, [true, false, true, true]);
}

#[test]
fn lines_are_found_in_their_document() {
    let text = "\u{feff}# c\na: 1\n---\nb: 2\n...\n\nc: 3\n---\n# nothing";
    let set = load(&[("f", text)]);
    let file = set.file("f").expect("it was given");
    let lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().collect();
    for (line, number) in lines.into_iter().zip(1..) {
        assert_eq!(file.line(number), Some(line));
    }
    assert_eq!((file.line(0), file.line(10)), (None, None));
}

/// Many documents in one file, one of which has a problem to tell.
fn many(count: usize) -> String {
    let documents = (0..count).map(|number| {
        let text = middleware(&format!("m{number}"), "x");
        if number == count / 2 { text.replace("prefix:", "prefx:") } else { text }
    });
    documents.collect::<Vec<_>>().join("---\n")
}

#[test]
fn an_edit_parses_one_document() {
    const COUNT: usize = 500;
    let text = many(COUNT);
    let before = load(&[("f", &*text)]);
    assert_eq!(before.parsed(), COUNT);
    let check = |edited: &str, parsed: usize, moved: u32| {
        let after = load_incremental(&before, &[("f", Some(edited))]);
        assert_eq!(after.parsed(), parsed);
        let pairs = || before.items().iter().zip(after.items());
        let changed = pairs().filter(|(old, new)| !Arc::ptr_eq(&old.item, &new.item)).count();
        assert!(changed <= 1, "{changed} items are not as they were");
        let (old, new) = pairs().next_back().expect("they are many");
        assert_eq!(new.at, Pos::new(old.at.line + moved, old.at.column));
        let fresh = load(&[("f", edited)]);
        assert_eq!((after.items(), after.problems()), (fresh.items(), fresh.problems()));
        for resource in fresh.resources() {
            let line = |set: &ResourceSet| set.index.line(&resource.key);
            assert_eq!(line(&after), line(&fresh));
        }
    };
    check(&text, 0, 0);
    check(&format!("# a comment\n\n{text}"), 1, 2);
    check(&text.replacen("/x", "/y", 1), 1, 0);
    check(&text.replacen("spec:\n", "spec:\n\n", 1), 1, 1);
    check(&format!("{text}---\n# the end\n"), 1, 0);
    let replaced = text.replacen("m0}", "m0, labels: {a: b}}", 1);
    check(&format!("\n\n\n{replaced}"), 1, 3);
}

#[test]
fn documents_that_move_past_each_other_are_not_parsed() {
    let (a, b, c) = (middleware("a", "x"), middleware("b", "x"), middleware("c", "x"));
    let before = load(&[("f", format!("---\n{a}---\n{b}---\n{c}"))]);
    let after = load_incremental(&before, &[("f", Some(&*format!("---\n{c}---\n{a}")))]);
    assert_eq!((after.parsed(), names(&after)), (0, vec!["c", "a"]));
    let key = |name: &'static str| Key::new("traefik.io", "Middleware", "default", name);
    for (name, line) in [("c", 2), ("a", 8)] {
        let both = [&before, &after].map(|set| set.get(&key(name)).expect("it is there"));
        assert!(Arc::ptr_eq(both[0], both[1]));
        assert_eq!(after.index.line(&key(name)), Some(line));
    }
}

#[test]
fn parts_of_one_document_keep_their_arc_when_they_move() {
    let router =
        |name: &str, rule: &str| format!("    {name}:\n      rule: {rule}\n      service: s\n");
    let file = |rule: &str, rest: &str| {
        format!("http:\n  routers:\n{}{}", router("a", rule), router("b", rest))
    };
    let before = load(&[("f", file("Path(`/a`)", "Path(`/b`)"))]);
    let edited = file("Path(`/a`)\n      priority: 2", "Path(`/b`)");
    let after = load_incremental(&before, &[("f", Some(&*edited))]);
    assert_eq!(after.parsed(), 1);
    let same = before.resources().zip(after.resources()).map(|(a, b)| Arc::ptr_eq(a, b));
    assert_eq!(same.collect::<Vec<_>>(), [false, true]);
    assert_eq!(after.items()[1].at, Pos::new(7, 5));
    let broken = edited.replace("Path(`/b`)", "5");
    let after = load_incremental(&after, &[("f", Some(&*broken))]);
    assert!(shown(&after)[0].starts_with("f:8:13: error: http.routers.b.rule"), "{after:?}");
}

#[test]
fn what_an_alias_brings_is_reported_where_it_is_written() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- &a\n  apiVersion: traefik.io/v1alpha1\n  kind: Middleware\n  metadata: {name: a}\n  spec: &spec\n    addPrefix: {prefx: /x}\n- apiVersion: traefik.io/v1alpha1\n  kind: Middleware\n  metadata: {name: b}\n  spec: *spec\n";
    let lines = |text: &str| {
        let problems = load(&[("f", text)]).problems();
        let unknown = problems.iter().filter(|problem| problem.message.contains("unknown"));
        unknown.map(|problem| problem.at.line).collect::<Vec<_>>()
    };
    assert_eq!(lines(text), [9, 9]);
    assert_eq!(lines(&format!("\n\n{text}")), [11, 11]);
}

#[test]
fn gone_files_take_their_resources() {
    let before = load(&[("f", middleware("a", "x")), ("g", middleware("b", "x"))]);
    let after = load_incremental(&before, &[("f", None)]);
    assert_eq!(names(&after), ["b"]);
}

/// A document of a few shapes: good, changed, broken, empty, duplicate.
fn document() -> impl Strategy<Value = String> {
    prop_oneof![
        ("[a-d]", "[x-z]").prop_map(|(name, prefix)| middleware(&name, &prefix)),
        "[a-d]".prop_map(|name| middleware(&name, "x").replace("prefix:", "wrong:")),
        Just("# nothing\n".to_owned()),
        Just("a: [\n".to_owned()),
        Just("http:\n  middlewares:\n    m: {addPrefix: {prefix: /x}}\n".to_owned()),
    ]
}

fn files() -> impl Strategy<Value = Vec<(String, Option<String>)>> {
    let file = proptest::option::weighted(0.8, proptest::collection::vec(document(), 0..4));
    proptest::collection::vec(file, 3).prop_map(|files| {
        let named = files.into_iter().enumerate();
        named
            .map(|(index, documents)| {
                (format!("f{index}"), documents.map(|documents| documents.join("---\n")))
            })
            .collect()
    })
}

proptest! {
    /// Loading what changed gives the same as loading everything.
    #[test]
    fn incremental_is_fresh(first in files(), second in files()) {
        let changes = |files: &[(String, Option<String>)]| -> Vec<(String, Option<String>)> {
            files.to_vec()
        };
        let step = |previous: &ResourceSet, files: &[(String, Option<String>)]| {
            let owned = changes(files);
            let changes: Vec<Change<'_>> =
                owned.iter().map(|(path, text)| (path.as_str(), text.as_deref())).collect();
            load_incremental(previous, &changes)
        };
        let before = step(&ResourceSet::default(), &first);
        let incremental = step(&before, &second);
        let fresh = step(&ResourceSet::default(), &second);
        prop_assert_eq!(incremental.items(), fresh.items());
        for resource in fresh.resources() {
            prop_assert_eq!(incremental.get(&resource.key), Some(resource));
        }
    }
}

#[test]
fn lines_of_secrets_are_not_shown() {
    let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata:\n  password: hunter2!\n";
    let set = load(&[("f", text)]);
    let problems = set.problems();
    assert_eq!(problems.len(), 1);
    assert!(!problems[0].render(Some(text)).contains("hunter2"), "{:?}", problems[0]);
    assert!(!format!("{set:?}").contains("hunter2"));
    let broken = text.replace("data:", "data: [");
    let shown = load(&[("f", broken.as_str())]).problems()[0].render(Some(&broken));
    assert!(!shown.contains("hunter2"), "{shown}");
}
