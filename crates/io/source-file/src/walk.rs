//! Which files a set of paths stands for.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// Folders below a given one that are entered; symbolic links could make it endless.
const DEPTH_MAX: usize = 32;

/// Files taken from all paths together. A mesh of ten thousand services, each in its own file.
pub(crate) const FILES_MAX: usize = 20_000;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// Files with their metadata (of what a link leads to), in order: as given, and by name
    /// within a folder.
    pub(crate) files: Vec<Found>,
    /// Every folder that was entered.
    pub(crate) folders: Vec<PathBuf>,
    /// Paths that could not be looked at.
    pub(crate) failed: Vec<(PathBuf, io::Error)>,
    /// Whether [`FILES_MAX`] was reached.
    pub(crate) cut_off: bool,
    seen: HashSet<PathBuf>,
}

/// A file.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) metadata: Metadata,
    /// Named by the user, not found in a folder.
    pub(crate) named: bool,
}

impl Walk {
    /// Looks at every path: a file counts whatever its name, of a folder the documents in it.
    pub(crate) fn of(paths: &[PathBuf]) -> Self {
        let mut walk = Self::default();
        for path in paths {
            walk.path(path, true, 0);
        }
        walk
    }

    fn path(&mut self, path: &Path, named: bool, depth: usize) {
        let looked = fs::metadata(path).and_then(|metadata| Ok((metadata, path.canonicalize()?)));
        let (metadata, real) = match looked {
            Ok(looked) => looked,
            Err(error) => return self.failed.push((path.into(), error)),
        };
        // A file that is named and also lies in a named folder counts once; a loop of links ends.
        if !self.seen.insert(real) {
            return;
        }
        if !metadata.is_dir() {
            if self.files.len() == FILES_MAX {
                self.cut_off = true;
                return;
            }
            return self.files.push(Found { path: path.into(), metadata, named });
        }
        if depth > DEPTH_MAX {
            return;
        }
        self.folders.push(path.into());
        match children(path) {
            Ok(children) => {
                for child in children {
                    self.child(&child, depth);
                }
            }
            Err(error) => self.failed.push((path.into(), error)),
        }
    }

    fn child(&mut self, path: &Path, depth: usize) {
        if is_hidden(path) {
            return;
        }
        // A link that leads nowhere, or a file that goes away at this moment, is not the user's
        // error: only named paths are reported as missing.
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() || is_document(path) => {
                self.path(path, false, depth + 1);
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.failed.push((path.into(), error)),
        }
    }
}

/// The entries of a folder by name, so that every look has the same order.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    children.sort();
    Ok(children)
}

/// Hidden entries are the business of editors and of Kubernetes, whose `..data` and timestamped
/// folders hold what the links beside them show.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn is_document(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str);
    extension.is_some_and(|extension| {
        ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

#[cfg(test)]
mod tests;
