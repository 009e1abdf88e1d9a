//! What holds of any bytes and of any creation.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use docker::create::{Dns, HostnamePolicy, Policy, Rewrite, rewrite};
use docker::plugin::{CreateEndpoint, Wanted};
use docker::request::{Request, classify};
use docker::{inspect, names, plugin, start};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::value::RawValue;

/// The members of an object, each as it is written
type Members = BTreeMap<String, Box<RawValue>>;

/// What may become something else
const CHANGED: [&str; 4] = ["Hostname", "Domainname", "HostConfig", "NetworkingConfig"];
const CHANGED_OF_HOST: [&str; 3] = ["Dns", "DnsSearch", "NetworkMode"];

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in vec(any::<u8>(), 0..300), text in ".{0,80}") {
        let _ = rewrite(&bytes, Some(&text), &policy());
        let _ = inspect::rewrite(&bytes, "weave");
        let _ = start::mend(&bytes, &bytes, "weave");
        let _ = plugin::request::<CreateEndpoint>(&bytes);
        let _ = classify(&text, &String::from_utf8_lossy(&bytes));
        let called = names::Called { name: &text, hostname: &text, domainname: "weave.local" };
        if let Some(name) = names::in_domain(called, "weave.local") {
            prop_assert!(name.ends_with(".weave.local") && name.len() <= names::MAX_NAME_BYTES, "{}", name);
        }
    }

    #[test]
    fn any_json_is_taken(value in json(), name in name()) {
        let _ = rewrite(value.as_bytes(), name.as_deref(), &policy());
        let _ = inspect::rewrite(value.as_bytes(), "weave");
        let _ = start::mend(value.as_bytes(), value.as_bytes(), "weave");
        if let Ok(request) = plugin::request::<CreateEndpoint>(value.as_bytes()) {
            prop_assert!(!Wanted::from(&request).key.is_empty());
        }
    }

    #[test]
    fn only_what_is_named_changes(creation in creation(), name in name()) {
        let became = rewrite(creation.as_bytes(), name.as_deref(), &policy());
        if let Ok(Rewrite::Joined { body, .. }) = became {
            let (before, after) = (members(creation.as_bytes()), members(&body));
            unchanged_but(&CHANGED, &before, &after)?;
            unchanged_but(&CHANGED_OF_HOST, &host(&before), &host(&after))?;
        }
    }

    #[test]
    fn what_was_rewritten_stays(creation in creation(), name in name()) {
        let once = rewrite(creation.as_bytes(), name.as_deref(), &policy());
        if let Ok(Rewrite::Joined { body, connect }) = once {
            let again = rewrite(&body, name.as_deref(), &policy());
            match connect.anew {
                None => prop_assert_eq!(again, Ok(Rewrite::Joined { body, connect })),
                Some(_) => prop_assert_eq!(again, Ok(Rewrite::Unchanged)),
            }
        }
    }

    #[test]
    fn a_name_survives_its_escaping(name in ".{1,30}") {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        prop_assert_eq!(
            classify("POST", &format!("/v1.41/containers/create?name={escaped}")),
            Request::Create { name: Some(name) }
        );
    }
}

fn unchanged_but(changed: &[&str], before: &Members, after: &Members) -> Result<(), TestCaseError> {
    let rest = |members: &Members| -> Vec<(String, String)> {
        let is_changed = |key: &str| changed.iter().any(|name| key.eq_ignore_ascii_case(name));
        let rest = members.iter().filter(|(key, _)| !is_changed(key));
        rest.map(|(key, value)| (key.clone(), value.get().to_owned()))
            .collect()
    };
    prop_assert_eq!(rest(before), rest(after));
    Ok(())
}

fn members(object: &[u8]) -> Members {
    serde_json::from_slice(object).unwrap()
}

fn host(members: &Members) -> Members {
    let host = members.get("HostConfig").map(|host| host.get());
    host.filter(|host| *host != "null")
        .map(|host| serde_json::from_str(host).unwrap())
        .unwrap_or_default()
}

