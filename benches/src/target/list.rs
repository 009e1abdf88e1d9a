//! Every target, in the order in which they are told.

use lab::docker::Release;

use super::{Bound, Place, Target};
use crate::containers::Starts;
use crate::figure::Figure;
use crate::load::flood::Flood;
use crate::load::setups::Setups;
use crate::names::Names;
use crate::path::Way;
use crate::report::Report;
use crate::series::Series;

pub(super) const TARGETS: [Target; 18] = [
    Target {
        what: "fastdp, one stream, of kernel VXLAN + bridge",
        place: Place::OpenVswitch,
        measured: |report| ratios(report, Way::Fastdp, Way::KernelVxlan, Figure::OneStream),
        bound: Bound::AtLeast(0.97),
        aim: Some(1.05),
        unit: "×",
    },
    Target {
        what: "fastdp, 64 B packets, of kernel VXLAN + bridge",
        place: Place::OpenVswitch,
        measured: |report| ratios(report, Way::Fastdp, Way::KernelVxlan, Figure::SmallPackets),
        bound: Bound::AtLeast(1.0),
        aim: Some(1.15),
        unit: "×",
    },
    Target {
        what: "fastdp, first ping of two containers just attached",
        place: Place::OpenVswitch,
        measured: |report| Some(report.newcomers.clone()),
        bound: Bound::AtMost(1.0),
        aim: None,
        unit: " ms",
    },
    Target {
        what: "a stream beside a flood of strangers, of the stream alone",
        place: Place::OpenVswitch,
        measured: |report| {
            let kept = report.floods.iter().map(Flood::kept);
            Some(kept.collect())
        },
        bound: Bound::AtLeast(0.9),
        aim: Some(0.97),
        unit: "×",
    },
    Target {
        what: "fastdp, first packet of stations made up, ARP known",
        place: Place::OpenVswitch,
        measured: |report| series(report, Way::Fastdp, Figure::FirstPacket),
        bound: Bound::AtMost(1.0),
        aim: None,
        unit: " ms",
    },
    Target {
        what: "fastdp, first packet of stations made up, ARP included",
        place: Place::OpenVswitch,
        measured: |report| series(report, Way::Fastdp, Figure::FirstPing),
        bound: Bound::AtMost(1.0),
        aim: None,
        unit: " ms",
    },
    Target {
        what: "sleeve, clear, one stream, of kernel VXLAN + bridge",
        place: Place::Native,
        measured: |report| ratios(report, Way::SleeveClear, Way::KernelVxlan, Figure::OneStream),
        bound: Bound::AtLeast(0.35),
        aim: Some(0.5),
        unit: "×",
    },
    Target {
        what: "sleeve, encrypted, one stream, of kernel VXLAN + bridge",
        place: Place::Native,
        measured: |report| ratios(report, Way::SleeveEncrypted, Way::KernelVxlan, Figure::OneStream),
        bound: Bound::AtLeast(0.2),
        aim: Some(0.3),
        unit: "×",
    },
    Target {
        what: "sleeve, clear, 64 B packets, of wireguard-go",
        place: Place::Native,
        measured: |report| ratios(report, Way::SleeveClear, Way::WireguardGo, Figure::SmallPackets),
        bound: Bound::AtLeast(3.0),
        aim: Some(5.0),
        unit: "×",
    },
    Target {
        what: "sleeve, encrypted, 64 B packets, of wireguard-go",
        place: Place::Native,
        measured: |report| {
            ratios(
                report,
                Way::SleeveEncrypted,
                Way::WireguardGo,
                Figure::SmallPackets,
            )
        },
        bound: Bound::AtLeast(3.0),
        aim: Some(5.0),
        unit: "×",
    },
    Target {
        what: "flow set-ups a second, both hosts",
        place: Place::OpenVswitch,
        measured: |report| {
            let rates = report.setups.iter().map(Setups::per_second);
            Some(rates.collect())
        },
        bound: Bound::AtLeast(20_000.0),
        aim: None,
        unit: "/s",
    },
    Target {
        what: "weaved with three peers, resident",
        place: Place::Everywhere,
        measured: |report| Some([*report.rest.as_ref()?.resident_mb.last()?].into_iter().collect()),
        bound: Bound::AtMost(15.0),
        aim: None,
        unit: " MB",
    },
    Target {
        what: "weaved with three peers, CPU when idle",
        place: Place::Native,
        measured: |report| Some([report.rest.as_ref()?.cpu_percent].into_iter().collect()),
        bound: Bound::AtMost(0.2),
        aim: None,
        unit: " %",
    },
    Target {
        what: "weaved with three peers, CPU when idle, in the guest",
        place: Place::OpenVswitch,
        measured: |report| Some([report.rest.as_ref()?.cpu_percent].into_iter().collect()),
        bound: Bound::AtMost(0.2),
        aim: None,
        unit: " %",
    },
    Target {
        what: "one question of 10,000 names, p95",
        place: Place::Native,
        measured: |report| {
            let times = report.names.iter().map(|sample| sample.p95_ms);
            Some(times.collect())
        },
        bound: Bound::AtMost(1.0),
        aim: None,
        unit: " ms",
    },
    Target {
        what: "questions answered a second, name server on one core",
        place: Place::Native,
        measured: |report| {
            let rates = report.names.iter().map(Names::per_second);
            Some(rates.collect())
        },
        bound: Bound::AtLeast(20_000.0),
        aim: None,
        unit: "/s",
    },
    Target {
        what: "start of a container of Docker's, what the network adds, installed Docker",
        place: Place::Native,
        measured: |report| starts(report, Release::Installed, Starts::added),
        bound: Bound::AtMost(100.0),
        aim: None,
        unit: " ms",
    },
    Target {
        what: "start of a container of Docker's, what the network adds, newest Docker",
        place: Place::Native,
        measured: |report| starts(report, Release::Newest, Starts::added),
        bound: Bound::AtMost(100.0),
        aim: None,
        unit: " ms",
    },
];

fn ratios(report: &Report, way: Way, to: Way, figure: Figure) -> Option<Series> {
    Some(report.series(way, figure)?.ratios_to(report.series(to, figure)?))
}

fn starts(report: &Report, docker: Release, of: fn(&Starts) -> f64) -> Option<Series> {
    let of_it = report.containers.iter().filter(|start| start.docker == docker);
    Some(of_it.map(of).collect())
}

fn series(report: &Report, way: Way, figure: Figure) -> Option<Series> {
    report.series(way, figure).cloned()
}
