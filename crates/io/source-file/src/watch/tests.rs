use notify::event::{CreateKind, DataChange, Event, MetadataKind, RemoveKind};

use super::*;

fn event(kind: EventKind, path: &str) -> Event {
    Event::new(kind).add_path(path.into())
}

const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(DataChange::Any));
const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));
const CREATED: EventKind = EventKind::Create(CreateKind::File);

fn shared() -> Shared {
    let shared = Shared::default();
    let names = Interest::Names(["a.yaml".into(), "..data".into()].into());
    let interest = [("/named".into(), names), ("/all".into(), Interest::All)];
    shared.locked().interest = interest.into();
    shared
}

#[test]
fn only_what_concerns_the_source_wakes() {
    let shared = shared();
    let relevant = |kind, path| shared.is_relevant(&event(kind, path));
    assert!(relevant(CREATED, "/named/a.yaml"));
    assert!(relevant(CREATED, "/named/..data"));
    assert!(!relevant(CREATED, "/named/b.yaml"));
    assert!(relevant(CREATED, "/all/anything"));
    assert!(relevant(CREATED, "/named"));
    assert!(relevant(CLOSED, "/all/a.yaml"));
    for kind in
        [AccessKind::Read, AccessKind::Open(AccessMode::Any), AccessKind::Close(AccessMode::Read)]
    {
        assert!(!relevant(EventKind::Access(kind), "/all/a.yaml"), "{kind:?}");
    }
}

#[test]
fn a_file_counts_as_being_written_until_it_is_closed() {
    let shared = shared();
    let writing = || shared.locked().writing.len();
    shared.is_relevant(&event(WRITTEN, "/all/a.yaml"));
    shared.is_relevant(&event(WRITTEN, "/named/b.yaml"));
    assert_eq!(writing(), 1);
    shared.is_relevant(&event(
        EventKind::Modify(ModifyKind::Metadata(MetadataKind::Any)),
        "/all/a.yaml",
    ));
    assert_eq!(writing(), 1);
    shared.is_relevant(&event(CLOSED, "/all/a.yaml"));
    assert_eq!(writing(), 0);
}

async fn looked(watcher: &mut Watcher) -> Duration {
    let start = time::now();
    watcher.look().await;
    time::now() - start
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_look_soon_after_its_end_and_never_late() {
    let mut watcher = Watcher::new().unwrap();
    let shared = watcher.shared.clone();
    shared.wake.notify_one();
    assert_eq!(looked(&mut watcher).await, QUIET);
    // Events every 3 ms do not put it off for ever.
    let (took, ()) = tokio::join!(looked(&mut watcher), async {
        for _ in 0..10 {
            shared.wake.notify_one();
            time::sleep(Duration::from_millis(3)).await;
        }
    });
    assert_eq!(took, LATEST);
    // A file that is being written is waited for, with the same bound.
    shared.locked().writing.insert("/all/a.yaml".into());
    shared.wake.notify_one();
    assert_eq!(looked(&mut watcher).await, LATEST);
    shared.wake.notify_one();
    assert_eq!(looked(&mut watcher).await, QUIET);
    // Without events there is a look at times.
    assert_eq!(looked(&mut watcher).await, PERIOD + QUIET);
}

#[tokio::test(start_paused = true)]
async fn who_never_closes_a_file_is_not_waited_for() {
    let mut watcher = Watcher::new().unwrap();
    watcher.shared.locked().writing.insert("/all/a.yaml".into());
    watcher.look().await;
    assert_eq!(watcher.writing(), HashSet::from(["/all/a.yaml".into()]));
    time::sleep(WRITING_MAX / 2).await;
    // Writing goes on, and that is no reason to begin again.
    watcher.shared.locked().writing.insert("/all/a.yaml".into());
    watcher.shared.wake.notify_one();
    watcher.look().await;
    assert_eq!(watcher.writing().len(), 1);
    time::sleep(WRITING_MAX / 2).await;
    assert_eq!(watcher.writing(), HashSet::new());
    watcher.shared.is_relevant(&event(CLOSED, "/all/a.yaml"));
    assert!(watcher.shared.locked().unfinished.is_empty());
}

#[tokio::test]
async fn a_folder_made_again_is_watched_again() {
    let root = tempfile::tempdir().unwrap();
    let source = FileSource::new(vec![root.path().into()], Vec::new());
    let files = source.read(&Files::default());
    let mut watcher = Watcher::new().unwrap();
    assert!(watcher.watch(&source, &files));
    assert!(!watcher.watch(&source, &files));
    // It may have the same inode as before, so only the event tells.
    let removed = event(EventKind::Remove(RemoveKind::Folder), root.path().to_str().unwrap());
    watcher.shared.is_relevant(&removed);
    assert!(watcher.watch(&source, &files));
    assert!(!watcher.watch(&source, &files));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_look_is_made_up_for() {
    let mut watcher = Watcher::new().unwrap();
    watcher.shared.wake.notify_one();
    assert!(time::timeout(Duration::from_millis(2), watcher.look()).await.is_err());
    assert_eq!(looked(&mut watcher).await, QUIET);
}

#[test]
fn named_files_are_watched_where_they_lie() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().canonicalize().unwrap().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/a.yaml"), "a").unwrap();
    std::os::unix::fs::symlink("real/a.yaml", at("link.yaml")).unwrap();
    let source = FileSource::new(vec![at("link.yaml"), at("none/deep/b.yaml")], vec![at("k.pem")]);
    let interest = interest(&source, &Files::default());
    let names = |folder: &Path| match &interest[folder] {
        Interest::Names(names) => {
            let mut names: Vec<&str> = names.iter().filter_map(|name| name.to_str()).collect();
            names.sort_unstable();
            names
        }
        Interest::All => panic!("only named files matter"),
    };
    assert_eq!(names(&at("")), ["..data", "k.pem", "link.yaml", "none"]);
    assert_eq!(names(&at("real")), ["..data", "a.yaml"]);
}
