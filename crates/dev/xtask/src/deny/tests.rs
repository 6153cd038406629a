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

/// A policy with a ban for all, and one for all but the tests of `ours`.
const POLICY: &str = "[licenses]
allow = [\"MIT\"]
[bans]
deny = [\"ring\", { crate = \"reqwest\", wrappers = [\"ours\"] }]
";

#[test]
fn the_policy_reads_both_forms_of_a_ban() {
    let policy = Policy::parse(POLICY).expect("a valid policy");
    assert_eq!(policy.allowed, ["MIT".to_owned()].into());
    let banned =
        [("ring".to_owned(), BTreeSet::new()), ("reqwest".to_owned(), ["ours".to_owned()].into())];
    assert_eq!(policy.banned, banned.into());
    assert!(Policy::parse("[licenses]\nallow = [\"MIT\"]\n").is_err());
}

#[test]
fn packages_are_judged_one_by_one() {
    let tree = "
0ours v1.0.0 (/repo/crates/ours)|MIT
1derive v1.0.0 (proc-macro)|MIT OR GPL-2.0-only
1ring v0.17.0|MIT
1gpl v2.0.0|GPL-2.0-only
2ring v0.17.0|MIT (*)
1fork v0.1.0 (https://git.test/fork#0a1b)|
";
    let policy = Policy { allowed: allowed(), ..Policy::parse(POLICY).expect("a valid policy") };
    assert_eq!(
        check(&policy, &parse_tree(tree).expect("it is a tree"), "/repo"),
        [
            "fork 0.1.0: the manifest names no licence",
            "fork 0.1.0: comes from neither a registry nor this workspace",
            "gpl 2.0.0: GPL-2.0-only is not allowed",
            "ring 0.17.0: banned",
        ],
    );
}

#[test]
fn what_one_crate_may_have_others_may_not() {
    let policy = Policy::parse(POLICY).expect("a valid policy");
    let judge = |tree| {
        let packages = parse_tree(tree).expect("it is a tree");
        (check(&policy, &packages, "/repo"), shipped(&policy, &packages))
    };
    let alone = "0ours v1.0.0 (/repo/ours)|MIT\n1reqwest v0.13.0|MIT\n2tower v0.5.0|MIT\n";
    let (broken, in_product) = judge(alone);
    assert_eq!((broken.len(), in_product), (0, vec!["reqwest 0.13.0: only for tests".to_owned()]));

    // Another one that reaches it by the first is not to blame, one that names it is.
    let by_the_first =
        format!("{alone}0other v1.0.0 (/repo/other)|MIT\n1ours v1.0.0 (/repo/ours)|MIT (*)\n");
    assert_eq!(judge(&by_the_first).0, [""; 0]);
    let direct = format!("{alone}0other v1.0.0 (/repo/other)|MIT\n1reqwest v0.13.0|MIT (*)\n");
    assert_eq!(judge(&direct).0, ["reqwest 0.13.0: banned"]);
}