fn policy() -> Policy {
    Policy {
        dns: Some(Dns {
            server: [172, 17, 0, 1].into(),
            domain: "weave.local.".to_owned(),
        }),
        hostname: HostnamePolicy::new(Some("hostname".to_owned()), "(.*)", "$1").unwrap(),
        ..Policy::default()
    }
}

fn name() -> impl Strategy<Value = Option<String>> {
    prop_oneof![
        Just(None),
        "[a-z][a-z0-9_.-]{0,70}".prop_map(Some),
        ".{0,10}".prop_map(Some)
    ]
}

/// Something that looks like a creation
fn creation() -> impl Strategy<Value = String> {
    let fields = vec![
        field(
            "Hostname",
            &["\"\"", "null", "\"web\"", "\"web.example.com\"", "7"],
        ),
        field("Domainname", &["\"\"", "null", "\"example.com\""]),
        field(
            "Env",
            &[
                "null",
                "[]",
                r#"["A=1","WEAVE_CIDR=10.2.1.1/24"]"#,
                r#"["WEAVE_CIDR=none"]"#,
                r#"["\ud800",null]"#,
            ],
        ),
        field("Labels", &["null", "{}", r#"{"hostname":"labelled"}"#]),
        field(
            "NetworkingConfig",
            &[
                "null",
                "{}",
                r#"{"EndpointsConfig":{}}"#,
                r#"{"EndpointsConfig":{"none":{"DriverOpts":{"a":"b"},"x":1e400}}}"#,
                r#"{"EndpointsConfig":{"default":{"MacAddress":"02:00:00:00:00:01"}}}"#,
            ],
        ),
    ];
    let host = proptest::option::weighted(0.9, host_config());
    (fields, host, unknown()).prop_map(|(fields, host, unknown)| {
        let known = fields.into_iter().flatten();
        let host = host.map(|host| ("HostConfig".to_owned(), host));
        object(known.chain(host).chain(unknown))
    })
}

/// A member that may be there
fn field(name: &'static str, values: &[&'static str]) -> BoxedStrategy<Option<(String, String)>> {
    proptest::option::of(select(values.to_vec()))
        .prop_map(move |value| Some((name.to_owned(), value?.to_owned())))
        .boxed()
}

fn host_config() -> impl Strategy<Value = String> {
    let modes = select(vec![
        "\"\"",
        "null",
        "\"default\"",
        "\"bridge\"",
        "\"none\"",
        "\"host\"",
        "1",
    ]);
    let lists = || select(vec!["null", "[]", "[ ]", "[\"8.8.8.8\"]", "{}"]);
    let object = (modes, lists(), lists(), unknown()).prop_map(|(mode, dns, search, unknown)| {
        let known = [("NetworkMode", mode), ("Dns", dns), ("dnssearch", search)];
        object(
            known
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into_iter()
                .chain(unknown),
        )
    });
    prop_oneof![1 => Just("null".to_owned()), 9 => object]
}

/// Members that nobody knows, with values that are easily broken
fn unknown() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("x[a-z\u{e9}\"]{1,5}", json(), 0..4)
}

fn object(members: impl IntoIterator<Item = (String, String)>) -> String {
    let members: Vec<String> = members
        .into_iter()
        .map(|(key, value)| format!("{}: {value}", serde_json::to_string(&key).unwrap()))
        .collect();
    format!("{{{}}}", members.join(" ,"))
}

/// Any value, as a text
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec![
            "null",
            "true",
            "\"\\ud800\"",
            "\"\\u0041\\/\"",
            "18446744073709551616",
            "9007199254740993",
            "-0",
            "1.50",
            "1E5",
            "0.1000000000000000055511151231257827",
        ])
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
        any::<i64>().prop_map(|number| number.to_string()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|values| format!("[ {} ]", values.join(" , "))),
            btree_map(".{0,6}", inner, 0..4).prop_map(object),
        ]
    })
}
