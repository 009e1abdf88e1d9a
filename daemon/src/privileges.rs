//! What the kernel lets this process do.

use std::fs;

use anyhow::{Context as _, ensure};

/// Without these nothing works, by their numbers in capabilities(7); weaved.service has some more
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];

/// Fails, and says what is missing, where weaved could not do its work
pub(crate) fn check() -> anyhow::Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "weaved has to be root: it makes network devices and enters the containers' namespaces"
    );
    let status = fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    let missing = missing(&status);
    ensure!(
        missing.is_empty(),
        "weaved lacks {}; root in a container has only what that is given, as by docker run --privileged",
        missing.join(", ")
    );
    Ok(())
}

fn missing(status: &str) -> Vec<&'static str> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()) else {
        // A kernel that does not tell may still let us.
        return Vec::new();
    };
    let lacks = |(number, _name): &&(u32, &str)| effective >> number & 1 == 0;
    NEEDED.iter().filter(lacks).map(|(_number, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let status = |effective: &str| format!("Uid:\t0\t0\t0\t0\nCapInh:\t0\nCapEff:\t{effective}\n");
        assert!(missing(&status("000001ffffffffff")).is_empty());
        // What Docker gives by itself.
        assert_eq!(
            missing(&status("00000000a80425fb")),
            ["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]
        );
        assert!(missing("no such line").is_empty());
    }
}
