use super::*;

struct Folder {
    root: tempfile::TempDir,
    source: FileSource,
}

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(root.path().join(name), text).unwrap();
        }
        let source = FileSource::new(vec![root.path().into()], Vec::new());
        Self { root, source }
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.root.path().join(name), bytes).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.root.path().join(name)).unwrap();
    }
}

fn texts(files: &Files) -> Vec<&str> {
    files.documents.iter().map(|document| &*document.text).collect()
}

fn reasons(files: &Files) -> Vec<&Reason> {
    files.problems.iter().map(|problem| &problem.reason).collect()
}

/// As if the files had been gone for longer than the time of grace.
fn aged(mut files: Files) -> Files {
    for document in &mut files.documents {
        document.state.gone_since = document.state.gone_since.map(|since| since - 2 * GRACE);
    }
    files
}

#[test]
fn unchanged_files_keep_their_text_and_changed_ones_do_not() {
    let folder = Folder::with(&[("a.yaml", "a"), ("b.yaml", "b")]);
    let first = folder.source.read(&Files::default());
    let name = folder.root.path().join("a.yaml").to_string_lossy().into_owned();
    assert_eq!(first.documents[0].path, name);
    let second = folder.source.read(&first);
    assert!(second.same_as(&first));
    folder.write("b.yaml", "c");
    let third = folder.source.read(&second);
    assert!(!third.same_as(&second));
    assert_eq!(texts(&third), ["a", "c"]);
    assert!(Arc::ptr_eq(&third.documents[0].text, &first.documents[0].text));
}

#[test]
fn a_trusted_stamp_saves_the_read() {
    let folder = Folder::with(&[("a.yaml", "a")]);
    let mut files = folder.source.read(&Files::default());
    let metadata = fs::metadata(folder.root.path().join("a.yaml")).unwrap();
    // Text that is not in the file shows that it was not read again.
    files.documents[0].text = "remembered".into();
    assert_eq!(texts(&folder.source.read(&files)), ["a"], "changed a moment ago: not trusted");
    files.documents[0].state.stamp = Some(Stamp::of(&metadata));
    assert_eq!(texts(&folder.source.read(&files)), ["remembered"]);
    folder.write("a.yaml", "aa");
    assert_eq!(texts(&folder.source.read(&files)), ["aa"]);
}

#[test]
fn a_file_that_vanishes_or_is_emptied_has_a_time_of_grace() {
    let folder = Folder::with(&[("a.yaml", "a"), ("b.yaml", "b"), ("c.yaml", "c")]);
    let first = folder.source.read(&Files::default());
    folder.remove("a.yaml");
    folder.write("b.yaml", "");
    let during = folder.source.read(&first);
    assert!(during.same_as(&first) && during.is_unsettled());
    // The editor is ready: no one ever saw the gap.
    folder.write("a.yaml", "a2");
    folder.write("b.yaml", "b2");
    let back = folder.source.read(&aged(during.clone()));
    assert_eq!(texts(&back), ["a2", "b2", "c"]);
    assert!(!back.is_unsettled());
    // It stays away: then it is gone.
    folder.remove("a.yaml");
    folder.write("b.yaml", "");
    let during = folder.source.read(&back);
    let after = folder.source.read(&aged(during));
    assert_eq!(texts(&after), ["", "c"]);
    assert!(!after.is_unsettled() && after.problems.is_empty());
}

#[test]
fn what_cannot_be_read_is_a_problem_and_keeps_its_last_good_text() {
    let folder = Folder::with(&[("a.yaml", "a"), ("b.yaml", "b")]);
    let first = folder.source.read(&Files::default());
    folder.write("a.yaml", b"x: \xff");
    let large = fs::File::create(folder.root.path().join("b.yaml")).unwrap();
    large.set_len(FILE_BYTES_MAX + 1).unwrap();
    let second = folder.source.read(&first);
    assert_eq!(texts(&second), ["a", "b"]);
    let wanted =
        [&Reason::NotUtf8 { line: 1, offset: 3 }, &Reason::TooLarge { len: FILE_BYTES_MAX + 1 }];
    assert_eq!(reasons(&second), wanted);
    assert!(second.problems.iter().all(|problem| problem.kept));
    let fresh = folder.source.read(&Files::default());
    assert!(fresh.documents.is_empty() && !fresh.problems[0].kept);
    folder.write("a.yaml", "a2");
    folder.write("b.yaml", "b2");
    let third = folder.source.read(&second);
    assert_eq!((texts(&third), third.problems.len()), (vec!["a2", "b2"], 0));
}

#[test]
fn a_named_path_that_goes_missing_keeps_what_it_held() {
    let folder = Folder::with(&[("a.yaml", "a")]);
    let source = FileSource::new(
        vec![folder.root.path().join("a.yaml"), folder.root.path().join("none.yaml")],
        vec![folder.root.path().join("tls.crt")],
    );
    let first = source.read(&Files::default());
    assert_eq!(texts(&first), ["a"]);
    assert_eq!(reasons(&first), [&Reason::Missing, &Reason::Missing]);
    folder.remove("a.yaml");
    let second = source.read(&first);
    assert_eq!(texts(&second), ["a"]);
    assert_eq!((second.problems.len(), second.problems[0].kept), (3, true));
}

#[test]
fn extra_files_are_bytes() {
    let folder = Folder::with(&[]);
    folder.write("tls.crt", [0, 255]);
    let path = folder.root.path().join("tls.crt");
    let source = FileSource::new(Vec::new(), vec![path.clone()]);
    let first = source.read(&Files::default());
    assert_eq!(first.extra(&path).map(|bytes| bytes.to_vec()), Some(vec![0, 255]));
    folder.write("tls.crt", [1]);
    let second = source.read(&first);
    assert!(!second.same_as(&first));
    folder.remove("tls.crt");
    let third = source.read(&second);
    assert_eq!(third.extra(&path), second.extra(&path), "the last good bytes are kept");
    assert!(third.problems[0].kept && third.problems[0].reason == Reason::Missing);
}

#[test]
fn what_is_no_file_is_reported_when_it_is_named() {
    let folder = Folder::with(&[("a.yaml", "a")]);
    let path = folder.root.path().join("s.yaml");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let files = folder.source.read(&Files::default());
    assert_eq!((texts(&files), reasons(&files)), (vec!["a"], vec![]));
    let named = FileSource::new(vec![path], Vec::new());
    assert_eq!(reasons(&named.read(&Files::default())), [&Reason::NotAFile]);
}

#[test]
fn a_problem_is_told_with_file_and_line() {
    let folder = Folder::with(&[("a.yaml", "a")]);
    let first = folder.source.read(&Files::default());
    folder.write("a.yaml", b"x: 1\ny: \xff");
    let path = folder.root.path().join("a.yaml").display().to_string();
    let shown = |files: &Files| files.problems[0].to_string();
    let fresh = folder.source.read(&Files::default());
    assert_eq!(shown(&fresh), format!("{path}:2: is not UTF-8 text (byte 8 of the file)"));
    let after = folder.source.read(&first);
    assert!(shown(&after).ends_with("; what was read before stays in force"));
}
