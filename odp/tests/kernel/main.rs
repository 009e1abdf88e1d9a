//! This crate against a kernel's Open vSwitch, judged by `ovs-dpctl`, `ip` and `ping`.
//!
//! Each test runs on a thread of its own in a network namespace of its own; the machine's namespace is
//! never touched. Where the kernel has no Open vSwitch the tests count as ignored. With
//! `WEAVE_LAB_GUEST=1`, in the lab's guest, a missing Open vSwitch is a failure. `--bench` measures.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bench;
mod datapath;
mod flows;
mod host;
mod keys;
mod namespace;
mod overlay;
mod upcalls;
mod vports;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use odp::{Odp, OpenError};

use crate::namespace::{NamespaceError, on_own_thread};

macro_rules! trials {
    ($($module:ident: $($name:ident),+;)+) => {
        vec![$($((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),+),+]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = why_not();
    let guest = std::env::var_os("WEAVE_LAB_GUEST").is_some_and(|value| value == "1");
    if let Some(reason) = missing.as_ref().filter(|_| !arguments.list) {
        eprintln!("not run: {reason}");
    }
    let ignored = missing.is_some() && !guest;
    let tests = trials! {
        datapath: a_datapath_is_created_once_and_adopted_afterwards,
            ports_and_flows_survive_their_user_and_are_adopted,
            a_device_of_another_kind_keeps_its_name,
            what_is_gone_is_reported_as_gone,
            without_privileges_open_says_so;
        vports: ports_are_added_adopted_and_removed,
            a_port_that_cannot_be_says_why,
            events_tell_of_ports_that_come_and_go;
        keys: every_key_is_accepted_matched_and_dumped_as_itself,
            a_tunnel_key_is_accepted_matched_and_dumped_as_itself,
            a_tags_priority_does_not_matter,
            an_untagged_key_does_not_match_tagged_frames,
            actions_are_dumped_as_they_were_put,
            the_length_of_a_frame_chooses_the_branch,
            tags_are_pushed_and_popped;
        flows: three_thousand_flows_are_put_dumped_and_deleted,
            putting_twice_is_putting_once,
            a_refused_flow_does_not_stop_the_others,
            the_difference_is_applied_also_to_flows_of_others,
            a_flow_and_its_packet_go_down_together,
            statistics_count_what_matched;
        upcalls: a_show_by_ovs_dpctl_does_not_break_per_cpu_dispatch,
            a_show_by_ovs_dpctl_breaks_dispatch_by_port_until_it_is_reasserted,
            another_process_takes_the_upcalls_over,
            an_overflow_is_counted_and_the_socket_goes_on;
        overlay: two_hosts_ping_over_vxlan,
            a_heartbeat_arrives_as_a_miss_with_its_tunnel;
    };
    let tests = tests.into_iter().map(|(name, run)| {
        let test = move || on_own_thread(run).map_err(|e| Failed::from(e.to_string()));
        Trial::test(name, test).with_ignored_flag(ignored)
    });
    // nextest cannot read the name that libtest-mimic lists a benchmark's kind by.
    let benches = if arguments.bench {
        bench::all(ignored)
    } else {
        vec![]
    };
    libtest_mimic::run(&arguments, tests.chain(benches).collect()).exit_code()
}

/// Why the tests cannot run here
fn why_not() -> Option<String> {
    let opened = on_own_thread(|| Odp::open().map(drop));
    match opened {
        Ok(Ok(())) => None,
        Ok(Err(OpenError::NoOpenVSwitch)) => Some("this kernel has no Open vSwitch".to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(NamespaceError::Unshare(errno)) => Some(format!("no network namespace, needs root: {errno}")),
        Err(panicked @ NamespaceError::Panicked(_)) => Some(panicked.to_string()),
    }
}
