use super::*;

fn allowed() -> BTreeSet<String> {
    ["MIT", "Apache-2.0", "Unicode-3.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into()
}

#[test]
fn expressions_follow_spdx() {
    let check = |text: &str, expected: Option<bool>| {
        assert_eq!(expression::is_allowed(text, &allowed()).ok(), expected, "{text}");
    };
    check("MIT", Some(true));
    check("GPL-3.0-only", Some(false));
    check("GPL-3.0-only OR MIT", Some(true));
    check("MIT/Apache-2.0", Some(true));
    check("GPL-3.0-only AND MIT", Some(false));
    check("(MIT OR GPL-2.0-only) AND Unicode-3.0", Some(true));
    check("MIT AND (GPL-2.0-only OR LGPL-2.1-only)", Some(false));
    check("Apache-2.0 WITH LLVM-exception", Some(true));
    check("MIT WITH LLVM-exception", Some(false));
    check("MIT OR GPL-2.0-only AND LGPL-2.1-only", Some(true));
    check("(MIT", None);
    check("MIT OR", None);
    check("MIT Apache-2.0", None);
    check("", None);
}

#[test]
fn the_policy_reads_both_forms_of_a_ban() {
    let text = "[licenses]\nallow = [\"MIT\"]\n[bans]\ndeny = [\"ring\", { crate = \"chrono\" }]\n";
    let policy = Policy::parse(text).expect("a valid policy");
    assert_eq!(policy.allowed, ["MIT".to_owned()].into());
    assert_eq!(policy.banned, ["ring".to_owned(), "chrono".to_owned()].into());
    assert!(Policy::parse("[licenses]\nallow = [\"MIT\"]\n").is_err());
}

#[test]
fn packages_are_judged_one_by_one() {
    let lines = [
        "ours v1.0.0 (/repo/crates/ours)|MIT",
        "derive v1.0.0 (proc-macro)|MIT OR GPL-2.0-only",
        "ring v0.17.0|MIT (*)",
        "gpl v2.0.0|GPL-2.0-only",
        "fork v0.1.0 (https://git.test/fork#0a1b)|",
    ];
    let packages = lines.iter().map(|line| Built::parse(line));
    let packages = packages.collect::<anyhow::Result<_>>().expect("the sample is a tree");
    let policy = Policy { allowed: allowed(), banned: ["ring".to_owned()].into() };
    assert_eq!(
        check(&policy, &packages, "/repo"),
        [
            "fork 0.1.0: the manifest names no licence",
            "fork 0.1.0: comes from neither a registry nor this workspace",
            "gpl 2.0.0: GPL-2.0-only is not allowed",
            "ring 0.17.0: banned",
        ],
    );
}
