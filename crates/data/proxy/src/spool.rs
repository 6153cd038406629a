//! Bodies that are held: the beginning in memory, the rest in a file.
//!
//! A file has no name from its beginning on, so that it is gone with the last handle to it, however
//! the process ends. It is written and read by the worker itself, a piece of a body at a time: what
//! is written goes to the kernel's cache, and what is read back was written moments before, so both
//! are copies of memory on a machine that is not short of it.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weft_runtime::metrics::{Collect, Counter, Sink};

/// Where the files of a process go, and how much they may hold in all.
#[derive(Debug, Clone)]
pub struct SpoolArea(Arc<Area>);

#[derive(Debug)]
struct Area {
    folder: PathBuf,
    bytes_max: u64,
    /// Bytes that files have taken. Workers share it, and touch it once for each [`STEP_BYTES`].
    taken: AtomicU64,
    files: Counter,
    /// Bodies for which there was no room.
    refused: Counter,
}

/// Bytes, and where they are.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    memory: Vec<u8>,
    rest: Option<Box<Rest>>,
}

/// A place in a body, from which its bytes are taken.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    at: u64,
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
}

/// A body that is there whole, wherever its bytes are.
pub(crate) trait Whole {
    /// How many bytes there are.
    fn len(&self) -> u64;

    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    fn chunk<'a>(&'a self, cursor: &'a mut Cursor) -> io::Result<&'a [u8]>;
}

/// A spool takes no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("bodies that are held may take {0} bytes in files, and all of these are taken")]
    Full(u64),
    #[error("a file for a body that is held cannot be made or written")]
    Io(#[source] io::Error),
}

/// What is in the file.
#[derive(Debug)]
struct Rest {
    file: File,
    len: u64,
    taken: u64,
    area: SpoolArea,
}

/// So much is taken from the area at a time.
const STEP_BYTES: u64 = 1 << 20;

/// So much is read from a file at a time: a bulk buffer.
const WINDOW_BYTES: usize = 64 << 10;

// === impl SpoolArea ===

impl SpoolArea {
    /// What the files of a process may hold in all by default: room for a few large uploads, and a
    /// small part of a usual disk.
    pub const BYTES_MAX: u64 = 4 << 30;

    /// Files in `folder`, of at most `bytes_max` in all.
    pub fn new(folder: PathBuf, bytes_max: u64) -> Self {
        let taken = AtomicU64::new(0);
        let (files, refused) = (Counter::default(), Counter::default());
        Self(Arc::new(Area { folder, bytes_max, taken, files, refused }))
    }

    /// What to register: bytes taken, and files made.
    pub fn metrics(&self) -> Arc<dyn Collect> {
        self.0.clone()
    }

    fn file(&self) -> Result<Rest, SpoolError> {
        let file = tempfile::tempfile_in(&self.0.folder).map_err(SpoolError::Io)?;
        self.0.files.add_shared(1);
        Ok(Rest { file, len: 0, taken: 0, area: self.clone() })
    }
}

impl Collect for Area {
    fn collect(&self, sink: &mut Sink) {
        let taken = self.taken.load(Relaxed) as f64;
        sink.gauge("weftway_spool_bytes", "Bytes that held bodies take in files.", &[], taken);
        for (name, help, counter) in [
            (
                "weftway_spool_files_total",
                "Bodies held that were too large for memory.",
                &self.files,
            ),
            (
                "weftway_spool_refused_total",
                "Bodies not held because all that files may take is taken.",
                &self.refused,
            ),
        ] {
            sink.counter(name, help, &[], counter.value());
        }
    }
}

// === impl Spool ===

impl Spool {
    /// Appends. What is beyond `memory_max` goes to a file.
    ///
    /// # Errors
    ///
    /// When the area is full, or the file cannot be written; part of the bytes may be there then.
    pub(crate) fn write(
        &mut self,
        mut bytes: &[u8],
        memory_max: usize,
        area: &SpoolArea,
    ) -> Result<(), SpoolError> {
        if self.rest.is_none() {
            let room = memory_max.saturating_sub(self.memory.len()).min(bytes.len());
            self.memory.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let rest = match &mut self.rest {
            Some(rest) => rest,
            None => self.rest.insert(Box::new(area.file()?)),
        };
        rest.write(bytes)
    }

    /// How many of the bytes are in memory.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.len() as u64
    }
}

// === impl Rest ===

impl Rest {
    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let Area { taken, bytes_max, refused, .. } = &*self.area.0;
        let wanted = self.len + bytes.len() as u64;
        if wanted > self.taken {
            let step = (wanted - self.taken).next_multiple_of(STEP_BYTES);
            let room = |all: u64| all.checked_add(step).filter(|all| all <= bytes_max);
            if taken.fetch_update(Relaxed, Relaxed, room).is_err() {
                refused.add_shared(1);
                return Err(SpoolError::Full(*bytes_max));
            }
            self.taken += step;
        }
        self.file.write_all(bytes).map_err(SpoolError::Io)?;
        self.len = wanted;
        Ok(())
    }
}

impl Drop for Rest {
    fn drop(&mut self) {
        self.area.0.taken.fetch_sub(self.taken, Relaxed);
    }
}

// === impl Whole ===

impl Whole for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn chunk<'a>(&'a self, cursor: &'a mut Cursor) -> io::Result<&'a [u8]> {
        Ok(&self[cursor.at as usize..])
    }
}

impl Whole for Spool {
    fn len(&self) -> u64 {
        self.memory.len() as u64 + self.rest.as_ref().map_or(0, |rest| rest.len)
    }

    fn chunk<'a>(&'a self, cursor: &'a mut Cursor) -> io::Result<&'a [u8]> {
        let memory = self.memory.len() as u64;
        let Cursor { at, window, start } = cursor;
        if *at < memory {
            return Ok(&self.memory[*at as usize..]);
        }
        let Some(rest) = &self.rest else { return Ok(&[]) };
        if *at < *start || *at >= *start + window.len() as u64 {
            let left = (self.len() - *at).min(WINDOW_BYTES as u64);
            window.resize(left as usize, 0);
            *start = *at;
            rest.file.read_exact_at(window, *at - memory)?;
        }
        Ok(&window[(*at - *start) as usize..])
    }
}

// === impl Cursor ===

impl Cursor {
    /// How many bytes are behind it.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on by so many bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.at += count as u64;
    }
}
