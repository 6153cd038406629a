//! Being told when to look.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use weft_runtime::time;

use crate::files::{FileSource, Files};

/// A burst of events is over when none came for so long.
pub const QUIET: Duration = Duration::from_millis(5);

/// A look comes at the latest so long after the first event of a burst.
pub const LATEST: Duration = Duration::from_millis(20);

/// A look without any event, for file systems that send none (NFS for instance) and for watches
/// that the system did not grant. It costs one look at the time stamps.
pub const PERIOD: Duration = Duration::from_secs(10);

/// A file that somebody writes to is read when it is closed, or after so long: slow copies go on
/// from piece to piece within that time, and a program that never closes its file is not waited
/// for.
pub const WRITING_MAX: Duration = Duration::from_secs(1);

/// Symbolic links followed from a named file to watch where it really lies.
const LINKS_MAX: usize = 8;

/// The system cannot watch files at all.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch files; raise fs.inotify.max_user_instances, or only periodic looks remain")]
pub struct WatchError(#[from] notify::Error);

/// Watches the folders of a source. Events arrive on a thread of the notification library.
#[derive(Debug)]
pub struct Watcher {
    backend: RecommendedWatcher,
    shared: Arc<Shared>,
    /// Watched folders, with device and inode to notice that one was replaced by another.
    watched: HashMap<PathBuf, (u64, u64)>,
    /// An event was taken and not yet answered by a look.
    pending: bool,
    refused: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    wake: Notify,
    /// Locked by the thread of the library for the time of a lookup, and by us for the time of a
    /// change, never across a wait.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    interest: HashMap<PathBuf, Interest>,
    /// Files that were written to since the last look and are not closed yet.
    writing: HashSet<PathBuf>,
    /// Files that were not closed yet at a look, and the time of the first such look.
    unfinished: HashMap<PathBuf, Instant>,
    /// What was removed or moved since folders were watched last. A folder may come back under
    /// its old name and even its old inode, and the watch on it is gone.
    lost: HashSet<PathBuf>,
}

/// Which names in a watched folder matter.
#[derive(Debug)]
enum Interest {
    All,
    Names(HashSet<OsString>),
}

// === impl Watcher ===

impl Watcher {
    /// A watcher that watches nothing yet; see [`Watcher::watch`].
    ///
    /// # Errors
    ///
    /// [`WatchError`] when the system gives no watcher.
    pub fn new() -> Result<Self, WatchError> {
        let shared = Arc::new(Shared::default());
        let events = shared.clone();
        let backend = notify::recommended_watcher(move |event| events.receive(event))?;
        Ok(Self { backend, shared, watched: HashMap::new(), pending: false, refused: None })
    }

    /// Watches what a look came across: the folders in it, the parents of what was named, and
    /// where links lead to. Returns whether there was anything new; then look again, because
    /// something may have happened between that look and this call.
    pub fn watch(&mut self, source: &FileSource, files: &Files) -> bool {
        let interest = interest(source, files);
        let mut wanted = HashMap::new();
        for folder in interest.keys() {
            if let Ok(metadata) = fs::metadata(folder) {
                wanted.insert(folder.clone(), (metadata.dev(), metadata.ino()));
            }
        }
        let lost = {
            let mut state = self.shared.locked();
            state.interest = interest;
            std::mem::take(&mut state.lost)
        };
        let is_lost = |folder: &Path| {
            !lost.is_empty() && absolute(folder).is_some_and(|folder| lost.contains(&folder))
        };
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(folder, identity)| wanted.get(*folder) != Some(*identity) || is_lost(folder))
            .map(|(folder, _)| folder.clone())
            .collect();
        for folder in gone {
            self.watched.remove(&folder);
            // Fails when the folder is gone, and with it the watch.
            let _ = self.backend.unwatch(&folder);
        }
        self.refused = None;
        let mut added = false;
        for (folder, identity) in wanted {
            if self.watched.contains_key(&folder) {
                continue;
            }
            match self.backend.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder, identity);
                    added = true;
                }
                Err(error) => {
                    self.refused = Some(format!("{}: {error}", folder.display()));
                }
            }
        }
        added
    }

    /// Why a folder is not watched, if the system refused one: usually its limit
    /// `fs.inotify.max_user_watches` is reached. Periodic looks still cover it.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Waits until it is time to look: [`QUIET`] after the last event of a burst, [`LATEST`] after
    /// the first, or [`PERIOD`] without any.
    ///
    /// Cancel safe: an event that was taken is answered by the next call.
    pub async fn look(&mut self) {
        if !self.pending {
            // The time being over is a reason to look as well.
            let _ = time::timeout(PERIOD, self.shared.wake.notified()).await;
            self.pending = true;
        }
        let first = time::now();
        loop {
            let left = LATEST.saturating_sub(time::now() - first);
            let quiet = time::timeout(QUIET.min(left), self.shared.wake.notified()).await.is_err();
            let writing = !self.shared.locked().writing.is_empty();
            if left.is_zero() || (quiet && !writing) {
                break;
            }
        }
        // A file that is held open for long must not delay every look.
        let mut state = self.shared.locked();
        let State { writing, unfinished, .. } = &mut *state;
        for path in writing.drain() {
            unfinished.entry(path).or_insert_with(time::now);
        }
        self.pending = false;
    }

    /// Files that were still being written at the last look, for [`WRITING_MAX`] at most: their
    /// absolute paths.
    pub fn writing(&self) -> HashSet<PathBuf> {
        let (state, now) = (self.shared.locked(), time::now());
        let unfinished = state.unfinished.iter();
        unfinished
            .filter(|(_, since)| now.saturating_duration_since(**since) < WRITING_MAX)
            .filter_map(|(path, _)| absolute(path))
            .collect()
    }
}

