//! Creations that no client of Docker's own sends, and what becomes of them.

#![allow(clippy::unwrap_used)]

use docker::create::{Dns, HostnamePolicy, Policy, Rewrite, addresses, rewrite};

const JOINED: &str = r#""HostConfig":{"Dns":["172.17.0.1"],"DnsSearch":["weave.local"]}"#;

#[test]
fn odd_creations_join() {
    for (body, after) in [
        ("{}", format!("{{{JOINED}}}")),
        (r#"{"HostConfig":null}"#, format!("{{{JOINED}}}")),
        (r#"{"HostConfig":{}}"#, format!("{{{JOINED}}}")),
        (
            r#"{"HostConfig":{"NetworkMode":null,"Dns":null,"DnsSearch":null},"Env":null,"Labels":null,"Hostname":null,"NetworkingConfig":null}"#,
            r#"{"HostConfig":{"NetworkMode":null,"Dns":["172.17.0.1"],"DnsSearch":["weave.local"]},"Env":null,"Labels":null,"Hostname":null,"NetworkingConfig":null}"#.to_owned(),
        ),
        (
            r#"{"hostconfig":{"networkmode":"bridge","DNS":[ ],"dnssearch":["a"]}}"#,
            r#"{"hostconfig":{"networkmode":"bridge","DNS":["172.17.0.1"],"dnssearch":["a"]}}"#.to_owned(),
        ),
        (
            "{\n  \"Image\": \"img\" ,\n  \"HostConfig\": { \"Memory\": 18446744073709551616 }\n}\n",
            "{\"Image\":\"img\",\"HostConfig\":{\"Memory\":18446744073709551616,\"Dns\":[\"172.17.0.1\"],\"DnsSearch\":[\"weave.local\"]}}\n".to_owned(),
        ),
        ("{} and more", format!("{{{JOINED}}} and more")),
        (r#"{"Hostname":"web","Domainname":"example.com","HostConfig":{"DnsSearch":["b"]}}"#,
         r#"{"Hostname":"web","Domainname":"example.com","HostConfig":{"DnsSearch":["b"],"Dns":["172.17.0.1"]}}"#.to_owned()),
    ] {
        assert_eq!(joined(body, None).as_deref(), Some(after.as_str()), "{body}");
    }
}

#[test]
fn what_docker_refuses_or_others_connect_is_left_alone() {
    for body in [
        "",
        "null",
        "[]",
        "\"a\"",
        "{",
        r#"{"HostConfig":[]}"#,
        r#"{"HostConfig":{"NetworkMode":1}}"#,
        r#"{"Env":"WEAVE_CIDR=10.2.1.1/24"}"#,
        r#"{"Labels":[]}"#,
        r#"{"Hostname":1}"#,
        r#"{"Domainname":[]}"#,
        r#"{"HostConfig":{"NetworkMode":"host"}}"#,
        r#"{"HostConfig":{"NetworkMode":"Bridge"}}"#,
        r#"{"HostConfig":{"NetworkMode":"container:5f3a"}}"#,
        r#"{"HostConfig":{"NetworkMode":"weave"}}"#,
        r#"{"HostConfig":{"NetworkMode":"nat"}}"#,
        r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"other":{}}}}"#,
        r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"none":{},"other":{}}}}"#,
        r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"none":7}}}"#,
        r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":[]}}"#,
        r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":{"EndpointsConfig":{"none":{"DriverOpts":7}}}}"#,
        r#"{"HostConfig":{"NetworkMode":"none"},"NetworkingConfig":7}"#,
        r#"{"Env":["WEAVE_CIDR=none"]}"#,
    ] {
        assert_eq!(joined(body, Some("c1")), None, "{body}");
    }
}

#[test]
fn bytes_that_are_no_text_are_what_docker_takes_them_for() {
    let Rewrite::Joined { body, .. } = rewrite(b"{\"User\":\"\xff\"}", None, &policy("")).unwrap() else {
        panic!("it is on the network");
    };
    assert_eq!(
        String::from_utf8(body).unwrap(),
        format!("{{\"User\":\"\u{fffd}\",{JOINED}}}")
    );
}

