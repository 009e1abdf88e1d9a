use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_is_consistent() {
    Args::command().debug_assert();
}

#[test]
fn wrong_values_are_refused_by_name() {
    #[rustfmt::skip]
    let table: &[(&[&str], &str)] = &[
        (&["--port", "0"], "--port"),
        (&["--port", "65535"], "--port"),
        (&["--port", "weave"], "--port"),
        (&["--host", "300.1.1.1"], "--host"),
        (&["--host", "host1"], "--host"),
        (&["--name", "bob"], "--name"),
        (&["--name", "ff:ff:ff:ff:ff:ff"], "--name"),
        (&["--name", "00:00:00:00:00:00"], "--name"),
        (&["--nickname", "a b"], "--nickname"),
        (&["--nickname", ""], "--nickname"),
        (&["--mtu", "575"], "--mtu"),
        (&["--mtu", "65536"], "--mtu"),
        (&["--datapath", "much-too-long-for-linux"], "--datapath"),
        (&["--datapath", "a/b"], "--datapath"),
        (&["--trusted-subnets", "10.0.0.0/33"], "--trusted-subnets"),
        (&["--trusted-subnets", "10.0.0.0/8,home"], "--trusted-subnets"),
        (&["--conn-limit=-1"], "--conn-limit"),
        (&["--resume", "host1"], "--resume"),
        (&["--log-level", "loud"], "--log-level"),
        (&["--sleeve-threads", "0"], "--sleeve-threads"),
        (&["--sleeve-threads", "65"], "--sleeve-threads"),
        (&["--vxlan-csum", "maybe"], "--vxlan-csum"),
        (&["--heartbeat-interval", "0"], "a number of milliseconds from 20 to 600000"),
        (&["--heartbeat-interval", "600001"], "--heartbeat-interval"),
        (&["--heartbeat-interval", "1s"], "--heartbeat-interval"),
        (&["--restart-grace", "19"], "--restart-grace"),
        (&["--password-file"], "--password-file"),
        (&["--reset", "host1"], "--reset"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&[":99"], "invalid peer name \":99\""),
        (&["host1:0"], "host1:0"),
        (&["host1:99999"], "host1:99999"),
        (&["two words"], "two words"),
        (&[""], "invalid peer name"),
    ];
    for (flags, named) in table {
        let error = Args::try_parse_from(["weaved"].iter().chain(*flags))
            .unwrap_err()
            .to_string();
        assert!(error.contains(named), "{flags:?}: {error}");
    }
}

#[test]
fn the_least_and_the_most_of_each_range_are_taken() {
    for flags in [
        ["--port", "1"],
        ["--port", "65534"],
        ["--mtu", "576"],
        ["--mtu", "65535"],
        ["--conn-limit", "0"],
        ["--sleeve-threads", "1"],
        ["--sleeve-threads", "64"],
        ["--heartbeat-interval", "20"],
        ["--restart-grace", "600000"],
        ["--host", "::1"],
        ["--datapath", "fifteen-letters"],
    ] {
        let parsed = Args::try_parse_from(["weaved"].iter().chain(&flags));
        assert!(parsed.is_ok(), "{flags:?}: {parsed:?}");
    }
}

#[test]
fn every_flag_has_its_documented_default() {
    let args = Args::try_parse_from(["weaved"]).unwrap();
    assert_eq!((args.port, args.conn_limit, args.mtu), (6783, 0, None));
    assert_eq!(args.host, std::net::Ipv4Addr::UNSPECIFIED);
    assert_eq!(args.datapath.as_str(), "weave");
    assert_eq!(args.heartbeat_interval, Duration::from_millis(500));
    assert_eq!(args.restart_grace, Duration::from_secs(5));
    assert_eq!(
        (args.log_level, args.vxlan_csum),
        (LogLevel::Info, Switchable::On)
    );
    let switches = [args.no_fastdp, args.no_discovery, args.resume, args.reset];
    assert_eq!(switches, [false; 4]);
}

#[test]
fn there_is_a_sleeve_thread_of_each_kind_for_two_cpus() {
    let by_cpus = [0, 1, 2, 3, 4, 7, 8, 64, 512].map(threads_for);
    assert_eq!(by_cpus, [1, 1, 1, 1, 2, 3, 4, 4, 4]);
    let asked = Args::try_parse_from(["weaved", "--sleeve-threads", "3"]).unwrap();
    assert_eq!(asked.sleeve_threads(), 3);
}