// === impl Shared ===

impl Shared {
    fn receive(&self, event: notify::Result<notify::Event>) {
        // An error or an overflow of the queue hides events: look.
        let relevant = match event {
            Ok(event) => event.need_rescan() || self.is_relevant(&event),
            Err(_) => true,
        };
        if relevant {
            self.wake.notify_one();
        }
    }

    fn is_relevant(&self, event: &notify::Event) -> bool {
        let closed = matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)));
        // Opening and reading is what we do ourselves.
        if matches!(event.kind, EventKind::Access(_)) && !closed {
            return false;
        }
        let mut state = self.locked();
        let mut relevant = event.paths.is_empty();
        for path in &event.paths {
            if matches!(event.kind, EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))) {
                state.lost.extend(absolute(path));
            }
            if !state.concerns(path) {
                continue;
            }
            relevant = true;
            match event.kind {
                EventKind::Modify(ModifyKind::Data(_)) => {
                    state.writing.insert(path.clone());
                }
                EventKind::Modify(ModifyKind::Metadata(_)) => {}
                _ => {
                    state.writing.remove(path);
                    state.unfinished.remove(path);
                }
            }
        }
        relevant
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        // The state is valid after every statement, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl State ===

impl State {
    fn concerns(&self, path: &Path) -> bool {
        // An event about a watched folder itself (moved, removed) has its path.
        if self.interest.contains_key(path) {
            return true;
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return true };
        match self.interest.get(folder) {
            Some(Interest::Names(names)) => names.contains(name),
            Some(Interest::All) | None => true,
        }
    }
}

/// The folders to watch, and what matters in each.
fn interest(source: &FileSource, files: &Files) -> HashMap<PathBuf, Interest> {
    let mut interest = HashMap::new();
    for folder in &files.folders {
        interest.insert(folder.clone(), Interest::All);
    }
    for path in source.paths().iter().chain(source.extra()) {
        for hop in hops(path) {
            add_name(&mut interest, &hop);
        }
    }
    for document in &files.documents {
        let path = Path::new(&document.path);
        if path.is_symlink() {
            for hop in hops(path) {
                add_name(&mut interest, &hop);
            }
        }
    }
    interest
}

/// A path, and each path that it leads to over links in its last part.
fn hops(path: &Path) -> Vec<PathBuf> {
    let mut hops = vec![path.to_path_buf()];
    let mut at = path.to_path_buf();
    while let Ok(target) = fs::read_link(&at)
        && hops.len() <= LINKS_MAX
    {
        at = parent(&at).join(target);
        hops.push(at.clone());
    }
    // Where links in the middle of the path lead to (`config -> ..data -> ..2024`).
    if let Ok(real) = path.canonicalize()
        && !hops.contains(&real)
    {
        hops.push(real);
    }
    hops
}

/// The name matters in the parent of the path, or of its nearest ancestor that exists.
fn add_name(interest: &mut HashMap<PathBuf, Interest>, path: &Path) {
    let mut at = path.to_path_buf();
    let mut folder = parent(&at);
    while !folder.is_dir() && at.parent().is_some_and(|up| !up.as_os_str().is_empty()) {
        at = folder;
        folder = parent(&at);
    }
    let Some(name) = at.file_name() else { return };
    let names = interest.entry(folder).or_insert_with(|| Interest::Names(HashSet::new()));
    if let Interest::Names(names) = names {
        names.insert(name.into());
        // What Kubernetes swaps when a mounted ConfigMap or Secret changes.
        names.insert("..data".into());
    }
}

/// A path as events have it, without a look at the disk.
fn absolute(path: &Path) -> Option<PathBuf> {
    std::path::absolute(path).ok()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.into(),
        _ => ".".into(),
    }
}

#[cfg(test)]
mod tests;
