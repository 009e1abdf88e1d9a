//! What is served, written down for those who look for it: `weavectl env`.

use std::fs;
use std::io;
use std::path::Path;

use api::{DockerServed, OwnFile};

/// A file with a line for each place; it goes with this unless somebody put another in its place
#[derive(Debug)]
pub(crate) struct Record(#[expect(dead_code, reason = "it is held until its end")] OwnFile);

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
        Ok(Self(OwnFile::at(path)))
    }
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
