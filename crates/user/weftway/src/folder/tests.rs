use std::fs::{Permissions, create_dir, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, lchown, symlink};

use super::*;

fn refusal(path: &Path) -> String {
    make(path).unwrap_err().to_string()
}

#[test]
fn a_folder_that_is_made_is_its_owners() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/b");
    make(&path).unwrap();
    make(&path).unwrap();
    assert_eq!(path.metadata().unwrap().mode() & WRITABLE, 0);
    check(&parent.path().join("none")).unwrap_err();
}

#[test]
fn a_folder_that_others_can_write_to_is_not_used() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    create_dir(&path).unwrap();
    for mode in [0o777, 0o775, 0o702, 0o1777] {
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        assert!(refusal(&path).contains("others may write"), "{mode:o}");
    }
    set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    make(&path).unwrap();

    // Wherever a link leads is what counts.
    let link = parent.path().join("link");
    symlink(&path, &link).unwrap();
    make(&link).unwrap();
    set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
    assert!(refusal(&link).contains("others may write"));
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    assert!(refusal(&file).contains("is no folder"));
}

#[test]
fn what_somebody_else_has_made_is_not_used() {
    if !rustix::process::getuid().is_root() {
        // Only root can make what is somebody else's. What it is for others, they see above.
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("state");
    make(&path).unwrap();
    let link = parent.path().join("link");
    symlink(&path, &link).unwrap();
    lchown(&link, Some(4242), Some(4242)).unwrap();
    assert!(refusal(&link).contains("belongs to user 4242"));
    chown(&path, Some(4242), Some(4242)).unwrap();
    assert!(refusal(&path).contains("belongs to user 4242"));
}
