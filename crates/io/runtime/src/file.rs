//! Files that are either the old one or the new one, whatever happens meanwhile.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Puts `bytes` in the place of a file, with these permissions; the folder has to exist. After a
/// crash at any moment the file has its old content or the new one. Blocks: call it by
/// [`crate::task::blocking`]. Only one caller at a time may replace the same file.
///
/// # Errors
///
/// Those of the file system; the old content is still there.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let beside = beside(path);
    let written = write(&beside, bytes, mode).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = written {
        // What is left of it is of no use to anybody.
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    // The new name, too, is to outlive a loss of power.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // One that a crash has left may have other permissions.
    let _ = std::fs::remove_file(path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
