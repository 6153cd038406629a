use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::*;

fn follow(paths: &[PathBuf]) -> Following {
    Following::start(FileSource::new(paths.to_vec(), Vec::new())).unwrap()
}

fn texts(files: &Files) -> Vec<&str> {
    files.documents.iter().map(|document| &*document.text).collect()
}

/// Waits for the set to become the wanted one; steps between may show or not.
async fn until(following: &mut Following, wanted: &[&str]) {
    while texts(following.files()) != wanted {
        following.next().await;
    }
}

fn write(path: impl AsRef<Path>, text: &str) {
    fs::write(path, text).unwrap();
}

fn replace(path: &Path, text: &str) {
    let temporary = path.with_extension("tmp");
    write(&temporary, text);
    fs::rename(temporary, path).unwrap();
}

#[tokio::test]
async fn every_way_of_writing_a_file_is_noticed() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    write(at("a.yaml"), "1");
    for given in [root.path().into(), at("a.yaml")] {
        let mut following = follow(&[given]);
        write(at("a.yaml"), "2");
        until(&mut following, &["2"]).await;
        replace(&at("a.yaml"), "3");
        until(&mut following, &["3"]).await;
        // As vim does: the old file is moved away, then the new one is written.
        fs::rename(at("a.yaml"), at("a.yaml~")).unwrap();
        write(at("a.yaml"), "4");
        until(&mut following, &["4"]).await;
        fs::remove_file(at("a.yaml")).unwrap();
        write(at("a.yaml"), "1");
        until(&mut following, &["1"]).await;
    }
}

#[tokio::test]
async fn an_empty_gap_is_never_given_out() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.yaml");
    write(&path, "1");
    let mut following = follow(&[root.path().into()]);
    let file = fs::File::create(&path).unwrap();
    following.watcher.look().await;
    assert!(!following.read(), "the emptied file still counts as it was");
    drop(file);
    write(&path, "2");
    assert_eq!(texts(following.next().await), ["2"]);
}

#[tokio::test]
async fn a_half_written_file_is_never_given_out() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("a.yaml"), root.path().join("b.yaml"));
    write(&old, "1\n");
    let mut following = follow(&[root.path().into()]);
    let mut files = [&old, &new].map(|path| fs::File::create(path).unwrap());
    for file in &mut files {
        file.write_all(b"half").unwrap();
    }
    while following.watcher.writing().len() < files.len() {
        following.watcher.look().await;
    }
    assert!(!following.read(), "{:?}", texts(following.files()));
    assert_eq!(texts(following.files()), ["1\n"]);
    for mut file in files {
        file.write_all(b" and half").unwrap();
    }
    until(&mut following, &["half and half", "half and half"]).await;
    assert!(!following.files().is_unsettled());
}

#[tokio::test]
async fn a_folder_that_is_removed_keeps_what_it_held_until_it_is_back() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("conf");
    for number in 1..4 {
        fs::create_dir(&folder).unwrap();
        write(folder.join("a.yaml"), &number.to_string());
        let mut following = follow(std::slice::from_ref(&folder));
        fs::remove_dir_all(&folder).unwrap();
        while following.files().problems.is_empty() {
            following.next().await;
        }
        assert_eq!(texts(following.files()), [number.to_string()]);
        let shown = following.files().problems[0].to_string();
        assert!(shown.ends_with("no such file or folder; what was read before stays in force"));
        fs::create_dir(&folder).unwrap();
        write(folder.join("a.yaml"), "new");
        until(&mut following, &["new"]).await;
        assert!(following.files().problems.is_empty());
        // It is watched again.
        write(folder.join("a.yaml"), "newer");
        until(&mut following, &["newer"]).await;
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[tokio::test]
async fn touching_without_a_change_gives_nothing() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.yaml");
    write(&path, "1");
    let mut following = follow(&[root.path().into()]);
    replace(&path, "1");
    following.watcher.look().await;
    assert!(!following.read());
    replace(&path, "2");
    assert_eq!(texts(following.next().await), ["2"]);
}

#[tokio::test]
async fn new_folders_and_removed_files_are_noticed() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let mut following = follow(&[root.path().into()]);
    fs::create_dir_all(at("a/b")).unwrap();
    write(at("a/b/a.yaml"), "1");
    until(&mut following, &["1"]).await;
    write(at("a/b/b.yaml"), "2");
    until(&mut following, &["1", "2"]).await;
    fs::remove_dir_all(at("a")).unwrap();
    until(&mut following, &[]).await;
    fs::create_dir_all(at("a/b")).unwrap();
    write(at("a/b/a.yaml"), "3");
    until(&mut following, &["3"]).await;
}

#[tokio::test]
async fn a_mounted_config_map_is_swapped() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let generation = |number: usize| {
        let folder = format!("..2026_{number}");
        fs::create_dir(at(&folder)).unwrap();
        write(at(&folder).join("a.yaml"), &number.to_string());
        symlink(&folder, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        if number > 1 {
            fs::remove_dir_all(at(&format!("..2026_{}", number - 1))).unwrap();
        }
    };
    generation(1);
    symlink("..data/a.yaml", at("a.yaml")).unwrap();
    let mut folder = follow(&[root.path().into()]);
    let mut file = follow(&[at("a.yaml")]);
    for number in 2..5 {
        generation(number);
        until(&mut folder, &[&number.to_string()]).await;
        until(&mut file, &[&number.to_string()]).await;
    }
}

#[tokio::test]
async fn a_path_that_does_not_exist_yet_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("not/yet/a.yaml");
    let mut following = follow(std::slice::from_ref(&path));
    assert_eq!(following.files().problems.len(), 1);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    write(&path, "1");
    until(&mut following, &["1"]).await;
    assert!(following.files().problems.is_empty());
}

#[tokio::test]
async fn extra_files_are_followed_too() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("tls.crt");
    write(&path, "1");
    let source = FileSource::new(Vec::new(), vec![path.clone()]);
    let mut following = Following::start(source).unwrap();
    replace(&path, "2");
    assert_eq!(&**following.next().await.extra(&path).unwrap(), b"2");
}
