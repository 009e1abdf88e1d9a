//! Who may use the socket.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The group that may use the socket, where that is not root's
pub(crate) fn group_of(socket: &Path) -> Option<String> {
    let metadata =
        std::fs::metadata(socket).or_else(|error| socket.parent().map_or(Err(error), std::fs::metadata));
    let gid = metadata.ok()?.gid();
    if gid == 0 {
        return None;
    }
    let known = std::fs::read_to_string("/etc/group").unwrap_or_default();
    Some(name_of(gid, &known).map_or_else(|| gid.to_string(), ToOwned::to_owned))
}

/// The name that goes with `gid` in text of the form of /etc/group
fn name_of(gid: u32, groups: &str) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id = fields.nth(1)?;
        (id.parse() == Ok(gid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_number() {
        let groups = "root:x:0:\n\nbroken\nweave:x:998:me,you\n";
        assert_eq!(name_of(998, groups), Some("weave"));
        assert_eq!(name_of(99, groups), None);
    }

    #[test]
    fn a_socket_of_root_has_no_group_to_join() {
        assert_eq!(group_of(Path::new("/proc/version")), None);
    }
}
