//! Which flags are good, what they become, and what is said of the others.

use clap::Parser as _;
use proptest::prelude::*;

use super::*;
use crate::cli::{Cli, Command};

fn settings(args: &[&str]) -> Result<Settings> {
    let parsed = Cli::try_parse_from(["weavectl", "launch"].iter().chain(args))?;
    let Command::Launch(launch) = parsed.command else {
        bail!("no launch")
    };
    Settings::new(*launch, &parsed.socket)
}

#[test]
fn what_is_not_given_is_left_to_weaved() {
    let settings = settings(&[]).unwrap();
    assert!(
        settings.flags.is_empty() && settings.log_file.is_none(),
        "{settings:?}"
    );
}

#[test]
fn each_flag_is_handed_on_as_weaved_takes_it() {
    for (given, handed_on) in [
        (&["--port", "7000"][..], &["--port=7000"][..]),
        (&["--port", "65534"], &["--port=65534"]),
        (&["--host", "10.0.0.1"], &["--host=10.0.0.1"]),
        (&["--name", "7A:00:00:00:00:01"], &["--name=7a:00:00:00:00:01"]),
        (&["--nickname", "host1"], &["--nickname=host1"]),
        (&["--mtu", "576"], &["--mtu=576"]),
        (&["--mtu", "65535"], &["--mtu=65535"]),
        (&["--datapath", "weave2"], &["--datapath=weave2"]),
        (
            &["--trusted-subnets", "10.1.0.0/16, 10.2.0.0/16"],
            &["--trusted-subnets=10.1.0.0/16,10.2.0.0/16"],
        ),
        (&["--trusted-subnets", ""], &[]),
        (
            &["--dns-allow", "192.0.2.0/24, fd00::/8"],
            &["--dns-allow=192.0.2.0/24,fd00::/8"],
        ),
        (&["--dns-allow", ""], &[]),
        (&["--conn-limit", "0"], &["--conn-limit=0"]),
        (&["--sleeve-threads", "3"], &["--sleeve-threads=3"]),
        (&["--vxlan-csum", "off"], &["--vxlan-csum=off"]),
        (&["--heartbeat-interval", "500"], &["--heartbeat-interval=500"]),
        (&["--heartbeat-interval", "250ms"], &["--heartbeat-interval=250"]),
        (&["--restart-grace", "5s"], &["--restart-grace=5000"]),
        (&["--ipalloc-hold", "5m"], &["--ipalloc-hold=300"]),
        (&["--ipalloc-hold", "0"], &["--ipalloc-hold=0"]),
        (
            &["--dns-domain", "corp.example."],
            &["--dns-domain=corp.example."],
        ),
        (
            &["--dns-upstream", "192.0.2.1", "--dns-upstream", "192.0.2.2:5353"],
            &["--dns-upstream=192.0.2.1", "--dns-upstream=192.0.2.2:5353"],
        ),
        (&["--resolv-conf", "/run/x.conf"], &["--resolv-conf=/run/x.conf"]),
        (&["--state-dir", "/var/lib/x"], &["--state-dir=/var/lib/x"]),
        (&["--log-level", "warn"], &["--log-level=warning"]),
        (&["--socket", "/run/x.sock"], &["--socket=/run/x.sock"]),
        (
            &["--no-fastdp", "--no-discovery"],
            &["--no-fastdp", "--no-discovery"],
        ),
        (&["--resume"], &["--resume"]),
        (&["host1", "10.0.0.2:7000"], &["host1", "10.0.0.2:7000"]),
    ] {
        assert_eq!(settings(given).unwrap().flags, handed_on, "{given:?}");
    }
}

