//! A library that lets the guest's kernel run on a CPU with more registers than that knows of.
//!
//! The host sets a process's registers as a whole or not at all (`xstateregs_set` of arch/x86/kernel/fpu/regset.c:
//! EFAULT). Up to Linux 6.12 the guest's kernel has room for those up to AVX-512, so that with AMX no process of a
//! guest ever runs; since 6.13 it asks how many there are ("um: switch to regset API and depend on XSTATE"). Where
//! all fit, the library changes nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::run;

/// Builds it in this directory
pub(super) fn library(directory: &Path) -> Result<PathBuf> {
    let (source, library) = (directory.join("registers.c"), directory.join("registers.so"));
    std::fs::write(&source, include_str!("registers.c"))
        .with_context(|| format!("cannot write {}", source.display()))?;
    run(Command::new("cc")
        .args(["-O2", "-Wall", "-shared", "-fPIC", "-o"])
        .args([&library, &source]))?;
    Ok(library)
}
