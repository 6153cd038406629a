//! Reading the whole set.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weft_runtime::time;

use crate::walk::{FILES_MAX, Found, Walk};

/// Largest file that is read, bytes. A hundred times a large configuration; it keeps a wrong path
/// (a log, a disk image) from filling the memory.
pub const FILE_BYTES_MAX: u64 = 16 << 20;

/// How long a file that vanished from a folder, or was emptied, keeps its text: longer than
/// editors and `cp` need between removing the old content and writing the new, short enough that
/// a real deletion still takes effect at once for a human.
pub const GRACE: Duration = Duration::from_millis(25);

/// A file changed more recently than this may change again without a new time stamp: kernels step
/// those by up to 10 ms. It is read again at the next look.
const STAMP_STEP: Duration = Duration::from_millis(20);

/// Paths to read.
#[derive(Debug, Clone)]
pub struct FileSource {
    paths: Vec<PathBuf>,
    extra: Vec<PathBuf>,
}

/// Everything that was read at one look.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The documents, in the order of the paths, and by name within a folder.
    pub documents: Vec<Document>,
    /// The extra files that could be read.
    pub extra: Vec<ExtraFile>,
    /// What could not be read.
    pub problems: Vec<Problem>,
    pub(crate) folders: Vec<PathBuf>,
    unsettled: bool,
}

/// A file of text.
#[derive(Debug, Clone)]
pub struct Document {
    /// The path as it was given, or below the folder as that was given.
    pub path: String,
    /// The text.
    pub text: Arc<str>,
    state: State,
}

/// A file that is no document: a certificate or key.
#[derive(Debug, Clone)]
pub struct ExtraFile {
    /// The path as it was given.
    pub path: PathBuf,
    /// The bytes.
    pub bytes: Arc<[u8]>,
    state: State,
}

/// A path that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path, as given or below a given folder.
    pub path: String,
    /// Why.
    pub reason: Reason,
    /// Whether the content of an earlier look is kept in its place.
    pub kept: bool,
}

/// Why a path could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// There is no such file or folder.
    #[error("no such file or folder")]
    Missing,
    /// The system refuses it.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The bytes are no UTF-8 text.
    #[error("is not UTF-8 text (byte {offset} of the file)")]
    NotUtf8 {
        /// Line of the first byte that is not, from 1.
        line: usize,
        /// Its offset in the file.
        offset: usize,
    },
    /// Too large.
    #[error("is too large: {len} bytes, the limit is {FILE_BYTES_MAX}")]
    TooLarge {
        /// Its size in bytes.
        len: u64,
    },
    /// A socket, pipe or device.
    #[error("is neither a file nor a folder")]
    NotAFile,
    /// There are more files than are read.
    #[error("more than {FILES_MAX} files; the rest was left out")]
    TooMany,
}

/// What tells whether a file has to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    /// `None` when the stamp cannot be trusted yet.
    stamp: Option<Stamp>,
    /// Since when the file is gone or empty while its old content is kept.
    gone_since: Option<SystemTime>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// One look.
struct Look<'a> {
    now: SystemTime,
    files: Files,
    before: HashMap<&'a str, &'a Document>,
    writing: &'a HashSet<PathBuf>,
}

// === impl FileSource ===

impl FileSource {
    /// Paths of documents: files of any name, and folders, whose `*.yaml`, `*.yml` and `*.json`
    /// are read, recursively. `extra` are files that are not documents, certificates for
    /// instance. Nothing is opened yet.
    pub fn new(paths: Vec<PathBuf>, extra: Vec<PathBuf>) -> Self {
        Self { paths, extra }
    }

    /// The paths of documents, as given.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The extra files, as given.
    pub fn extra(&self) -> &[PathBuf] {
        &self.extra
    }

    /// Looks at everything, and reads what changed since `previous` (`Files::default()` the first
    /// time). Blocks for as long as the disk does.
    ///
    /// What cannot be read is a problem in the result; if it could be read before, the earlier
    /// content is kept beside it.
    pub fn read(&self, previous: &Files) -> Files {
        self.read_while(previous, &HashSet::new())
    }

