//! Disks that answer late, are full, or read-only.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{DEADLINE, run, run_here};
use crate::topology::Host;
use crate::weave::Launch;

/// A disk whose answers to `fdatasync` come late, for one weaved only
#[derive(Debug)]
pub struct SlowDisk {
    library: PathBuf,
    delay: PathBuf,
}

impl SlowDisk {
    /// One that is as quick as ever, until it is told otherwise
    pub fn create(host: &Host) -> Result<Self> {
        let [source, library, delay] = ["disk.c", "disk.so", "delay"].map(|name| host.files().join(name));
        fs::write(&source, include_str!("disk.c"))?;
        let mut compiler = Command::new("cc");
        compiler
            .args(["-O2", "-Wall", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl");
        run(compiler, DEADLINE)?.ok()?;
        let disk = Self { library, delay };
        disk.take(Duration::ZERO)?;
        Ok(disk)
    }

    /// A launch of the weaved whose disk it is
    pub fn under(&self, launch: &Launch) -> Launch {
        launch
            .clone()
            .environment("LD_PRELOAD", &self.library.to_string_lossy())
            .environment("SLOW_DISK", &self.delay.to_string_lossy())
    }

    /// Each answer takes so long from here on
    pub fn take(&self, delay: Duration) -> Result<()> {
        let new = self.delay.with_extension("new");
        fs::write(&new, delay.as_millis().to_string())?;
        fs::rename(new, &self.delay).context("cannot set the delay of the disk")
    }
}

/// A file system of 4 MiB in memory, in the place of a host's state directory; unmounted when it is dropped
#[derive(Debug)]
pub struct SmallDisk {
    mounted: PathBuf,
}

impl SmallDisk {
    /// An empty one
    pub fn mount(host: &Host) -> Result<Self> {
        let mounted = host.state_dir();
        fs::create_dir_all(&mounted)?;
        let path = mounted.to_string_lossy().into_owned();
        run_here(&[
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=4m,mode=0700",
            "weave-lab",
            &path,
        ])?
        .ok()?;
        Ok(Self { mounted })
    }

    /// Leaves no room on it, also where there was none a moment ago: a file that was to grow may have shrunk since
    pub fn fill(&self) -> Result<()> {
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.filler())?;
        while file.write_all(&[1; 4096]).is_ok() {}
        Ok(())
    }

    /// Makes room
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("cannot free the disk")
    }

    /// Makes it read-only, or writable
    pub fn set_read_only(&self, read_only: bool) -> Result<()> {
        let options = if read_only { "remount,ro" } else { "remount,rw" };
        let path = self.mounted.to_string_lossy().into_owned();
        run_here(&["mount", "-o", options, &path])?.ok().map(drop)
    }

    /// Where it is
    pub fn path(&self) -> &Path {
        &self.mounted
    }

    fn filler(&self) -> PathBuf {
        self.mounted.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let path = self.mounted.to_string_lossy().into_owned();
        if let Err(error) = run_here(&["umount", "-l", &path]).and_then(crate::command::Finished::ok) {
            eprintln!("cannot unmount {path}: {error:#}");
        }
    }
}
