//! The newest Docker that Debian has, beside the one of this machine's release: its own directory, from which
//! the lab starts it.
//!
//! apt fetches the package, and verifies it by Debian's signatures, with lists and a cache of their own: what
//! this machine knows of packages stays as it is. containerd and runc are this machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::build::Workspace;
use crate::command::run;

/// The directory beside what cargo builds, where the lab looks for it
const DIRECTORY: &str = "docker-newest";
/// Debian's release without an end
const SUITE: &str = "sid";
const PACKAGE: &str = "docker.io";
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fetches and unpacks it, unless it is there; says why, where it cannot be had
pub(crate) fn docker() -> Result<()> {
    let directory = Workspace::find()?.directory(DIRECTORY)?;
    if directory.join("root/usr/sbin/dockerd").is_file() {
        return Ok(());
    }
    println!(
        "the newest Docker comes to {}, for the lab alone",
        directory.display()
    );
    if let Err(error) = fetch(&directory) {
        println!("  it cannot be had, and scenarios with it will be skipped: {error:#}");
    }
    Ok(())
}

fn fetch(directory: &Path) -> Result<()> {
    ensure!(
        Path::new(KEYS).exists(),
        "{KEYS} is missing: is this machine a Debian?"
    );
    let own = Own::create(directory)?;
    println!("  … apt-get update, of {SUITE} alone");
    run(own.apt().arg("update"))?;
    println!("  … apt-get download {PACKAGE}");
    run(own.apt().args(["download", PACKAGE]).current_dir(&own.scratch))?;
    let package = own.package()?;
    // A name that is only there when all is.
    let unpacked = own.scratch.join("root");
    run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked))?;
    fs::rename(unpacked, directory.join("root")).context("cannot rename what was unpacked")
}

/// What apt is told instead of what this machine's is; removed when this is dropped
#[derive(Debug)]
struct Own {
    scratch: PathBuf,
}

impl Own {
    fn create(directory: &Path) -> Result<Self> {
        let own = Self {
            scratch: directory.join("scratch"),
        };
        fs::remove_dir_all(&own.scratch).ok();
        for name in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(own.scratch.join(name)).context("cannot make directories for apt")?;
        }
        let source = format!("deb [signed-by={KEYS}] http://deb.debian.org/debian {SUITE} main\n");
        fs::write(own.sources(), source).context("cannot write the source for apt")?;
        Ok(own)
    }

    fn sources(&self) -> PathBuf {
        self.scratch.join("sources.list")
    }

    fn apt(&self) -> Command {
        let mut command = Command::new("apt-get");
        command.args(["-qq", "-o", "Dir::Etc::SourceParts=/dev/null"]);
        for (name, path) in [
            ("Dir::Etc::SourceList", self.sources()),
            ("Dir::State::Lists", self.scratch.join("lists")),
            ("Dir::Cache", self.scratch.join("cache")),
        ] {
            command.arg("-o").arg(format!("{name}={}", path.display()));
        }
        // The directory may be root's alone; and one package's entry is all that is wanted of the lists.
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Acquire::Languages=none"]);
        for list in ["deb::DEP-11", "deb::Contents-deb", "deb::CNF"] {
            let option = format!("Acquire::IndexTargets::{list}::DefaultEnabled=false");
            command.arg("-o").arg(option);
        }
        command
    }

    fn package(&self) -> Result<PathBuf> {
        let entries = fs::read_dir(&self.scratch)?.collect::<Result<Vec<_>, _>>()?;
        let mut paths = entries.into_iter().map(|entry| entry.path());
        paths
            .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
            .context("apt-get downloaded no package")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.scratch).ok();
    }
}
