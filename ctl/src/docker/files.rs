//! What a container of Docker's knows of names by its files, changed when it is attached by hand.
//!
//! Docker keeps `/etc/hosts` and `/etc/resolv.conf` of each container in files of its own directory, which are
//! mounted into the container: they are changed as they are, since another in their place would not be seen
//! there. Files that users mounted there are not touched.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use ::docker::create::Dns;
use ::docker::files::hosts::{self, Own};
use ::docker::files::{resolv_conf, undone};
use anyhow::{Context as _, Result, ensure};
use nix::fcntl::OFlag;

/// The largest that is changed, in bytes: what a container puts there is its own affair
const LIMIT: u64 = 1 << 20;

/// The files of a container, and what Docker was told of them
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Files {
    /// Where its `/etc/hosts` is on the host
    pub(crate) hosts: PathBuf,
    /// Where its `/etc/resolv.conf` is
    pub(crate) resolv_conf: PathBuf,
    /// `Config.Hostname`
    pub(crate) hostname: String,
    /// `Config.Domainname`
    pub(crate) domainname: String,
    /// Its user said whom it asks for names
    pub(crate) has_own_dns: bool,
    /// And in which domains it searches
    pub(crate) has_own_search: bool,
    /// It is on no network of Docker's
    pub(crate) is_alone: bool,
}

impl Files {
    /// Has the container ask here for names, unless its user wants otherwise
    pub(crate) fn ask(&self, dns: &Dns) -> Result<()> {
        if self.has_own_dns {
            return Ok(());
        }
        ensure!(
            !self.is_alone,
            "a container of --net=none does not reach Docker's bridge, where weaved answers: names do not \
             resolve in it"
        );
        change(&self.resolv_conf, "resolv.conf", |text| {
            Ok(resolv_conf::asking(text, dns, self.has_own_search)?)
        })
        .context("names of containers do not resolve in it")
    }

    /// Has its own name stand for its addresses on the network, if there are some, and other names for others
    pub(crate) fn name(&self, addresses: &[IpAddr], others: &[(String, IpAddr)]) -> Result<()> {
        let own = Own {
            hostname: &self.hostname,
            domainname: &self.domainname,
            addresses,
        };
        let own = Some(&own).filter(|own| !own.addresses.is_empty() && !own.hostname.is_empty());
        change(&self.hosts, "hosts", |text| {
            Ok(Some(hosts::with(text, own, others)))
        })
        .context("its own names are not changed")
    }

    /// It has these addresses no more
    pub(crate) fn unname(&self, addresses: &[IpAddr]) -> Result<()> {
        change(&self.hosts, "hosts", |text| {
            Ok(Some(hosts::without(text, addresses)))
        })
    }

    /// Both are as they were before it was attached
    pub(crate) fn restore(&self) -> Result<()> {
        let hosts = change(&self.hosts, "hosts", |text| Ok(Some(undone(text))));
        change(&self.resolv_conf, "resolv.conf", |text| Ok(Some(undone(text)))).and(hosts)
    }
}

/// Changes one of Docker's files in place; nothing is the same text
fn change(path: &Path, name: &str, to: impl FnOnce(&str) -> Result<Option<String>>) -> Result<()> {
    let told = || format!("{} stays as it is", path.display());
    let mut file = open(path, name).with_context(told)?;
    let mut before = String::new();
    (&mut file)
        .take(LIMIT)
        .read_to_string(&mut before)
        .with_context(told)?;
    let Some(after) = to(&before).with_context(told)?.filter(|after| *after != before) else {
        return Ok(());
    };
    file.seek(SeekFrom::Start(0)).with_context(told)?;
    file.write_all(after.as_bytes())
        .and_then(|()| file.set_len(after.len().try_into().unwrap_or(LIMIT)))
        .with_context(|| format!("cannot write all of {}", path.display()))
}

fn open(path: &Path, name: &str) -> Result<File> {
    ensure!(is_dockers(path, name), "it is not Docker's own file");
    // A link on the way there is nothing that Docker made.
    ensure!(
        std::fs::canonicalize(path)? == path,
        "a symbolic link leads to it"
    );
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits());
    let file = options.open(path)?;
    let found = file.metadata()?;
    ensure!(found.is_file(), "it is no file");
    ensure!(found.len() < LIMIT, "it is larger than {LIMIT} bytes");
    Ok(file)
}

