//! What the kernel takes for a request, with `--bench`.

use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Measurement, Trial};
use odp::{Dpif, Execute, PacketKey};
use openvswitch_sys::{Action, FlowKey, PortNo, Vlans};

use crate::flows::many;
use crate::host::{Host, frame};
use crate::namespace::on_own_thread;

type Flows = Vec<(FlowKey, Vec<Action>)>;
type Run = fn(&mut Host, &Flows);

pub(crate) fn all(ignored: bool) -> Vec<Trial> {
    let per_flow: [(&str, Run); 5] = [
        ("put, one by one", |host, flows| {
            for flow in flows.chunks(1) {
                host.odp.put_flows(&host.dp, flow).unwrap();
            }
        }),
        ("put, batched", |host, flows| {
            drop(host.odp.put_flows(&host.dp, flows).unwrap())
        }),
        ("install_and_execute, one by one", |host, flows| {
            install_and_execute(host, flows, 1)
        }),
        ("install_and_execute, 16 at a time", |host, flows| {
            install_and_execute(host, flows, 16)
        }),
        ("execute, one by one", |host, flows| {
            install_and_execute_packets(host, flows.len())
        }),
    ];
    let trial = |(name, run): (&str, Run)| {
        let bench = move |_test_mode| {
            let times = on_own_thread(move || measure(run));
            times
                .map(|t| Some(summary(&t)))
                .map_err(|e| Failed::from(e.to_string()))
        };
        Trial::bench(format!("bench::{name}"), bench).with_ignored_flag(ignored)
    };
    per_flow.into_iter().map(trial).collect()
}

fn install_and_execute(host: &mut Host, flows: &Flows, at_a_time: usize) {
    let (packet, near) = (frame(&[0x88, 0xb5], 100), [Action::Output(host.near)]);
    let key = PacketKey::InPort(PortNo::LOCAL);
    let packets = vec![
        Execute {
            packet: &packet,
            key,
            actions: &near,
            hash: None
        };
        at_a_time
    ];
    for some in flows.chunks(at_a_time) {
        host.odp
            .install_and_execute(&host.dp, some, &packets[..some.len()])
            .unwrap();
    }
}

fn install_and_execute_packets(host: &mut Host, count: usize) {
    let packet = frame(&[0x88, 0xb5], 100);
    for _ in 0..count {
        host.inject(&packet);
    }
}

/// The time of each round on an empty table; the frames sent meet a flow that drops them
fn measure(run: Run) -> Vec<Duration> {
    let mut host = Host::new();
    let flows = many(&host, COUNT);
    let round = |_round| {
        host.odp.flush_flows(&host.dp).unwrap();
        host.put(host.key(Vlans::None), vec![]);
        let start = Instant::now();
        run(&mut host, &flows);
        start.elapsed()
    };
    (0..ROUNDS).map(round).collect()
}

/// The median of nanoseconds for one of [`COUNT`], and how far the rounds differ
fn summary(times: &[Duration]) -> Measurement {
    let each = |t: &Duration| t.as_nanos() as u64 / u64::from(COUNT);
    let mut each: Vec<u64> = times.iter().map(each).collect();
    each.sort_unstable();
    let at = |i: usize| each.get(i).copied().unwrap_or(0);
    Measurement {
        avg: at(each.len() / 2),
        variance: at(each.len().saturating_sub(1)) - at(0),
    }
}

const COUNT: u32 = 3000;
const ROUNDS: u32 = 11;
