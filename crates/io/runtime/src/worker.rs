//! Threads with a single-threaded runtime each.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// Enough for password hashing and file reading beside traffic; more would only take the cores
/// away from it.
const BLOCKING_THREADS_MAX: usize = 4;

/// How many events one look at the kernel may bring. More batches better, fewer is fairer to the
/// tasks that are already awake.
const EVENTS_PER_TICK: usize = 256;

/// Runs `main` to its end on the present thread, with a runtime of its own. Used for the control
/// thread (the process's first).
///
/// # Errors
///
/// When the system cannot give a runtime (descriptors are exhausted).
pub fn block_on<F: Future>(main: F) -> io::Result<F::Output> {
    let runtime = runtime()?;
    let output = runtime.block_on(main);
    // A blocking task (a password hash, say) must not hold up the end of the process.
    runtime.shutdown_background();
    Ok(output)
}

/// Starts one worker thread and runs on it what `main` makes. Joining the thread gives the error of
/// [`block_on`], if there was one.
///
/// # Errors
///
/// When the thread cannot be started.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn spawn<M, F>(name: &str, main: M) -> io::Result<JoinHandle<io::Result<()>>>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = ()>,
{
    std::thread::Builder::new().name(name.into()).spawn(move || block_on(async { main().await }))
}

/// Starts a thread for work that blocks for the life of the process, such as writing a log.
#[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
pub fn spawn_blocking(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = std::thread::Builder::new().name(name.into()).spawn(work) {
        tracing::error!(thread = name, %error, "a thread cannot be started");
    }
}

/// Cores this process may use; at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread()
        .enable_all()
        .max_io_events_per_tick(EVENTS_PER_TICK)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build_local(LocalOptions::default())
}
