//! The folder of a mesh on this machine: keys and sockets are in it, so it has to be its owner's.

#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The bits of a mode that let the group and others write.
const WRITABLE: u32 = 0o022;

/// Where a mesh has its folder: where it is said to be, or else `/run/weftway` for root and
/// `$XDG_RUNTIME_DIR/weftway` for others. Where the system has no folder of that kind it is one with
/// the user's number among the temporary files, where others could have made it: see [`check`].
#[expect(clippy::disallowed_methods, reason = "the folder follows from the user's session")]
pub(crate) fn path(given: Option<&Path>) -> PathBuf {
    let own = || {
        let uid = rustix::process::getuid();
        let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        match session.filter(|path| path.is_absolute()) {
            _ if uid.is_root() => PathBuf::from("/run/weftway"),
            Some(session) => session.join("weftway"),
            None => std::env::temp_dir().join(format!("weftway-{}", uid.as_raw())),
        }
    };
    given.map_or_else(own, Path::to_path_buf)
}

/// Makes the folder, if it is not there, and checks it.
///
/// Workloads of root's mesh run as others, and have to get at its sockets.
///
/// # Errors
///
/// As [`check`] says, or that it cannot be made.
pub(crate) fn make(path: &Path) -> anyhow::Result<()> {
    let context = || format!("{} cannot be made (see --state)", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(context)?;
    }
    let mode = if rustix::process::getuid().is_root() { 0o755 } else { 0o700 };
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(context)
        }
        Ok(()) | Err(_) => check(path),
    }
}

/// Checks that nobody but this user and root can replace what is in the folder. Who asks there is
/// else answered by anybody.
///
/// # Errors
///
/// When somebody else can, or there is no such folder.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    let context = || format!("{} cannot be looked at (see --state)", path.display());
    let link = path.symlink_metadata().with_context(context)?;
    // A link of somebody else leads where that user wants.
    is_ours(path, &link)?;
    let folder = path.metadata().with_context(context)?;
    is_ours(path, &folder)?;
    if !folder.is_dir() {
        bail!("{} is no folder (see --state)", path.display());
    }
    if folder.mode() & WRITABLE != 0 {
        let path = path.display();
        bail!("others may write to {path}: forbid it with `chmod go-w {path}`, or see --state");
    }
    Ok(())
}

fn is_ours(path: &Path, found: &Metadata) -> anyhow::Result<()> {
    let own = rustix::process::getuid().as_raw();
    match found.uid() {
        uid if uid == own || uid == 0 => Ok(()),
        uid => bail!("{} belongs to user {uid}, not to you (see --state)", path.display()),
    }
}
