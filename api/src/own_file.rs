//! A file that is there as long as who made it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A file, which goes with this unless somebody put another in its place
#[derive(Debug)]
pub struct OwnFile {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl OwnFile {
    /// What is there, and was just made
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }

    /// Where it is
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if identity(&self.path) == self.identity {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
