//! What is served, written down for those who look for it: `weavectl env`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use api::DockerServed;

/// A file with a line for each place, which goes with this unless somebody put another in its place
#[derive(Debug)]
pub(crate) struct Record {
    path: PathBuf,
    identity: Option<(u64, u64)>,
}

impl Record {
    /// Writes it, whole or not at all
    pub(crate) fn write(path: &Path, served: &[DockerServed]) -> io::Result<Self> {
        let text: String = served.iter().map(|served| format!("{served}\n")).collect();
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(&new, path)?;
        Ok(Self {
            path: path.to_owned(),
            identity: identity(path),
        })
    }
}

impl Drop for Record {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    #[test]
    fn it_is_there_as_long_as_what_it_tells_of() {
        let directory = Directory::new();
        let path = directory.path("weave/docker.hosts");
        let served = |lines: &[&str]| -> Vec<DockerServed> {
            lines.iter().map(|line| line.parse().unwrap()).collect()
        };
        let first = Record::write(&path, &served(&["unix:///run/p.sock", "tcp://h:1 tls"])).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "unix:///run/p.sock\ntcp://h:1 tls\n"
        );
        let second = Record::write(&path, &served(&["tcp://[::1]:2"])).unwrap();
        drop(first);
        assert_eq!(fs::read_to_string(&path).unwrap(), "tcp://[::1]:2\n");
        drop(second);
        assert!(!path.exists());
    }
}
