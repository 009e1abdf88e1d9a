//! What tests of several modules need.

use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is gone afterwards
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("weaved-test-{}-{name}", std::process::id()));
        let _absent = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _absent = fs::remove_dir_all(&self.0);
    }
}
