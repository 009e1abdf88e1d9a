//! Upcalls reach the process that asked for them, whoever meddles.

use odp::{Dispatch, Dpif, Odp, Reasserted, UpcallSocket};
use openvswitch_sys::{UpcallCommand, UserFeatures};

use crate::host::{Host, drain, frame, next_upcall};
use crate::namespace::{eventually, sh};

fn any_frame() -> Vec<u8> {
    frame(&[0x88, 0xb5], 60)
}

fn lost(host: &mut Host) -> u64 {
    host.odp.datapath(&host.dp.name).unwrap().unwrap().stats.lost
}

pub(crate) fn a_show_by_ovs_dpctl_does_not_break_per_cpu_dispatch() {
    let mut host = Host::new();
    assert_eq!(host.odp.reassert_dispatch(&host.dp).unwrap(), Reasserted::AsItWas);
    sh("ovs-dpctl show");
    host.inject(&any_frame());
    assert_eq!(host.upcall().command, UpcallCommand::Miss);
    host.odp.reassert_dispatch(&host.dp).unwrap();
    assert_eq!(host.odp.reassert_dispatch(&host.dp).unwrap(), Reasserted::AsItWas);
    host.inject(&any_frame());
    assert_eq!(host.upcall().command, UpcallCommand::Miss);
    assert_eq!(lost(&mut host), 0);
}

pub(crate) fn a_show_by_ovs_dpctl_breaks_dispatch_by_port_until_it_is_reasserted() {
    let mut host = Host::with(Odp::open().unwrap().without_per_cpu_dispatch());
    assert_eq!(host.dp.dispatch, Dispatch::VportPids(vec![host.upcalls.pid()]));
    assert_eq!(host.odp.reassert_dispatch(&host.dp).unwrap(), Reasserted::AsItWas);
    for vport in host.odp.vports(&host.dp).unwrap() {
        assert_eq!(vport.upcall_pids, [host.upcalls.pid().0], "{}", vport.name);
    }
    host.inject(&any_frame());
    assert_eq!(host.upcall().command, UpcallCommand::Miss);

    sh("ovs-dpctl show");
    host.inject(&any_frame());
    eventually("the upcall is lost", || lost(&mut host) == 1);

    let found = UserFeatures::PER_CPU;
    assert_eq!(
        host.odp.reassert_dispatch(&host.dp).unwrap(),
        Reasserted::Restored { found }
    );
    host.inject(&any_frame());
    assert_eq!(host.upcall().command, UpcallCommand::Miss);
    host.put(host.key(openvswitch_sys::Vlans::None), vec![host.tell(5)]);
    host.inject(&any_frame());
    assert_eq!(host.upcall().cookie, Some(5), "the action's own socket");
}

pub(crate) fn another_process_takes_the_upcalls_over() {
    for per_cpu in [true, false] {
        let open = || {
            let odp = Odp::open().unwrap();
            if per_cpu {
                odp
            } else {
                odp.without_per_cpu_dispatch()
            }
        };
        let Host {
            odp,
            upcalls,
            dp,
            near,
            far,
        } = Host::with(open());
        drop((odp, upcalls));

        let mut odp = open();
        let mut upcalls = UpcallSocket::open(1 << 20).unwrap();
        let adopted = odp.create_or_adopt(&dp.name, &[upcalls.pid()]).unwrap();
        assert!(adopted.adopted);
        let mut host = Host {
            odp,
            upcalls,
            dp: adopted,
            near,
            far,
        };
        host.inject(&any_frame());
        assert_eq!(host.upcall().key.in_port, far, "per_cpu: {per_cpu}");

        // And from the other kind of dispatch
        upcalls = UpcallSocket::open(1 << 20).unwrap();
        let mut other = Odp::open().unwrap();
        if per_cpu {
            other = other.without_per_cpu_dispatch();
        }
        other.create_or_adopt(&dp.name, &[upcalls.pid()]).unwrap();
        host.inject(&any_frame());
        assert!(next_upcall(&mut upcalls).is_some(), "per_cpu: {per_cpu}");
        host.odp.delete_datapath(&dp).unwrap();
        sh("ip link del near");
    }
}

pub(crate) fn an_overflow_is_counted_and_the_socket_goes_on() {
    let mut host = Host::new();
    let mut small = UpcallSocket::open(64 * 1024).unwrap();
    host.dp = host.odp.create_or_adopt(&host.dp.name, &[small.pid()]).unwrap();
    let burst = 2000;
    for _ in 0..burst {
        host.inject(&frame(&[0x88, 0xb5], 1400));
    }
    eventually("all were looked up", || {
        host.odp.datapath(&host.dp.name).unwrap().unwrap().stats.missed >= burst
    });

    let received = drain(&mut small);
    assert!(received.lost_enobufs);
    assert!(received.count > 0 && received.malformed == 0, "{received:?}");
    let dropped = lost(&mut host);
    assert_eq!(received.count as u64 + dropped, burst, "each came or is counted");
    assert_eq!(u64::from(small.drops().unwrap()), dropped);

    host.inject(&any_frame());
    assert!(next_upcall(&mut small).is_some(), "the socket goes on");
    assert!(!drain(&mut small).lost_enobufs, "the overflow is reported once");
}
