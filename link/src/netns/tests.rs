use std::error::Error as _;

use super::*;
use crate::testing::{Process, ip, named_container, on_a_host, run};

#[test]
fn one_namespace_has_one_id_by_whatever_name() {
    on_a_host(|links| async move {
        let by_name = named_container("c1");
        let by_path = NetnsRef::Path("/run/netns/c1".into());
        let id = by_name.open().unwrap().id();
        assert_eq!(by_path.open().unwrap().id(), id);
        assert!(!links.is_in(id));
        let process = Process::start();
        let by_pid = process.netns().open().unwrap().id();
        assert_ne!(by_pid, id);
        let listed = run("lsns", &["-n", "-t", "net", "-o", "NS"]);
        assert!(listed.contains(&by_pid.inode().to_string()), "{listed}");
    });
}

#[test]
fn the_hosts_own_namespace_is_refused() {
    on_a_host(|links| async move {
        let host = links.netns().id();
        let own = NetnsRef::Path("/proc/thread-self/ns/net".into());
        let error = own.open_container(host).unwrap_err();
        assert!(matches!(error, NetnsError::Host(_)), "{error:?}");
        // A container with the host's network: `ip netns attach` names the namespace of a process.
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let error = NetnsRef::Pid(child.id()).open_container(host).unwrap_err();
        let _ = child.kill();
        let _ = child.wait();
        assert_eq!(
            error.to_string(),
            format!("process {} is in the host's own network namespace", child.id())
        );
    });
}

#[test]
fn what_is_gone_or_no_namespace_is_told_apart() {
    on_a_host(|_links| async {
        let mut process = Process::start();
        let netns = process.netns();
        process.kill();
        assert!(matches!(netns.open().unwrap_err(), NetnsError::NoProcess(_)));

        let named = named_container("c1");
        run("ip", &["netns", "del", "c1"]);
        assert!(matches!(named.open().unwrap_err(), NetnsError::Gone(_)));
        let path = NetnsRef::Path("/proc/4194304999/ns/net".into());
        assert!(matches!(path.open().unwrap_err(), NetnsError::Gone(_)));

        std::fs::write("/run/netns/stale", "").unwrap();
        for other in ["/run/netns/stale", "/proc/self/ns/mnt", "/run", "/dev/null"] {
            let error = NetnsRef::Path(other.into()).open().unwrap_err();
            assert!(
                matches!(error, NetnsError::NotANetworkNamespace(_)),
                "{other}: {error:?}"
            );
        }
        for bad in ["", ".", "..", "a/b"] {
            let error = NetnsRef::Name(bad.into()).open().unwrap_err();
            assert!(matches!(error, NetnsError::BadName(_)), "{bad}: {error:?}");
        }
    });
}

#[test]
fn a_zombie_has_no_namespace() {
    on_a_host(|_links| async {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        // It has exited when its stat says so; nobody has waited for it.
        let stat = format!("/proc/{}/stat", child.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        let error = NetnsRef::Pid(child.id()).open().unwrap_err();
        assert!(matches!(error, NetnsError::NoProcess(_)), "{error:?}");
        child.wait().unwrap();
    });
}

#[test]
fn work_inside_a_namespace_stays_there() {
    on_a_host(|_links| async {
        let netns = named_container("c1").open().unwrap();
        let bridge = "br0".parse().unwrap();
        let made = in_netns(&netns, |links| async move {
            links.ensure_bridge(&bridge, 1400, None).await
        });
        made.await.unwrap().unwrap();
        assert!(ip(&["-n", "c1", "link", "show", "br0"]).is_array());
        let here = netns.run(|| Netns::current().unwrap().id()).await.unwrap();
        assert_eq!(here, netns.id());
        assert!(!run("ip", &["link"]).contains("br0"));
    });
}

#[test]
fn a_job_that_panics_is_an_error_for_who_waits() {
    on_a_host(|_links| async {
        let netns = Netns::current().unwrap();
        let error = netns.run(|| panic!("as the test wants it")).await.unwrap_err();
        assert!(matches!(error, EnterError::Panicked) && error.source().is_none());
    });
}
