//! Which scenarios of Docker there are, and in which order they run.

use std::time::Duration;

use crate::scenario::all::LIMIT;
use crate::scenario::{Kernel, Scenario};

/// For hundreds of tests of others, twice
const HOURS: Duration = Duration::from_secs(1800);

/// Those that show what differs between Dockers: every run has them with both
pub(in crate::scenario) const BY_BOTH: &[Scenario] = &[
    Scenario {
        name: "docker-itself",
        about: "real Docker on two hosts, containers attached by their processes; nothing is left of it",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::itself::act,
    },
    Scenario {
        name: "docker-first-steps",
        about: "launch, env, docker run, names across hosts, reset: as people type it",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: super::first_steps::act,
    },
    Scenario {
        name: "docker-run",
        about: "docker run by weave-docker: names, WEAVE_CIDR, networks that are left alone, mistakes",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::run::act,
    },
    Scenario {
        name: "docker-starts",
        about: "starts of old clients, which bring a HostConfig: name servers and networks stay",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::starts::act,
    },
    Scenario {
        name: "docker-restarts",
        about: "containers, weaved, weave-docker and Docker begin anew: same address, same name",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::restarts::act,
    },
];

/// Those that every run has with the newest Docker; named, they run with both
pub(in crate::scenario) const BY_ONE: &[Scenario] = &[
    Scenario {
        name: "docker-flags",
        about: "weave-docker's flags: addresses on demand, host names by rules, no names, inspections",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::flags::act,
    },
    Scenario {
        name: "docker-combinations",
        about: "users, entrypoints, commands and networks in all combinations: what was asked for runs",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::combinations::act,
    },
    Scenario {
        name: "docker-endpoints",
        about: "weave-docker at ports, with TLS and without: certificates, strangers, crowds, mistakes",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::endpoints::act,
    },
    Scenario {
        name: "docker-forgotten",
        about: "Docker is killed and loses its state: what it has forgotten is taken from the network",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::forgotten::act,
    },
    Scenario {
        name: "docker-subnets",
        about: "Docker's networks with subnets of their own: no address twice on two hosts",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::subnets::act,
    },
    Scenario {
        name: "docker-names",
        about: "containers of one name, addresses that had another, host names however they are given",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::names::act,
    },
    Scenario {
        name: "docker-dns",
        about: "names in containers: another domain, short ones, subdomains, either case, none, by hand",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::dns::act,
    },
    Scenario {
        name: "docker-dns-launches",
        about: "weaved is launched anew: names and addresses stay whose they are, or there are no names at all",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::dns::launched_anew,
    },
    Scenario {
        name: "docker-aliases",
        about: "what Docker's networks call a container is known on all hosts, also after restarts",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::aliases::act,
    },
    Scenario {
        name: "docker-by-hand",
        about: "weavectl attach and detach of containers that run: names, restarts, what is left alone",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::by_hand::act,
    },
    Scenario {
        name: "docker-each-way",
        about: "weavectl ps, attach, detach and dns-add know a container whichever way it came to the network",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::by_hand::by_every_way,
    },
    Scenario {
        name: "docker-exposed",
        about: "a host that is exposed forwards, whatever Docker has its packet filter drop",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::exposed::act,
    },
    Scenario {
        name: "docker-streams",
        about: "what passes through weave-docker: exec, attach, cp, logs, large bodies both ways",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::streams::act,
    },
    Scenario {
        name: "docker-tutorial",
        about: "every line of the tutorials, as it is typed, on three hosts in a row",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::tutorial::act,
    },
    Scenario {
        name: "docker-networks",
        about: "containers on Docker's own network of the driver weave, and on one that was made by hand",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::networks::act,
    },
    Scenario {
        name: "docker-many",
        about: "fifty containers at once: each has an address of its own, and reaches all others",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::many::act,
    },
    Scenario {
        name: "docker-down",
        about: "without weaved, who wants the network is told at once; all others are served",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::down::act,
    },
    Scenario {
        name: "docker-systemd",
        about: "Docker, weaved and weave-docker as units: kills, reboots, in whatever order they come up",
        kernel: Kernel::Own,
        limit: LIMIT,
        act: super::systemd::act,
    },
];

/// Those that run where they are named
pub(in crate::scenario) const NAMED: &[Scenario] = &[Scenario {
    name: "docker-py-streams",
    about: "docker-py's own tests of exec and builds pass by weave-docker as they do at Docker itself",
    // The kernel has no part in it, and a guest would take hours.
    kernel: Kernel::Plain,
    limit: LIMIT,
    act: super::docker_py::streams,
}];

/// Those that run only where their whole names are asked for
pub(in crate::scenario) const NAMED_WHOLE: &[Scenario] = &[Scenario {
    name: "docker-py",
    about: "all of docker-py's own tests; runs on request",
    kernel: Kernel::Plain,
    limit: HOURS,
    act: super::docker_py::all,
}];