    /// The same while some files (absolute paths) are being written: these stay as they are, and
    /// what is new among them is left out.
    pub fn read_while(&self, previous: &Files, writing: &HashSet<PathBuf>) -> Files {
        let before = previous.documents.iter().map(|document| (&*document.path, document));
        let (now, before) = (time::wall(), before.collect());
        let mut look = Look { now, files: Files::default(), before, writing };
        let walk = Walk::of(&self.paths);
        for found in &walk.files {
            look.document(found);
        }
        look.keep_missing(&walk, previous);
        if walk.cut_off {
            look.problem(Path::new(""), Reason::TooMany, false);
        }
        for path in &self.extra {
            let before = previous.extra.iter().find(|file| file.path == *path);
            look.extra(path, before);
        }
        let mut files = look.files;
        files.folders = walk.folders;
        // What was kept was appended; it belongs where it was, because order may mean something.
        files.documents.sort_by_cached_key(|document| self.position(&document.path));
        files
    }

    /// Where a document stands: by the given path that leads to it, then by name as a walk goes.
    fn position(&self, path: &str) -> (usize, PathBuf) {
        let path = PathBuf::from(path);
        let given = self.paths.iter().position(|given| path.starts_with(given));
        (given.unwrap_or(usize::MAX), path)
    }
}

// === impl Files ===

impl Files {
    /// Whether a file vanished or was emptied a moment ago, or is being written: look again after
    /// [`GRACE`].
    pub fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Whether both hold the same paths, contents and problems.
    pub fn same_as(&self, other: &Self) -> bool {
        let document = |document: &Document| (document.path.clone(), document.text.clone());
        let extra = |file: &ExtraFile| (file.path.clone(), file.bytes.clone());
        self.problems == other.problems
            && self.documents.iter().map(document).eq(other.documents.iter().map(document))
            && self.extra.iter().map(extra).eq(other.extra.iter().map(extra))
    }

    /// The bytes of an extra file.
    pub fn extra(&self, path: &Path) -> Option<&Arc<[u8]>> {
        self.extra.iter().find(|file| file.path == path).map(|file| &file.bytes)
    }
}

// === impl Problem ===

impl Problem {
    /// The line that it is about, from 1, if it is about one.
    pub fn line(&self) -> Option<usize> {
        match self.reason {
            Reason::NotUtf8 { line, .. } => Some(line),
            Reason::Missing
            | Reason::Unreadable(_)
            | Reason::TooLarge { .. }
            | Reason::NotAFile
            | Reason::TooMany => None,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}:", self.path)?;
            if let Some(line) = self.line() {
                write!(f, "{line}:")?;
            }
            f.write_str(" ")?;
        }
        self.reason.fmt(f)?;
        if self.kept {
            f.write_str("; what was read before stays in force")?;
        }
        Ok(())
    }
}

// === impl Look ===

