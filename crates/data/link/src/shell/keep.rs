//! What is kept on disk.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};

use weft_runtime::{file, task, time};
use zeroize::Zeroizing;

use super::Shared;
use crate::held::Held;
use crate::saved;
use crate::state::State;

/// The state may hold keys of certificates that documents give for calls.
const STATE_MODE: u32 = 0o600;

/// A private key.
const CREDENTIALS_MODE: u32 = 0o600;

/// Puts in force what an earlier process has kept.
pub(super) async fn load(shared: &Shared) -> State {
    let settings = &shared.settings;
    if let Some(bytes) = read(settings.credentials_path.as_deref()).await {
        let bytes = Zeroizing::new(bytes);
        let held = Held::from_bytes(&bytes, &settings.identity, settings.clock.now());
        let held = held.map_err(|error| super::Broken::Certificate(error.into()));
        if let Err(error) = held.and_then(|held| shared.put_in_force(held)) {
            let error = super::describe(&error);
            tracing::warn!(error, "the certificate that was kept is of no use");
        }
    }
    let Some(bytes) = read(settings.state_path.as_deref()).await else { return State::default() };
    match saved::load(&bytes) {
        Ok(state) => {
            shared.put_out(state.clone());
            state
        }
        Err(error) => {
            tracing::warn!(%error, "the state that was kept is of no use");
            State::default()
        }
    }
}

/// Writes the state down whenever it has changed, but not more often than that.
pub(super) async fn keep_state(shared: &Shared) {
    let Some(path) = &shared.settings.state_path else { return pending().await };
    let mut states = shared.state.subscribe();
    while states.changed().await.is_ok() {
        let state = states.borrow_and_update().clone();
        write(path.clone(), STATE_MODE, move || saved::save(&state)).await;
        time::sleep(shared.settings.times.save).await;
    }
}

/// Writes the certificate down whenever there is another one.
pub(super) async fn keep_credentials(shared: &Shared) {
    let Some(path) = &shared.settings.credentials_path else { return pending().await };
    let mut all = shared.held.subscribe();
    while all.changed().await.is_ok() {
        let held = all.borrow_and_update().clone();
        if let Some(held) = held {
            write(path.clone(), CREDENTIALS_MODE, move || held.to_bytes()).await;
        }
    }
}

async fn read(path: Option<&Path>) -> Option<Vec<u8>> {
    let path = path?.to_owned();
    let at = path.clone();
    match task::blocking(move || std::fs::read(&at)).await {
        Ok(Ok(bytes)) => Some(bytes),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
        Ok(Err(error)) => {
            tracing::warn!(?path, %error, "what was kept cannot be read");
            None
        }
        // The process ends.
        Err(task::Ended) => None,
    }
}

async fn write<B: AsRef<[u8]>>(
    path: PathBuf,
    mode: u32,
    bytes: impl FnOnce() -> B + Send + 'static,
) {
    let at = path.clone();
    let written = task::blocking(move || file::replace(&at, bytes().as_ref(), mode));
    if let Ok(Err(error)) = written.await {
        tracing::warn!(?path, %error, "what is to be kept cannot be written");
    }
}