/// Whether this is where Docker keeps such a file: `…/containers/ID/NAME`
fn is_dockers(path: &Path, name: &str) -> bool {
    let mut parts = path.iter().rev().map(|part| part.to_str().unwrap_or_default());
    let is_id = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.is_absolute()
        && parts.next() == Some(name)
        && parts.next().is_some_and(is_id)
        && parts.next() == Some("containers")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    const ID: &str = "7e83f5abb7575f30440b528e72590664b1fb717a5843a59a09f6c819b87fd413";
    const RESOLV_CONF: &str = "nameserver 8.8.8.8\n";
    const HOSTS: &str = "127.0.0.1\tlocalhost\n172.17.0.2\tc1\n";

    struct Directory(PathBuf);

    impl Drop for Directory {
        fn drop(&mut self) {
            let _best_effort = std::fs::remove_dir_all(&self.0);
        }
    }

    fn setup(test: &str) -> (Directory, Files) {
        let temporary = std::fs::canonicalize(std::env::temp_dir()).unwrap();
        let root = temporary.join(format!("weavectl-{}-{test}", std::process::id()));
        let directory = root.join("containers").join(ID);
        std::fs::create_dir_all(&directory).unwrap();
        let files = Files {
            hosts: directory.join("hosts"),
            resolv_conf: directory.join("resolv.conf"),
            hostname: "c1".to_owned(),
            domainname: String::new(),
            has_own_dns: false,
            has_own_search: false,
            is_alone: false,
        };
        std::fs::write(&files.hosts, HOSTS).unwrap();
        std::fs::write(&files.resolv_conf, RESOLV_CONF).unwrap();
        (Directory(root), files)
    }

    fn dns() -> Dns {
        Dns {
            server: [172, 17, 0, 1].into(),
            domain: "weave.local".to_owned(),
        }
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn files_are_changed_in_place_and_back() {
        let (_directory, files) = setup("place");
        let inode = |path: &Path| std::fs::metadata(path).unwrap().ino();
        let before = [inode(&files.hosts), inode(&files.resolv_conf)];
        files.ask(&dns()).unwrap();
        files.name(&[[10, 32, 0, 1].into()], &[]).unwrap();
        assert!(text(&files.resolv_conf).contains("\nnameserver 172.17.0.1\nsearch weave.local\n"));
        assert!(text(&files.hosts).contains("\n10.32.0.1\tc1\n"));
        assert_eq!([inode(&files.hosts), inode(&files.resolv_conf)], before);
        files.unname(&[[10, 32, 0, 1].into()]).unwrap();
        assert_eq!(text(&files.hosts), HOSTS);
        files.restore().unwrap();
        assert_eq!(
            (text(&files.resolv_conf).as_str(), text(&files.hosts).as_str()),
            (RESOLV_CONF, HOSTS)
        );
    }

    #[test]
    fn what_its_user_said_stays() {
        let (_directory, files) = setup("user");
        let own = Files {
            has_own_dns: true,
            ..files.clone()
        };
        own.ask(&dns()).unwrap();
        let alone = Files {
            is_alone: true,
            ..files.clone()
        };
        assert!(alone.ask(&dns()).is_err());
        assert_eq!(text(&files.resolv_conf), RESOLV_CONF);
        std::fs::write(&files.resolv_conf, "nameserver 127.0.0.11\n").unwrap();
        let told = crate::exit::one_line(&files.ask(&dns()).unwrap_err());
        assert!(told.contains("dns-args"), "{told}");
    }

    #[test]
    fn only_docker_s_own_files_are_written_to() {
        let (directory, files) = setup("own");
        let outside = directory.0.join("outside");
        std::fs::write(&outside, RESOLV_CONF).unwrap();
        std::fs::remove_file(&files.resolv_conf).unwrap();
        symlink(&outside, &files.resolv_conf).unwrap();
        assert!(files.ask(&dns()).is_err());
        let mounted = Files {
            resolv_conf: outside.clone(),
            ..files.clone()
        };
        assert!(mounted.ask(&dns()).is_err());
        assert_eq!(text(&outside), RESOLV_CONF);
        // By a link on the way.
        let link = directory.0.join("link");
        symlink(&directory.0, &link).unwrap();
        let by_link = Files {
            hosts: link.join("containers").join(ID).join("hosts"),
            ..files
        };
        assert!(by_link.name(&[[10, 32, 0, 1].into()], &[]).is_err());
        assert_eq!(text(&by_link.hosts), HOSTS);
    }

    #[test]
    fn one_that_is_too_large_is_left() {
        let (_directory, files) = setup("large");
        File::options()
            .write(true)
            .open(&files.hosts)
            .unwrap()
            .set_len(LIMIT)
            .unwrap();
        assert!(files.name(&[[10, 32, 0, 1].into()], &[]).is_err());
    }
}