#[test]
fn the_hostname_comes_from_the_label_or_the_name() {
    let fits = "x".repeat(64 - ".weave.local".len());
    let too_long = format!("{fits}x");
    let labelled = |value: &str| format!(r#""Labels":{{"hostname":{value}}}"#);
    for (name, rest, hostname, dns) in [
        (Some("c1"), "", Some("c1"), Some("c1")),
        (None, "", None, None),
        (Some("/c1"), "", Some("c1"), Some("c1")),
        (Some("a.b"), "", Some("a.b"), Some("a.b")),
        (Some("a_b"), "", Some("a_b"), Some("a_b")),
        (Some("a b"), "", None, None),
        (Some(fits.as_str()), "", Some(fits.as_str()), Some(fits.as_str())),
        (Some(too_long.as_str()), "", None, Some(too_long.as_str())),
        (Some("c1"), &labelled(r#""web""#), Some("web"), Some("web")),
        (None, &labelled(r#""web""#), Some("web"), Some("web")),
        (Some("c1"), &labelled("null"), Some("c1"), Some("c1")),
        (Some("c1"), &labelled(r#""no name""#), None, None),
        (
            Some("c1"),
            r#""Labels":{"Hostname":"web"}"#,
            Some("c1"),
            Some("c1"),
        ),
        (Some("c1"), r#""Hostname":"web""#, None, Some("c1")),
        (None, r#""Hostname":"web""#, None, Some("web")),
        (Some("c1"), r#""HostConfig":{"UTSMode":"host"}"#, None, Some("c1")),
    ] {
        let body = format!("{{{rest}}}");
        let became = rewrite(body.as_bytes(), name, &policy("hostname")).unwrap();
        let Rewrite::Joined { body, connect } = became else {
            panic!("{rest}");
        };
        let body = String::from_utf8(body).unwrap();
        let set = hostname.map(|name| format!(r#""Hostname":"{name}","Domainname":"weave.local""#));
        assert_eq!(body.contains("Domainname"), set.is_some(), "{name:?} {body}");
        assert!(set.is_none_or(|set| body.contains(&set)), "{name:?} {body}");
        let whole = dns.map(|name| format!("{name}.weave.local"));
        assert_eq!(connect.name, whole, "{name:?} {body}");
    }
}

#[test]
fn a_domain_of_the_client_s_own_is_searched_by_itself() {
    for (rest, searched) in [
        (r#""Hostname":"web""#, "weave.local"),
        (r#""Hostname":"web.example.com""#, "."),
        (r#""Hostname":"web","Domainname":"example.com""#, "."),
        (r#""Hostname":"web.Weave.Local""#, "weave.local"),
        (r#""Hostname":"web","Domainname":"weave.local""#, "weave.local"),
        (
            r#""Hostname":"web","Domainname":"sub.weave.local""#,
            "weave.local",
        ),
        (r#""Domainname":"example.com""#, "."),
    ] {
        let body = joined(&format!("{{{rest}}}"), None).unwrap();
        assert!(body.contains(&format!(r#""DnsSearch":["{searched}"]"#)), "{body}");
    }
}

#[test]
fn the_addresses_of_a_creation_are_known_before_it() {
    for (body, asked) in [
        (r#"{"Env":["WEAVE_CIDR=10.2.1.1/24"]}"#, Some("10.2.1.1/24")),
        (
            r#"{"Env":["WEAVE_CIDR=10.2.1.1/24"],"HostConfig":{"NetworkMode":"none"}}"#,
            Some("10.2.1.1/24"),
        ),
        (
            r#"{"Env":["WEAVE_CIDR=10.2.1.1/24"],"HostConfig":{"NetworkMode":"host"}}"#,
            None,
        ),
        (r#"{"Env":["WEAVE_CIDR=none"]}"#, None),
        ("{}", None),
        ("", None),
    ] {
        assert_eq!(addresses(body.as_bytes()).unwrap().as_deref(), asked, "{body}");
    }
    let refused = br#"{"Env":["WEAVE_CIDR=none 10.2.1.1/24"]}"#;
    assert!(addresses(refused).is_err());
    assert!(rewrite(refused, None, &policy("")).is_err());
    let elsewhere = br#"{"Env":["WEAVE_CIDR=none 10.2.1.1/24"],"HostConfig":{"NetworkMode":"host"}}"#;
    assert_eq!(rewrite(elsewhere, None, &policy("")), Ok(Rewrite::Unchanged));
}

fn joined(body: &str, name: Option<&str>) -> Option<String> {
    match rewrite(body.as_bytes(), name, &policy("")).unwrap() {
        Rewrite::Unchanged => None,
        Rewrite::Joined { body, .. } => Some(String::from_utf8(body).unwrap()),
    }
}

fn policy(label: &str) -> Policy {
    Policy {
        dns: Some(Dns {
            server: [172, 17, 0, 1].into(),
            domain: "weave.local.".to_owned(),
        }),
        hostname: HostnamePolicy::new(Some(label.to_owned()), "(.*)", "$1").unwrap(),
        ..Policy::default()
    }
}
