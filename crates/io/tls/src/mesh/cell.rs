//! The credentials in force, replaced while connections come and go.

use std::sync::Arc;

use tokio::sync::watch;

use super::MeshTls;

/// Holds the newest [`MeshTls`]. Clones share it, across threads; whoever begins a handshake asks
/// for the current one.
#[derive(Debug, Clone, Default)]
pub struct MeshTlsCell(watch::Sender<Option<Arc<MeshTls>>>);

// === impl MeshTlsCell ===

impl MeshTlsCell {
    /// Nothing is in force yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts credentials in force, for handshakes that begin from now on. Sessions of the ones
    /// before are not resumed.
    pub fn set(&self, tls: MeshTls) {
        self.0.send_replace(Some(Arc::new(tls)));
    }

    /// What is in force. Locked while the pointer is copied, and written a few times a day.
    pub fn current(&self) -> Option<Arc<MeshTls>> {
        self.0.borrow().clone()
    }

    /// Waits until there are credentials.
    ///
    /// Cancel safe.
    pub async fn ready(&self) -> Arc<MeshTls> {
        let mut receiver = self.0.subscribe();
        let found = receiver.wait_for(Option::is_some).await;
        let found = found.expect("this cell is itself a sender");
        found.clone().expect("waited for")
    }
}
