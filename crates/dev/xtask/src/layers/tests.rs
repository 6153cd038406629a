use super::*;

/// `core/model: message, dev testkit` makes a crate with two dependencies.
fn krate(text: &str) -> Crate {
    let (place, deps) = text.split_once(':').expect("a sample has a colon");
    let (folder, role) = place.split_once('/').expect("a place has a slash");
    let deps = deps.split(',').map(str::trim).filter(|dep| !dep.is_empty()).map(|dep| {
        match dep.strip_prefix("dev ") {
            Some(name) => Dep { name: name.to_owned(), is_dev: true },
            None => Dep { name: dep.to_owned(), is_dev: false },
        }
    });
    Crate {
        name: role.to_owned(),
        folder: folder.to_owned(),
        role: role.to_owned(),
        deps: deps.collect(),
        reached: BTreeSet::new(),
        inherits_lints: true,
    }
}

fn check_sample(crates: &[&str], expected: &[&str]) {
    let crates: Vec<Crate> = crates.iter().map(|text| krate(text)).collect();
    assert_eq!(super::check(&crates), expected, "{crates:?}");
}

#[test]
fn arrows_go_down() {
    check_sample(
        &[
            "core/message:",
            "core/model: message",
            "core/compile: model, message",
            "io/http: message",
            "data/proxy: http, model",
            "user/weftway: proxy, compile",
        ],
        &[],
    );
}

#[test]
fn an_arrow_up_is_refused() {
    check_sample(
        &["core/model: http", "io/http:"],
        &["model -> http: an arrow from core up to io"],
    );
    check_sample(
        &["io/net: dev proxy", "data/proxy:"],
        &["net -> proxy: an arrow from io up to data"],
    );
}

#[test]
fn data_and_control_do_not_meet() {
    check_sample(
        &["control/distribute: upstream", "data/upstream: "],
        &["distribute -> upstream: an arrow across from control to data"],
    );
}

#[test]
fn inside_the_core_only_listed_arrows_exist() {
    check_sample(
        &["core/route: policy", "core/policy: message", "core/message:"],
        &["route -> policy: crates/core has no such arrow"],
    );
    check_sample(
        &["core/resources: model", "core/model:"],
        &["resources -> model: crates/core has no such arrow"],
    );
}

#[test]
fn dev_crates_serve_tests_only() {
    check_sample(&["core/route: dev testkit", "dev/testkit: route"], &[]);
    check_sample(
        &["core/route: testkit", "dev/testkit:"],
        &["route -> testkit: a dev crate may only be a dev-dependency"],
    );
}

#[test]
fn the_core_stays_pure() {
    check_sample(&["core/route: tokio"], &["route: tokio is banned from core"]);
    check_sample(&["core/route: dev tokio"], &["route: tokio is banned from core"]);
    check_sample(&["core/route: rand"], &["route: rand is banned from core"]);
    check_sample(&["io/net: tokio"], &[]);
    let mut sneaky = krate("core/route: innocent");
    sneaky.reached.extend(["hyper", "getrandom"].map(str::to_owned));
    assert_eq!(super::check(&[sneaky]), ["route: reaches hyper, which is banned from core"]);
}

#[test]
fn the_library_stands_alone() {
    let ours = ["core/weft-resilience:", "core/model:", "dev/testkit:"];
    let check = |library: &str, expected: &[&str]| {
        check_sample(&[&[library], &ours[..]].concat(), expected);
    };
    check("user/resilience-tower: weft-resilience, tokio, dev resilience-tower", &[]);
    let broken = "resilience-tower -> model: resilience-tower stands alone";
    check("user/resilience-tower: model", &[broken]);
    let broken = "resilience-tower -> testkit: resilience-tower stands alone";
    check("user/resilience-tower: dev testkit", &[broken]);
    let mut sneaky = krate("user/resilience-tower: weft-resilience");
    sneaky.reached.insert("model".to_owned());
    let crates = [sneaky, krate("core/weft-resilience:"), krate("core/model:")];
    let broken = "resilience-tower -> model: resilience-tower stands alone";
    assert_eq!(super::check(&crates), [broken]);
}

#[test]
fn a_crate_sits_in_a_known_folder_and_inherits_the_lints() {
    check_sample(&["misc/a:"], &["a: the folder crates/misc is no layer"]);
    let mut bare = krate("core/route:");
    bare.inherits_lints = false;
    assert_eq!(super::check(&[bare]), ["route: the manifest lacks `[lints] workspace = true`"],);
    assert!(inherits_lints("[lints]\nworkspace = true\n").expect("valid TOML"));
    assert!(!inherits_lints("[package]\nname = \"a\"\n").expect("valid TOML"));
    assert!(!inherits_lints("[lints]\nworkspace = false\n").expect("valid TOML"));
}
