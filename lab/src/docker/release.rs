//! Which of the machine's Dockers the hosts of a lab run.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::command::run_here;
use crate::scenario::Skip;

/// Where `cargo xtask setup` puts the newest Docker, from the directory of what is built
const NEWEST: &str = "docker-newest/root/usr/sbin";

/// One of them
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Release {
    /// The one that is installed
    #[default]
    Installed,
    /// The newest that Debian has
    Newest,
}

impl Release {
    /// Both
    pub const ALL: [Self; 2] = [Self::Installed, Self::Newest];

    /// The newest that there is on this machine
    pub fn newest_here() -> Self {
        match Self::Newest.expect() {
            Ok(()) => Self::Newest,
            Err(_missing) => Self::Installed,
        }
    }

    /// What follows the name of a scenario that is run with it
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Installed => "",
            Self::Newest => "@newest",
        }
    }

    /// Where its programs are, if not where they are found by themselves
    fn directory(self) -> Option<PathBuf> {
        match self {
            Self::Installed => None,
            Self::Newest => {
                let told = std::env::var_os("WEAVE_NEWEST_DOCKER").map(PathBuf::from);
                told.or_else(|| {
                    let program = std::env::current_exe().ok()?;
                    Some(program.parent()?.parent()?.join(NEWEST))
                })
            }
        }
    }

    /// One of its programs
    pub(crate) fn program(self, name: &str) -> PathBuf {
        let directory = self.directory();
        directory.map_or_else(
            || Path::new("/usr/sbin").join(name),
            |directory| directory.join(name),
        )
    }

    /// Where a host with it looks for programs
    pub(crate) fn path(self) -> OsString {
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let mut all = vec![PathBuf::from("/run/bin")];
        all.extend(self.directory());
        all.extend(std::env::split_paths(&usual));
        std::env::join_paths(all).unwrap_or(usual)
    }

    /// Fails with what is missing on this machine
    pub(crate) fn expect(self) -> Result<()> {
        let is_here = run_here(&["sh", "-c", "command -v dockerd && command -v docker"])?;
        ensure!(
            is_here.status.success(),
            Skip("this machine has no Docker; cargo xtask setup installs it".to_owned())
        );
        if let Some(directory) = self.directory() {
            ensure!(
                directory.join("dockerd").is_file(),
                Skip(format!(
                    "there is no newest Docker in {}; cargo xtask setup fetches it",
                    directory.display()
                ))
            );
        }
        Ok(())
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Installed => "the installed Docker",
            Self::Newest => "the newest Docker",
        })
    }
}
