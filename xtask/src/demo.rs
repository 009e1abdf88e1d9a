//! The demo: three hosts, on the kernel with Open vSwitch and on the one without.

use std::process::Command;

use anyhow::Result;

use crate::build::{self, Profile, Workspace};
use crate::command::{quoted, run};
use crate::guest::{Guest, WHOLE_RUN};
use crate::setup::setup;
use crate::stage::Stages;
use crate::test::has_open_vswitch;

/// Sets up, builds, shows
pub(crate) fn demo() -> Result<()> {
    let workspace = Workspace::find()?;
    let mut stages = Stages::default();
    stages.run("set-up", setup)?;
    stages.run("release build", || build::lab(Profile::Release))?;
    let lab = workspace.program(Profile::Release, "weave-lab");
    if has_open_vswitch() {
        stages.run("three hosts on this kernel", || {
            run(Command::new(&lab).arg("demo"))
        })?;
    } else {
        stages.run("three hosts on a kernel with Open vSwitch", || {
            Guest::new(WHOLE_RUN).run(&format!("{} demo", quoted(&lab.to_string_lossy())))
        })?;
        stages.run("three hosts on this kernel, which has no Open vSwitch", || {
            run(Command::new(&lab).arg("demo"))
        })?;
    }
    stages.summary();
    println!("\neverything held");
    Ok(())
}
