//! What a machine can say about the code without running it.

use anyhow::Result;

use crate::build::Workspace;
use crate::command::{cargo, run};
use crate::purity;
use crate::stage::Stages;

/// All of it
pub(crate) fn lint() -> Result<()> {
    let workspace = Workspace::find()?;
    let mut stages = Stages::default();
    stages.run("formatting", || {
        run(cargo().args(["fmt", "--all", "--check"]))?;
        // A workspace of its own
        run(cargo().args(["fmt", "--check", "--manifest-path", "fuzz/Cargo.toml"]))
    })?;
    stages.run("pure crates", || purity::check(&workspace.root))?;
    stages.run("clippy", || {
        run(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "--deny=warnings",
        ]))
    })?;
    stages.run("clippy for what needs valgrind to run", || {
        // Cargo leaves it out of all targets.
        run(cargo().args([
            "clippy",
            "--package=benches",
            "--bench=instructions",
            "--quiet",
            "--",
            "--deny=warnings",
        ]))
    })?;
    stages.run("documentation", || {
        let mut doc = cargo();
        doc.args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--quiet",
        ]);
        run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
    })?;
    stages.summary();
    Ok(())
}
