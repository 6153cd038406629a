//! An asynchronous runtime on a thread of its own, for synchronous tests.

use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Runs tasks until it is dropped.
#[derive(Debug)]
pub(crate) struct Background {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

// === impl Background ===

impl Background {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        });
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Starts a task; it ends with its future or with this value.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(task));
    }

    /// Waits for a future, at most the usual deadline.
    pub(crate) fn wait<T>(&self, what: &str, future: impl Future<Output = T>) -> T {
        self.handle.block_on(async {
            match tokio::time::timeout(crate::wait::DEADLINE, future).await {
                Ok(value) => value,
                Err(_) => panic!("waited {:?} in vain for {what}", crate::wait::DEADLINE),
            }
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
