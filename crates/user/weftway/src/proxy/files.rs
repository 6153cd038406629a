//! Files of this machine that documents name for calls: certificates to show, authorities to trust.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weft_link::files::{filled, named};
use weft_model::Snapshot;
use weft_source_file::{FileSource, Following};

/// The files of the plan in force, followed for as long as it names them.
#[derive(Debug, Default)]
pub(super) struct LocalFiles {
    paths: BTreeSet<Box<str>>,
    following: Option<Following>,
    /// The last plan that was filled.
    before: Option<Arc<Snapshot>>,
}

impl LocalFiles {
    /// The plan with what the files that it names hold now. Reads them when they are others than
    /// before; what cannot be read is logged, and its backends are called by nobody.
    pub(super) fn fill(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let paths = named(&snapshot);
        if paths != self.paths {
            self.follow(&paths);
            self.paths = paths;
        }
        let Some(following) = &self.following else {
            self.before = None;
            return snapshot;
        };
        let files = following.files();
        let content = |path: &str| files.extra(Path::new(path)).cloned();
        let whole = Arc::new(filled(&snapshot, &content, self.before.as_deref()));
        self.before = Some(Arc::clone(&whole));
        whole
    }

    /// Waits until one of the files has another content.
    ///
    /// Cancel safe.
    pub(super) async fn changed(&mut self) {
        match &mut self.following {
            Some(following) => {
                following.next().await;
                self.tell();
            }
            None => std::future::pending().await,
        }
    }

    fn follow(&mut self, paths: &BTreeSet<Box<str>>) {
        let extra: Vec<PathBuf> = paths.iter().map(|path| PathBuf::from(&**path)).collect();
        self.following = match extra.is_empty() {
            true => None,
            false => Following::start(FileSource::new(Vec::new(), extra))
                .inspect_err(|error| tracing::error!("files cannot be watched: {error}"))
                .ok(),
        };
        self.tell();
    }

    /// Says what cannot be read.
    fn tell(&self) {
        let Some(following) = &self.following else { return };
        for problem in &following.files().problems {
            tracing::error!("{problem}: calls that need it fail");
        }
    }
}
