//! The scenarios: one file each, entered in [`ALL`].
//!
//! A scenario gets an empty lab and fails with an error that says what was expected and what was
//! seen instead; what it measured it prints, a line each. The runner adds what every host looked
//! like, and cleans up.

use std::fmt;
use std::time::Duration;

use anyhow::Result;

use crate::judge::ovs;
use crate::topology::Lab;

mod addresses;
mod bad_input;
mod bridge;
mod broadcast;
mod cut;
mod expose;
mod hostile;
mod isolation;
mod lab_itself;
mod line;
mod mtu;
mod names;
mod password;
mod reset;
mod restart;
mod rough;
mod systemd;
mod three_hosts;
mod upcalls;

/// A scenario
#[derive(Debug)]
pub struct Scenario {
    /// What it is called
    pub name: &'static str,
    /// What it shows
    pub about: &'static str,
    /// The kernel it needs
    pub kernel: Kernel,
    /// How long it may take
    pub limit: Duration,
    /// What it does
    pub act: fn(&mut Lab) -> Result<()>,
}

/// The kernel that a scenario needs
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// One with Open vSwitch
    OpenVswitch,
    /// One without
    Plain,
    /// Either, and it is worth running on both
    Any,
}

impl Kernel {
    /// Why this kernel will not do, if it will not
    pub fn lacks(self) -> Option<&'static str> {
        match (self, ovs::is_here()) {
            (Self::OpenVswitch, false) => Some("this kernel has no Open vSwitch"),
            (Self::Plain, true) => Some("this kernel has Open vSwitch"),
            (Self::OpenVswitch, true) | (Self::Plain, false) | (Self::Any, _) => None,
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::OpenVswitch => "openvswitch",
            Self::Plain => "plain",
            Self::Any => "any",
        })
    }
}

/// This machine lacks what the scenario needs, and what that is
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// For a machine that is slow and busy with other things; most take a tenth of it
const LIMIT: Duration = Duration::from_secs(180);

/// For a gigabyte over a wire on which TCP waits for its losses
const ROUGH: Duration = Duration::from_secs(900);

