//! Datapaths: made, adopted, gone.

use std::collections::BTreeMap;

use odp::{DatapathError, Dispatch, Dpif, Odp, OpenError, Refusal, RequestError, UpcallSocket};
use openvswitch_sys::{Action, PortNo, Vlans};

use crate::host::{Host, netdev, vxlan};
use crate::namespace::sh;

pub(crate) fn a_datapath_is_created_once_and_adopted_afterwards() {
    let mut odp = Odp::open().unwrap();
    let upcalls = UpcallSocket::open(1 << 20).unwrap();
    let name = "weave".parse().unwrap();
    assert_eq!(odp.datapath(&name).unwrap(), None);

    let made = odp.create_or_adopt(&name, &[upcalls.pid()]).unwrap();
    let found = odp.create_or_adopt(&name, &[upcalls.pid()]).unwrap();

    assert!(!made.adopted && found.adopted);
    assert_eq!((made.ifindex, &made.dispatch), (found.ifindex, &found.dispatch));
    assert!(
        matches!(made.dispatch, Dispatch::PerCpu(_)),
        "Linux >= 5.15: {:?}",
        made.dispatch
    );
    assert!(sh("ovs-dpctl show").contains("system@weave:"));
    let device: serde_json::Value = serde_json::from_str(&sh("ip -j link show weave")).unwrap();
    assert_eq!(device[0]["ifindex"], made.ifindex);

    odp.delete_datapath(&found).unwrap();
    odp.delete_datapath(&found).unwrap();
    assert_eq!(sh("ovs-dpctl show"), "");
}

pub(crate) fn ports_and_flows_survive_their_user_and_are_adopted() {
    let mut host = Host::new();
    let tunnel_port = host.odp.add_vport(&host.dp, &vxlan()).unwrap();
    let (near, key) = (host.near, host.key(Vlans::None));
    host.put(key, vec![Action::Output(PortNo::LOCAL)]);
    let before = host.odp.dump_flows(&host.dp).unwrap();
    let dump_before = sh("ovs-dpctl dump-flows weave");
    drop(host);

    let mut odp = Odp::open().unwrap();
    let upcalls = UpcallSocket::open(1 << 20).unwrap();
    let dp = odp
        .create_or_adopt(&"weave".parse().unwrap(), &[upcalls.pid()])
        .unwrap();

    assert!(dp.adopted);
    assert_eq!(odp.dump_flows(&dp).unwrap(), before);
    assert_eq!(sh("ovs-dpctl dump-flows weave"), dump_before);
    assert_eq!(odp.add_vport(&dp, &vxlan()).unwrap(), tunnel_port);
    assert_eq!(odp.add_vport(&dp, &netdev("near")).unwrap(), near);
    let wanted = BTreeMap::from([(key, vec![Action::Output(PortNo::LOCAL)])]);
    assert!(odp::reconcile(&wanted, &before).is_empty());
}

pub(crate) fn a_device_of_another_kind_keeps_its_name() {
    sh("ip link add weave type dummy");
    let error = Odp::open()
        .unwrap()
        .create_or_adopt(&"weave".parse().unwrap(), &[])
        .unwrap_err();
    assert!(matches!(error, DatapathError::NameTaken { .. }), "{error:?}");
    assert!(sh("ip -d link show weave").contains("dummy"));
}

pub(crate) fn what_is_gone_is_reported_as_gone() {
    let mut host = Host::new();
    sh("ovs-dpctl del-dp weave");
    let (dp, key) = (host.dp.clone(), host.key(Vlans::None));
    assert!(matches!(host.odp.vports(&dp), Err(RequestError::DatapathGone)));
    assert!(matches!(
        host.odp.dump_flows(&dp),
        Err(RequestError::DatapathGone)
    ));
    assert!(matches!(
        host.odp.reassert_dispatch(&dp),
        Err(RequestError::DatapathGone)
    ));
    assert!(matches!(
        host.odp.del_flows(&dp, &[key.ufid()]),
        Err(RequestError::DatapathGone)
    ));
    assert!(matches!(
        host.odp.flush_flows(&dp),
        Err(RequestError::DatapathGone)
    ));
    let put = host.odp.put_flows(&dp, &[(key, vec![]), (key, vec![])]).unwrap();
    assert_eq!(put, [Err(Refusal::DatapathGone); 2]);
    host.odp.del_vport(&dp, host.near).unwrap();
    host.odp.delete_datapath(&dp).unwrap();
    assert_eq!(host.odp.datapath(&dp.name).unwrap(), None);
}

pub(crate) fn without_privileges_open_says_so() {
    become_nobody();
    let error = Odp::open().map(drop).unwrap_err();
    assert!(matches!(error, OpenError::PermissionDenied), "{error:?}");
}

/// Takes this thread's privileges; the C library's `setresuid` would take all threads'
#[allow(unsafe_code)]
fn become_nobody() {
    const NOBODY: libc::uid_t = 65534;
    // SAFETY: the call changes the credentials of the calling thread and touches no memory.
    let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
    assert_eq!(result, 0);
}