#[test]
fn each_mistake_costs_one_line() {
    for (given, told) in [
        (
            &["--port", "0"][..],
            "bad --port \"0\": a port is a number from 1 to 65534",
        ),
        (
            &["--port", "65535"],
            "bad --port \"65535\": a port is a number from 1 to 65534",
        ),
        (
            &["--port", "http"],
            "bad --port \"http\": a port is a number from 1 to 65534",
        ),
        (&["--host", "host1"], "bad --host \"host1\": not an IP address"),
        (
            &["--name", "host1"],
            "bad --name \"host1\": a peer name has the form of an Ethernet address, as in 7a:c0:00:12:34:56",
        ),
        (
            &["--name", "ff:ff:ff:ff:ff:ff"],
            "bad --name \"ff:ff:ff:ff:ff:ff\": ff:ff:ff:ff:ff:ff cannot be a peer name: it is a group address or zero",
        ),
        (
            &["--nickname", "a b"],
            "bad --nickname \"a b\": a nickname cannot contain ' '",
        ),
        (
            &["--mtu", "575"],
            "bad --mtu \"575\": an MTU is a number from 576 to 65535",
        ),
        (
            &["--mtu", "65536"],
            "bad --mtu \"65536\": an MTU is a number from 576 to 65535",
        ),
        (
            &["--datapath", "much-too-long-for-linux"],
            "bad --datapath \"much-too-long-for-linux\": \"much-too-long-for-linux\" is not a device name: \
             1 to 15 bytes, no '/', ':' or space",
        ),
        (
            &["--trusted-subnets", "10.0.0.0/8,10.0.0.0/33"],
            "bad --trusted-subnets \"10.0.0.0/8,10.0.0.0/33\": \"10.0.0.0/33\" is not a CIDR; \
             expected an address with a prefix length as in 10.0.1.1/24",
        ),
        (
            &["--dns-allow", "everybody"],
            "bad --dns-allow \"everybody\": \"everybody\" is not a CIDR; expected an address with a prefix length \
             as in 10.0.1.1/24",
        ),
        (
            &["--conn-limit", "many"],
            "bad --conn-limit \"many\": not a number",
        ),
        (
            &["--sleeve-threads", "0"],
            "bad --sleeve-threads \"0\": a number from 1 to 64",
        ),
        (
            &["--vxlan-csum", "maybe"],
            "bad --vxlan-csum \"maybe\": either on or off",
        ),
        (
            &["--heartbeat-interval", "19ms"],
            "bad --heartbeat-interval \"19ms\": a time from 20ms to 600s",
        ),
        (
            &["--ipalloc-hold", "2h"],
            "bad --ipalloc-hold \"2h\": a time from 1s to 60m as in 30s or 5m, or 0 for not at all",
        ),
        (
            &["--restart-grace", "1h"],
            "bad --restart-grace \"1h\": a time from 20ms to 600s",
        ),
        (
            &["--restart-grace", "99999999999999999999s"],
            "bad --restart-grace \"99999999999999999999s\": a time from 20ms to 600s",
        ),
        (
            &["--log-level", "loud"],
            "bad --log-level \"loud\": one of debug, info, warning, error",
        ),
        (&["--state-dir", ""], "bad --state-dir \"\": not a path"),
        (&[":99"], "invalid peer name \":99\", should be host[:port]"),
        (
            &["host1", "host2:0"],
            "invalid peer name \"host2:0\", should be host[:port]",
        ),
        (
            &["--resume", "host1"],
            "--resume takes the peers known from before; give no others with it",
        ),
        (
            &["--password", "a\nb"],
            "the password contains a control character",
        ),
    ] {
        let error = settings(given).unwrap_err();
        assert_eq!(crate::exit::one_line(&error), told, "{given:?}");
    }
}

#[test]
fn a_password_is_on_no_command_line() {
    let settings = settings(&["--password", "secret", "host1"]).unwrap();
    assert_eq!(settings.flags, ["host1"]);
    assert_eq!(settings.password.as_deref(), Some("secret"));
}

#[test]
fn an_empty_password_is_none() {
    assert_eq!(settings(&["--password", ""]).unwrap().password, None);
}

#[test]
fn paths_are_handed_on_from_the_root() {
    let settings = settings(&["--state-dir", "state", "--log-file", "log"]).unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        settings.flags,
        [format!("--state-dir={}", here.join("state").display())]
    );
    assert_eq!(settings.log_file, Some(here.join("log")));
}

proptest! {
    #[test]
    fn any_arguments_are_settings_or_an_error(args in prop::collection::vec(argument(), 0..6)) {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        if let Err(error) = settings(&args) {
            prop_assert!(!crate::exit::one_line(&error).contains('\n'));
        }
    }
}

fn argument() -> impl Strategy<Value = String> {
    let flags = [
        "--port",
        "--host",
        "--name",
        "--mtu",
        "--trusted-subnets",
        "--dns-allow",
        "--restart-grace",
        "--state-dir",
        "--resume",
    ];
    prop_oneof![
        prop::sample::select(flags.to_vec()).prop_map(ToOwned::to_owned),
        ".{0,20}",
        "[0-9./:]{1,20}"
    ]
}