/// All of them, in the order in which they run
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "lab-itself",
        about: "topologies, cuts and judges do what they say, without weaved",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: lab_itself::act,
    },
    Scenario {
        name: "three-hosts",
        about: "tunnel flows in the kernel, the documented VNI on the wire, no upcalls under traffic",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: three_hosts::act,
    },
    Scenario {
        name: "line",
        about: "two relays carry everything in the kernel; a new link takes over from a cut one",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: line::act,
    },
    Scenario {
        name: "cut",
        about: "VXLAN alone is cut: sleeve, and back; everything is cut: lost, and back",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: cut::act,
    },
    Scenario {
        name: "password-seals",
        about: "with a password nothing is readable on the underlay",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: password::sealed,
    },
    Scenario {
        name: "password-refuses",
        about: "a wrong password and a missing one stay out, and both ends say why",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: password::refused,
    },
    Scenario {
        name: "bridge",
        about: "hosts without Open vSwitch do the same over the sleeve, and say why",
        kernel: Kernel::Plain,
        limit: LIMIT,
        act: bridge::all_hosts,
    },
    Scenario {
        name: "bridge-among-datapaths",
        about: "one host without the datapath among hosts that have it",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: bridge::one_host,
    },
    Scenario {
        name: "hostile-datagrams",
        about: "replayed, cut, flipped, grown datagrams are dropped and counted; reordered ones arrive",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: hostile::datagrams,
    },
    Scenario {
        name: "hostile-garbage",
        about: "garbage on every port does no harm",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: hostile::garbage,
    },
    Scenario {
        name: "hostile-segments",
        about: "bytes forged into a live control connection end it at most; traffic goes on",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: hostile::segments,
    },
    Scenario {
        name: "restart-in-a-mesh",
        about: "weaved is killed and started again: traffic to and past its host goes on",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: restart::in_a_mesh,
    },
    Scenario {
        name: "stop-and-start",
        about: "weaved is stopped and started again as for an update: traffic goes on",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: restart::for_an_update,
    },
    Scenario {
        name: "restart-of-a-relay",
        about: "weaved is killed and started again: traffic through its host goes on",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: restart::of_a_relay,
    },
    Scenario {
        name: "upcalls",
        about: "ovs-dpctl beside weaved, and a burst of strangers, harm nobody",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: upcalls::act,
    },
    Scenario {
        name: "broadcast-in-a-mesh",
        about: "broadcasts and multicasts reach everybody once; ARP and IPv6 work",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: broadcast::in_a_mesh,
    },
    Scenario {
        name: "broadcast-in-a-line",
        about: "the same through relays",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: broadcast::in_the_line,
    },
    Scenario {
        name: "broadcast-by-the-sleeve",
        about: "the same through a relay's sleeve, beside a datapath",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: broadcast::by_the_sleeve,
    },
    Scenario {
        name: "mtu",
        about: "each path's MTU is found without ICMP; nothing too big vanishes in silence",
        kernel: Kernel::OpenVswitch,
        limit: LIMIT,
        act: mtu::by_fastdp,
    },
    Scenario {
        name: "mtu-of-the-sleeve",
        about: "the same by the sleeve",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: mtu::by_the_sleeve,
    },
    Scenario {
        name: "rough-fastdp",
        about: "1 GB and 10,000 datagrams over a wire that loses and reorders: intact, once",
        kernel: Kernel::OpenVswitch,
        limit: ROUGH,
        act: rough::by_fastdp,
    },
    Scenario {
        name: "rough-sleeve",
        about: "the same by the sleeve",
        kernel: Kernel::Any,
        limit: ROUGH,
        act: rough::by_the_sleeve,
    },
    Scenario {
        name: "rough-sleeve-sealed",
        about: "the same with a password",
        kernel: Kernel::Any,
        limit: ROUGH,
        act: rough::sealed,
    },
    Scenario {
        name: "addresses",
        about: "addresses chosen, of a subnet and by hand, on three hosts; what is refused",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::chosen,
    },
    Scenario {
        name: "addresses-several",
        about: "several addresses in every form, come and go; a range that is routed already",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::several,
    },
    Scenario {
        name: "addresses-at-first",
        about: "who waits for the first vote, who does not, and who may not vote",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::at_first,
    },
    Scenario {
        name: "addresses-of-seeds",
        about: "the same seeds apart, then together; other seeds and another name met later",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::of_seeds,
    },
    Scenario {
        name: "addresses-of-one-owner",
        about: "who owns everything dies; others hand out after rmpeer",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::of_one_owner,
    },
    Scenario {
        name: "addresses-of-the-replaced",
        about: "each host is replaced, two at once come and go: every address can still be given",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::of_the_replaced,
    },
    Scenario {
        name: "addresses-after-kills",
        about: "weaved is killed right after it gave an address: none is given twice, none is lost",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::after_kills,
    },
    Scenario {
        name: "addresses-after-loss",
        about: "a host loses its state while its containers run on",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::after_loss,
    },
    Scenario {
        name: "addresses-of-the-gone",
        about: "hosts die, are removed, leave and come back: others take over, and nothing is lost",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::of_the_gone,
    },
    Scenario {
        name: "addresses-while-apart",
        about: "both sides of a cut hand out, and nothing collides when it heals",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::while_apart,
    },
    Scenario {
        name: "addresses-of-two-networks",
        about: "two networks that began apart become one; addresses in use twice are reported",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: addresses::two_networks,
    },
    Scenario {
        name: "names-everywhere",
        about: "three hosts know every name at once, and forget it at once; an address changes hands",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: names::everywhere,
    },
    Scenario {
        name: "names-of-one-host",
        about: "domains, subdomains, cases, what is not there, long answers, restarts, --no-dns",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: names::of_one_host,
    },
    Scenario {
        name: "names-while-apart",
        about: "containers end and hosts go while hosts are cut off: no old name comes back",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: names::while_apart,
    },
    Scenario {
        name: "names-of-elsewhere",
        about: "other names are asked of the servers of resolv.conf, which may change",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: names::of_elsewhere,
    },
    Scenario {
        name: "expose",
        about: "subnets are apart; a host reaches those where it is exposed; hide leaves nothing",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: expose::addresses,
    },
    Scenario {
        name: "expose-masquerade",
        about: "containers and the outside reach each other through a host; rules that are flushed come back",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: expose::masquerade,
    },
    Scenario {
        name: "isolation",
        about: "what keeps subnets apart: programs without privileges; what does not; moves between them",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: isolation::act,
    },
    Scenario {
        name: "reset",
        about: "reset leaves nothing",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: reset::act,
    },
    Scenario {
        name: "systemd",
        about: "the packaged unit under systemd: launch, kill and restart, stop, reset",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: systemd::act,
    },
    Scenario {
        name: "bad-input",
        about: "each mistake is told in one line and changes nothing",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: bad_input::act,
    },
    Scenario {
        name: "bad-input-of-addresses",
        about: "addresses, subnets, peers and names in wrong forms: one line each, nothing changed",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: bad_input::of_addresses,
    },
    Scenario {
        name: "bad-input-turned-off",
        about: "a host without addresses and names to hand out says so, and does all else",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: bad_input::turned_off,
    },
    Scenario {
        name: "bad-input-by-socket",
        about: "noise, floods and silence at the control socket: refused, and others are served",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: bad_input::by_socket,
    },
    Scenario {
        name: "bad-input-by-tcp",
        about: "other protocols and other versions at the peers' port are turned away",
        kernel: Kernel::Any,
        limit: LIMIT,
        act: bad_input::by_tcp,
    },
];
