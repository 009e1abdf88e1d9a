//! What a container calls itself: its address on this network, before that of Docker's bridge.
//!
//! Docker writes a line into the container's `/etc/hosts` for each of its networks, in the order of the networks;
//! the first that has the host's name is what the name stands for. Newer ones of Docker write the IPv4 address that a
//! driver chose as an IPv6 address (`::ffff:10.32.0.1`), which not every C library takes for an IPv4 one.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tokio::time::{Instant, sleep};

use super::patience::{SLOW, pause};

/// Where Docker keeps the file that is `/etc/hosts` in a container
pub(crate) fn path(docker_root: &Path, container: &str) -> Option<PathBuf> {
    // What is no id of Docker's is no directory of Docker's either.
    let is_id = !container.is_empty() && container.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| docker_root.join("containers").join(container).join("hosts"))
}

/// Puts the line of this address first, as soon as it is there
pub(super) async fn prefer(path: &Path, address: IpAddr) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let text = tokio::fs::read_to_string(path).await;
        if let Ok(text) = &text
            && let Some(preferred) = preferred(text, address)
        {
            return match preferred == *text {
                true => Ok(()),
                // The same file, not one in its place: it is mounted into the container.
                false => tokio::fs::write(path, preferred).await,
            };
        }
        if begun.elapsed() >= SLOW {
            let missing = || io::Error::other(format!("Docker has not written {address} into it"));
            return Err(text.err().unwrap_or_else(missing));
        }
        sleep(pause(begun.elapsed())).await;
    }
}

/// The text with the address's line before all others of its host's name; nothing if it has none
fn preferred(text: &str, address: IpAddr) -> Option<String> {
    let words = |line: &str| -> Option<(IpAddr, String)> {
        let mut words = line.split_whitespace();
        let found: IpAddr = words.next()?.parse().ok()?;
        Some((found.to_canonical(), words.next()?.to_owned()))
    };
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let at = lines
        .iter()
        .position(|line| words(line).is_some_and(|(found, _name)| found == address))?;
    let line = lines.remove(at);
    let (_address, name) = words(line)?;
    let (_written, names) = line.split_once(char::is_whitespace)?;
    let line = format!("{address}\t{names}");
    let others = lines
        .iter()
        .position(|line| words(line).is_some_and(|(_address, found)| found == name));
    lines.insert(others.map_or(at, |first| first.min(at)), &line);
    Some(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Directory;

    const WRITTEN: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n172.17.0.2\ta1.weave.local a1\n\
                           172.18.0.2\tdb\n10.32.0.1\ta1.weave.local a1\n";
    const WANTED: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost\n10.32.0.1\ta1.weave.local a1\n\
                          172.17.0.2\ta1.weave.local a1\n172.18.0.2\tdb\n";

    #[test]
    fn the_line_comes_first_and_the_others_stay() {
        let address = [10, 32, 0, 1].into();
        assert_eq!(preferred(WRITTEN, address).as_deref(), Some(WANTED));
        assert_eq!(preferred(WANTED, address).as_deref(), Some(WANTED));
        assert_eq!(preferred("# nothing\n\n127.0.0.1 localhost\n", address), None);
        assert_eq!(preferred("10.32.0.1\n", address), None);
        let mapped = WRITTEN.replace("10.32.0.1", "::ffff:10.32.0.1");
        assert_eq!(preferred(&mapped, address).as_deref(), Some(WANTED));
    }

    #[tokio::test]
    async fn it_is_waited_for() {
        let directory = Directory::new();
        let path = directory.path("hosts");
        let (file, text) = (path.clone(), WRITTEN);
        let docker = async move { std::fs::write(file, text) };
        let (done, written) = tokio::join!(prefer(&path, [10, 32, 0, 1].into()), docker);
        written.unwrap();
        done.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), WANTED);
    }

    #[test]
    fn only_an_id_is_a_place() {
        let root = Path::new("/var/lib/docker");
        let id = "7e83f5abb757";
        assert_eq!(
            path(root, id).unwrap(),
            Path::new("/var/lib/docker/containers/7e83f5abb757/hosts")
        );
        for text in ["", "../../etc", "endpoint:0123456789ab", "a/b"] {
            assert_eq!(path(root, text), None, "{text}");
        }
    }
}