impl Look<'_> {
    fn document(&mut self, found: &Found) {
        let name = found.path.to_string_lossy().into_owned();
        let before = self.before.get(&*name).copied().cloned();
        if !found.metadata.is_file() {
            // A device or pipe in a folder is no one's document.
            if found.named {
                self.problem(&found.path, Reason::NotAFile, false);
            }
            return;
        }
        let stamp = Stamp::of(&found.metadata);
        if let Some(before) = &before
            && before.state.gone_since.is_none()
            && before.state.stamp == Some(stamp)
        {
            return self.files.documents.push(before.clone());
        }
        if self.is_being_written(&found.path) {
            self.files.unsettled = true;
            let kept = before.map(|before| Document { state: State::default(), ..before });
            return self.files.documents.extend(kept);
        }
        let read = read_bounded(&found.path, &found.metadata).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|error| {
                let offset = error.utf8_error().valid_up_to();
                let good = &error.as_bytes()[..offset];
                let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
                Reason::NotUtf8 { line, offset }
            })
        });
        match (read, before) {
            (Ok(text), Some(before)) if text.is_empty() && !before.text.is_empty() => {
                self.keep(before, Some(stamp));
            }
            (Ok(text), before) => {
                let state = self.settled(stamp);
                let text = match before {
                    Some(before) if *before.text == *text => before.text,
                    _ => text.into(),
                };
                self.files.documents.push(Document { path: name, text, state });
            }
            (Err(reason), before) => {
                self.problem(&found.path, reason, before.is_some());
                if let Some(mut before) = before {
                    before.state = State::default();
                    self.files.documents.push(before);
                }
            }
        }
    }

    fn is_being_written(&self, path: &Path) -> bool {
        !self.writing.is_empty()
            && std::path::absolute(path).is_ok_and(|path| self.writing.contains(&path))
    }

    /// Documents of the look before that this one did not come across.
    fn keep_missing(&mut self, walk: &Walk, previous: &Files) {
        for (path, error) in &walk.failed {
            let reason = match error.kind() {
                io::ErrorKind::NotFound => Reason::Missing,
                _ => Reason::Unreadable(error.to_string()),
            };
            let below = |document: &&Document| Path::new(&document.path).starts_with(path);
            let kept: Vec<Document> = previous.documents.iter().filter(below).cloned().collect();
            // A named path that is gone is more likely a slip than a wish: what it held goes on.
            self.problem(path, reason, !kept.is_empty());
            self.files.documents.extend(kept);
        }
        let found: HashSet<&str> =
            self.files.documents.iter().map(|document| &*document.path).collect();
        let lost = |document: &&Document| !found.contains(&*document.path);
        let lost: Vec<Document> = previous.documents.iter().filter(lost).cloned().collect();
        // Those beyond the limit are left out, and said to be.
        if !walk.cut_off {
            lost.into_iter().for_each(|document| self.keep(document, None));
        }
    }

    /// Keeps a document whose file is gone or empty until the time of grace is over.
    fn keep(&mut self, mut document: Document, empty: Option<Stamp>) {
        let since = document.state.gone_since.unwrap_or(self.now);
        let age = self.now.duration_since(since).unwrap_or_default();
        if age < GRACE {
            document.state = State { stamp: None, gone_since: Some(since) };
            self.files.unsettled = true;
            self.files.documents.push(document);
        } else if let Some(stamp) = empty {
            let state = self.settled(stamp);
            self.files.documents.push(Document { text: "".into(), state, ..document });
        }
    }

    fn extra(&mut self, path: &Path, before: Option<&ExtraFile>) {
        let read = fs::metadata(path)
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => Reason::Missing,
                _ => Reason::Unreadable(error.to_string()),
            })
            .and_then(|metadata| {
                let stamp = Stamp::of(&metadata);
                match before {
                    Some(before) if before.state.stamp == Some(stamp) => Ok(before.clone()),
                    before => {
                        let bytes = read_bounded(path, &metadata)?;
                        let bytes = match before {
                            Some(before) if *before.bytes == *bytes => before.bytes.clone(),
                            _ => bytes.into(),
                        };
                        let state = self.settled(stamp);
                        Ok(ExtraFile { path: path.into(), bytes, state })
                    }
                }
            });
        match read {
            Ok(file) => self.files.extra.push(file),
            Err(reason) => {
                self.problem(path, reason, before.is_some());
                // A certificate that cannot be read now is better than none.
                let kept = before.map(|file| ExtraFile { state: State::default(), ..file.clone() });
                self.files.extra.extend(kept);
            }
        }
    }

    fn settled(&self, stamp: Stamp) -> State {
        let (seconds, nanos) = stamp.changed.max(stamp.modified);
        let changed = SystemTime::UNIX_EPOCH
            + Duration::new(u64::try_from(seconds).unwrap_or(0), u32::try_from(nanos).unwrap_or(0));
        // An error means a stamp in the future: not to be trusted either.
        let trusted = self.now.duration_since(changed).is_ok_and(|age| age > STAMP_STEP);
        State { stamp: trusted.then_some(stamp), gone_since: None }
    }

    fn problem(&mut self, path: &Path, reason: Reason, kept: bool) {
        let path = path.to_string_lossy().into_owned();
        self.files.problems.push(Problem { path, reason, kept });
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn read_bounded(path: &Path, metadata: &Metadata) -> Result<Vec<u8>, Reason> {
    use std::io::Read as _;
    if !metadata.is_file() {
        return Err(Reason::NotAFile);
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(Reason::TooLarge { len: metadata.len() });
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize);
    // It may have grown since it was looked at.
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Reason::Missing,
            _ => Reason::Unreadable(error.to_string()),
        })?;
    match bytes.len() as u64 {
        len if len > FILE_BYTES_MAX => Err(Reason::TooLarge { len }),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests;
