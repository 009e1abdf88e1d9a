//! Cgroups of the lab: no part of any namespace, so nothing but the lab removes them.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::run_here;

/// In a mount namespace of its own; a kernel without these cgroups has none to remove
const REMOVE: &str = "mount -t cgroup2 cgroup2 \"$1\" 2>/dev/null || exit 0
cd \"$1\"
for _ in $(seq 50); do
    find . -mindepth 1 -depth -type d -path \"./$2*\" -exec rmdir {} + && exit
    sleep 0.1
done";

/// Removes those whose names begin so, with all below them; their processes are ending by now
///
/// `place` is a directory where they can be seen.
pub(crate) fn remove(prefix: &str, place: &Path) -> Result<()> {
    let place = place.to_str().context("a path that is not UTF-8")?;
    let line = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        REMOVE,
        "sh",
        place,
        prefix,
    ];
    run_here(&line)?.ok().map(drop)
}
