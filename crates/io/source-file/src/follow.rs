//! Reading and watching together.

use weft_runtime::time;

use crate::files::{FileSource, Files, GRACE};
use crate::watch::{WatchError, Watcher};

/// A source that is followed: [`Following::next`] gives the whole set whenever it changed.
#[derive(Debug)]
pub struct Following {
    source: FileSource,
    watcher: Watcher,
    files: Files,
}

impl Following {
    /// Reads a source for the first time and starts watching it.
    ///
    /// # Errors
    ///
    /// [`WatchError`] when the system gives no watcher. Files that cannot be read are problems in
    /// [`Following::files`].
    pub fn start(source: FileSource) -> Result<Self, WatchError> {
        let (watcher, files) = (Watcher::new()?, Files::default());
        let mut following = Self { source, watcher, files };
        following.read();
        Ok(following)
    }

    /// The set as it was last given out.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The source.
    pub fn source(&self) -> &FileSource {
        &self.source
    }

    /// Why a folder is not watched, if so: see [`Watcher::refused`].
    pub fn refused(&self) -> Option<&str> {
        self.watcher.refused()
    }

    /// Waits until the set is another than the one given out before, and gives it. Files that were
    /// touched without a change of content do not count. Reads block the thread; call it on one
    /// that serves no traffic.
    ///
    /// Cancel safe: what was noticed is given by the next call.
    pub async fn next(&mut self) -> &Files {
        loop {
            match self.files.is_unsettled() {
                // Early events only make the look come earlier.
                true => {
                    let _ = time::timeout(GRACE, self.watcher.look()).await;
                }
                false => self.watcher.look().await,
            }
            if self.read() {
                return &self.files;
            }
        }
    }

    /// Looks until nothing is new to watch; returns whether the set changed.
    fn read(&mut self) -> bool {
        let before = std::mem::take(&mut self.files);
        let writing = self.watcher.writing();
        let mut files = self.source.read_while(&before, &writing);
        // Folders below folders can appear faster than we look; the periodic look has the rest.
        for _ in 0..4 {
            if !self.watcher.watch(&self.source, &files) {
                break;
            }
            files = self.source.read_while(&files, &writing);
        }
        self.files = files;
        !self.files.same_as(&before)
    }
}

#[cfg(test)]
mod tests;
