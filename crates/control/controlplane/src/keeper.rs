//! The authority, and the sealed file that it lives in.

#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use weft_authority::{Authority, CannotOpen, JoinTokens, Seal, Secret, State};
use weft_runtime::{file, task};

use crate::metrics::{Metrics, Store};

/// Who may read the sealed file. It is of no use without the secret, and nobody else's business.
const MODE: u32 = 0o600;

/// Holds the authority. A change is written to its file before it takes effect.
#[derive(Debug)]
pub struct Keeper {
    state: RefCell<State>,
    file: Option<SealedFile>,
    /// One change at a time.
    changing: Mutex<()>,
    /// Says that the authority is another one.
    changed: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

/// The authority cannot be kept in that file.
#[derive(Debug, thiserror::Error)]
pub enum CannotKeep {
    /// It cannot be read or written.
    #[error("the file of the authority, {path}, cannot be used")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It does not open.
    #[error("the file of the authority, {path}, does not open")]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CannotOpen,
    },
    /// The process ends.
    #[error("the process ends")]
    Ended,
}

/// A change that was not made.
#[derive(Debug, thiserror::Error)]
pub enum CannotChange<E: Error + 'static> {
    /// The authority refuses.
    #[error(transparent)]
    Refused(E),
    /// It could not be written down.
    #[error("it cannot be written down, so it was not done")]
    NotKept(#[source] CannotKeep),
}

/// The file of an authority, as it was found.
#[derive(Debug)]
pub enum Opened {
    /// There is none yet.
    Missing(Vacancy),
    /// This is in it.
    Found(Box<Keeper>),
}

/// A file that the first authority is written to.
#[derive(Debug)]
pub struct Vacancy(SealedFile);

struct SealedFile {
    path: PathBuf,
    seal: Seal,
}

// === impl Keeper ===

impl Keeper {
    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// [`CannotKeep`]. A file that does not open is never replaced.
    pub async fn open(path: &Path, secret: &Secret) -> Result<Opened, CannotKeep> {
        let (at, secret) = (path.to_owned(), secret.clone());
        // A passphrase takes its time, by intention.
        let opened = task::blocking(move || match std::fs::read(&at) {
            Ok(bytes) => match Seal::open(&bytes, &secret) {
                Ok((state, seal)) => Ok((Some(state), seal)),
                Err(source) => Err(CannotKeep::Sealed { path: at, source }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((None, Seal::new(&secret))),
            Err(source) => Err(CannotKeep::File { path: at, source }),
        });
        let (state, seal) = opened.await.map_err(|_| CannotKeep::Ended)??;
        let file = SealedFile { path: path.to_owned(), seal };
        Ok(match state {
            Some(state) => Opened::Found(Box::new(Self::new(state, Some(file)))),
            None => Opened::Missing(Vacancy(file)),
        })
    }

    /// Keeps the authority in memory alone: it ends with the process.
    pub fn in_memory(authority: Authority) -> Self {
        Self::new(State { authority, tokens: JoinTokens::new() }, None)
    }

    fn new(state: State, file: Option<SealedFile>) -> Self {
        Self {
            state: RefCell::new(state),
            file,
            changing: Mutex::new(()),
            changed: watch::Sender::new(()),
            metrics: Arc::default(),
        }
    }

    /// The authority of now.
    pub fn authority(&self) -> Authority {
        self.state.borrow().authority.clone()
    }

    /// Sets up the authority before a control plane begins.
    ///
    /// # Errors
    ///
    /// What `change` says, or that it cannot be written down. Then nothing has changed.
    pub async fn set_up<E: Error + 'static>(
        &self,
        change: impl FnOnce(&mut Authority) -> Result<(), E>,
    ) -> Result<(), CannotChange<E>> {
        self.change(|state| change(&mut state.authority)).await
    }

    /// What its control plane counts.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// Says whenever the authority has become another one.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Changes the state: on a copy, which is written down and then put in place.
    ///
    /// Cancel safe: the change is made or not. One that was cancelled may be found after a restart.
    pub(crate) async fn change<T, E: Error + 'static>(
        &self,
        change: impl FnOnce(&mut State) -> Result<T, E>,
    ) -> Result<T, CannotChange<E>> {
        let _one_at_a_time = self.changing.lock().await;
        let mut state = self.state.borrow().clone();
        let made = change(&mut state).map_err(CannotChange::Refused)?;
        if let Some(file) = &self.file {
            let written = file.write(&state).await;
            written.map_err(|error| {
                self.metrics.failed(Store::Authority);
                CannotChange::NotKept(error)
            })?;
        }
        self.state.replace(state);
        self.changed.send_replace(());
        Ok(made)
    }
}

// === impl Vacancy ===

impl Vacancy {
    /// Writes the first authority, and keeps it.
    ///
    /// # Errors
    ///
    /// [`CannotKeep::File`].
    pub async fn fill(self, authority: Authority) -> Result<Keeper, CannotKeep> {
        let state = State { authority, tokens: JoinTokens::new() };
        self.0.write(&state).await?;
        Ok(Keeper::new(state, Some(self.0)))
    }
}

// === impl SealedFile ===

impl fmt::Debug for SealedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl SealedFile {
    async fn write(&self, state: &State) -> Result<(), CannotKeep> {
        let (path, bytes) = (self.path.clone(), self.seal.seal(state));
        let written = task::blocking(move || {
            file::replace(&path, &bytes, MODE)
                .map_err(|source| CannotKeep::File { path: path.clone(), source })
        });
        written.await.map_err(|_| CannotKeep::Ended)?
    }
}
