//! The tutorials, line by line as people type them, on three hosts in a row: the third knows the second alone.

use anyhow::{Context as _, Result, ensure};

use super::PATIENCE;
use crate::docker::Docker;
use crate::judge::nft;
use crate::topology::{ETHERNET, Lab};
use crate::wait::wait_until;
use crate::weave::usual_path;

/// What is typed, and on which of the hosts; each line has to succeed
const LINES: &[(usize, &str)] = &[
    // Addresses by hand, of two subnets, and none.
    (0, "docker run -d -e WEAVE_CIDR=10.2.1.2/24 --name b1 busybox top"),
    (
        1,
        "docker run -d -e WEAVE_CIDR=\"net:default net:10.2.2.0/24\" --name b2 busybox top",
    ),
    (
        2,
        "docker run --rm -e WEAVE_CIDR=10.2.1.3/24 busybox ping -c1 -W3 10.2.1.2",
    ),
    // By name, from every host.
    (0, "docker run -d --name a1 busybox top"),
    (0, "docker run --rm busybox ping -c1 -W3 a1"),
    (1, "docker run --rm busybox ping -c1 -W3 a1"),
    (2, "docker run --rm busybox ping -c1 -W3 a1.weave.local"),
    (2, "docker run -d --name a3 busybox top"),
    (0, "docker exec a1 ping -c1 -W3 a3"),
    // weavectl run, and containers that run already.
    (0, "weavectl run 10.0.1.1/24 -itd --name r1 busybox sh"),
    (2, "weavectl run 10.0.1.3/24 -itd --name r3 busybox sh"),
    (0, "docker exec r1 ping -c1 -W3 r3"),
    (1, "docker run -d -e WEAVE_CIDR=none --name d2 busybox top"),
    (1, "! docker exec d2 ip link show ethwe"),
    (1, "weavectl attach 10.0.1.2/24 d2"),
    (1, "docker exec d2 ping -c1 -W3 10.0.1.3"),
    (1, "weavectl detach 10.0.1.2/24 d2"),
    (1, "! docker exec d2 ping -c1 -W1 10.0.1.3"),
    (
        1,
        "weavectl attach 10.0.1.2/24 d2 && docker exec d2 ping -c1 -W3 10.0.1.1",
    ),
    // Docker's networks.
    (0, "docker network create -d weave --subnet 10.3.0.0/24 n1"),
    (1, "docker network create -d weave --subnet 10.3.0.0/24 n1"),
    (2, "docker network create -d weave --subnet 10.3.0.0/24 n1"),
    (0, "docker run -d --net n1 --name c1 busybox top"),
    (
        2,
        "docker run -d --net n1 $(weavectl dns-args) --name c3 busybox top",
    ),
    (
        1,
        "docker run --rm --net n1 $(weavectl dns-args) busybox ping -c1 -W3 c1",
    ),
    (2, "docker exec c3 ping -c1 -W3 c1"),
    (
        0,
        "docker run -d --net=weave $(weavectl dns-args) --name w1 busybox top",
    ),
    (
        2,
        "docker run --rm --net=weave $(weavectl dns-args) busybox ping -c1 -W3 w1",
    ),
    // What there is, and the host itself.
    (0, "weavectl ps | grep 10.2.1.2/24"),
    (1, "weavectl status | grep '3 (with 4 established connections)'"),
    (2, EXPOSE),
    (2, "ping -c1 -W3 10.0.1.1"),
    (0, "docker exec r1 ping -c1 -W3 10.0.1.100"),
];

const EXPOSE: &str = "weavectl expose 10.0.1.100/24";

pub(in crate::scenario) fn act(lab: &mut Lab) -> Result<()> {
    let [one, two, three] = lab.hosts(["host1", "host2", "host3"])?;
    lab.link(&one, &two, ETHERNET)?;
    lab.link(&two, &three, ETHERNET)?;
    let dockers = Docker::boot([&one, &two, &three])?;
    let targets = [
        String::new(),
        one.address()?.to_string(),
        two.address_for(&three)?.to_string(),
    ];
    for (docker, target) in dockers.iter().zip(targets) {
        let host = docker.host();
        let line = format!(
            "weavectl launch --no-systemd --state-dir {} --log-file {} --nickname {host} \
             --ipalloc-range 10.2.0.0/16 --ipalloc-default-subnet 10.2.1.0/24 {target}",
            host.state_dir().display(),
            host.log_file().display(),
        );
        docker.shell(&line)?.ok()?;
    }
    for (near, far) in [(&one, &two), (&two, &three)] {
        for (here, there) in [(near, far), (far, near)] {
            let found = docker_of(&dockers, here.name())?;
            wait_until("the path to the next host", PATIENCE, || {
                let listed = found.shell("weavectl status connections")?.ok()?;
                let path = format!("established {}", usual_path());
                Ok(listed
                    .lines()
                    .any(|line| line.contains(there.name()) && line.contains(&path)))
            })?;
        }
    }
    let without_nat = nft::lacks_masquerading(one.namespace())?.is_some();
    for (number, line) in LINES {
        let docker = dockers.get(*number).context("no such host")?;
        let type_in = |line: &str| docker.shell(&format!("eval $(weavectl env)\n{line}"));
        let mut done = type_in(line)?;
        if without_nat && *line == EXPOSE {
            // Such a kernel is refused with the option that does without; a reader then types that.
            const WITHOUT: &str = "--without-masquerade";
            ensure!(!done.status.success() && done.stderr.contains(WITHOUT), "{done}");
            done = type_in(&format!("{EXPOSE} {WITHOUT}"))?;
        }
        ensure!(done.status.success(), "{} of {line}: {done}", docker.host());
    }
    for docker in &dockers {
        docker
            .shell("docker rm -f $(docker ps -aq) && weavectl reset")?
            .ok()?;
    }
    Ok(())
}

fn docker_of<'a>(dockers: &'a [Docker], name: &str) -> Result<&'a Docker> {
    let found = dockers.iter().find(|docker| docker.host().name() == name);
    found.with_context(|| format!("no {name}"))
}
