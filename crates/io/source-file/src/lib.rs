//! Files and folders of documents: reads the whole set, and follows its changes.
//!
//! Nothing here knows what is in the documents or who compiles them. A watch event carries no
//! information: it says *look*, and what is true is read from the files. So lost, doubled or
//! reordered events do no harm, and a periodic look covers file systems that send none.
//!
//! A set is protected against half-done changes: editors that empty a file before they write it,
//! or rename it away before the new one is there, are waited for ([`files::GRACE`]), and so is who
//! writes a file piece by piece ([`watch::WRITING_MAX`]); what cannot be read keeps its last good
//! text, and a problem says so.

pub mod files;
pub mod follow;
mod walk;
pub mod watch;

pub use files::{Document, ExtraFile, FileSource, Files, Problem, Reason};
pub use follow::Following;
pub use watch::{WatchError, Watcher};
