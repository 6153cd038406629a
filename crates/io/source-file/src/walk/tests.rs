use std::os::unix::fs::symlink;

use super::*;

#[track_caller]
fn check(root: &Path, given: &[&str], wanted: &[&str]) -> Walk {
    let given: Vec<PathBuf> = given.iter().map(|path| root.join(path)).collect();
    let walk = Walk::of(&given);
    let found: Vec<&str> = walk
        .files
        .iter()
        .map(|found| found.path.strip_prefix(root).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(found, wanted);
    walk
}

fn tree(paths: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for path in paths {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "a: 1").unwrap();
    }
    root
}

#[test]
fn folders_give_their_documents_in_order() {
    let root =
        tree(&["b.yaml", "a/z.yml", "a/a.JSON", "a.yaml", "a/readme.md", "c.yaml~", ".x.yaml"]);
    check(root.path(), &[""], &["a/a.JSON", "a/z.yml", "a.yaml", "b.yaml"]);
    check(root.path(), &["b.yaml", ""], &["b.yaml", "a/a.JSON", "a/z.yml", "a.yaml"]);
    check(root.path(), &["a/readme.md", ".x.yaml"], &["a/readme.md", ".x.yaml"]);
}

#[test]
fn a_mounted_config_map_is_read_once() {
    let root = tree(&["..2026_1/a.yaml"]);
    symlink("..2026_1", root.path().join("..data")).unwrap();
    symlink("..data/a.yaml", root.path().join("a.yaml")).unwrap();
    check(root.path(), &[""], &["a.yaml"]);
}

#[test]
fn loops_of_links_end_and_dangling_links_are_skipped() {
    let root = tree(&["a/a.yaml"]);
    symlink("..", root.path().join("a/up")).unwrap();
    symlink("nowhere", root.path().join("dangling.yaml")).unwrap();
    let walk = check(root.path(), &[""], &["a/a.yaml"]);
    assert!(walk.failed.is_empty());
}

#[test]
fn a_named_path_that_is_missing_is_reported() {
    let root = tree(&["a.yaml"]);
    let walk = check(root.path(), &["a.yaml", "none.yaml"], &["a.yaml"]);
    assert_eq!(walk.failed[0].0, root.path().join("none.yaml"));
}
