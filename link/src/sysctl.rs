//! The kernel's per-device switches under `/proc/sys/net`.
//!
//! `/proc/sys/net` shows the namespace of the thread that looks, so these are written from inside.
//! None of them is vital: what cannot be written (a read-only `/proc/sys` is common in containers)
//! becomes a warning.

use std::fs;
use std::io;
use std::path::PathBuf;

use model::IfName;

/// One file under `/proc/sys/net` and what belongs in it
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sysctl {
    /// The file
    pub path: PathBuf,
    /// Its content, without the line end
    pub value: &'static str,
    /// The file exists only where the kernel has IPv6 and has it on; without it there is nothing to
    /// switch off
    pub ipv6: bool,
}

/// A switch that is not as it should be; everything else works
#[derive(Debug, thiserror::Error)]
#[error("cannot write {value} to {path}")]
pub struct SysctlWarning {
    /// The file
    pub path: PathBuf,
    /// What belongs in it
    pub value: &'static str,
    /// Why it could not be written
    #[source]
    pub source: io::Error,
}

/// Whether this host passes packets on from one of its networks to another
pub fn forwards_ipv4() -> bool {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|value| value.trim() == "1")
}

/// For a device that has addresses of the overlay: a container's interface, the host's own leg
///
/// A station that moved, or whose address went to another container, is noticed in seconds and not
/// in minutes; and nobody on the overlay hands out IPv6 routes.
pub fn endpoint(device: &IfName) -> Vec<Sysctl> {
    let neighbour = |name: &str, value| Sysctl {
        path: PathBuf::from(format!("{IPV4}/neigh/{device}/{name}")),
        value,
        ipv6: false,
    };
    vec![
        neighbour("base_reachable_time_ms", "5000"),
        neighbour("delay_first_probe_time", "2"),
        neighbour("ucast_solicit", "1"),
        // Without it the kernel drops every address of a subnet along with the subnet's first one.
        Sysctl {
            path: PathBuf::from(format!("{IPV4}/conf/{device}/promote_secondaries")),
            value: "1",
            ipv6: false,
        },
        no_router_advertisements(device),
    ]
}

/// For a device that only carries frames: the host's end of a veth, the sleeve's TAP
pub fn port(device: &IfName) -> Vec<Sysctl> {
    vec![no_router_advertisements(device)]
}

/// For a device that the host itself has no business on: nothing of its own may leave by it
pub fn ipv6_off(device: &IfName) -> Sysctl {
    Sysctl {
        value: "1",
        ..ipv6_on(device)
    }
}

/// For a container's interface that gets an IPv6 address: runtimes like to turn IPv6 off
pub fn ipv6_on(device: &IfName) -> Sysctl {
    Sysctl {
        path: PathBuf::from(format!("{IPV6}/conf/{device}/disable_ipv6")),
        value: "0",
        ipv6: true,
    }
}

fn no_router_advertisements(device: &IfName) -> Sysctl {
    Sysctl {
        path: PathBuf::from(format!("{IPV6}/conf/{device}/accept_ra")),
        value: "0",
        ipv6: true,
    }
}

/// Writes them in the calling thread's network namespace
///
/// From an asynchronous task use [`Links::write_sysctls`](crate::Links::write_sysctls), which knows
/// which namespace is meant.
pub fn write(sysctls: &[Sysctl]) -> Vec<SysctlWarning> {
    sysctls
        .iter()
        .filter_map(|sysctl| write_one(sysctl).err())
        .collect()
}

fn write_one(sysctl: &Sysctl) -> Result<(), SysctlWarning> {
    let result = match fs::read_to_string(&sysctl.path) {
        // Also where the file system is read-only, being right already is good enough.
        Ok(content) if content.trim_end() == sysctl.value => Ok(()),
        Err(error) if sysctl.ipv6 && error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => fs::write(&sysctl.path, sysctl.value),
    };
    result.map_err(|source| SysctlWarning {
        path: sysctl.path.clone(),
        value: sysctl.value,
        source,
    })
}

const IPV4: &str = "/proc/sys/net/ipv4";
const IPV6: &str = "/proc/sys/net/ipv6";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_that_is_missing_warns_unless_it_is_an_ipv6_one() {
        let device: IfName = "nosuch0".parse().unwrap();
        let warnings = write(&endpoint(&device));
        assert_eq!(warnings.len(), 4);
        assert!(warnings.iter().all(|w| w.path.starts_with("/proc/sys/net/ipv4")));
        assert!(write(&port(&device)).is_empty());
    }
}
