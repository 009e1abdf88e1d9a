//! Calls as Docker made them, and answers in the protocol's spelling.

#![allow(clippy::unwrap_used)]

use docker::plugin::{
    Activated, AddressAnswer, AddressReleased, AddressRequest, AddressSpaces, Capabilities, CreateEndpoint,
    CreateNetwork, DeleteNetwork, Done, EndpointCreated, EndpointInfo, EndpointRef, Failure, Interface,
    InterfaceName, IpamCapabilities, IpamFailure, Join, Joined, PoolAnswer, PoolReleased, PoolRequest, Route,
    Wanted, request,
};
use serde::Serialize;

const NETWORK: &str = "2401fb490e90177175336228f2ea12e435aaebc5556c0d66e5318ce471e1f985";
const ENDPOINT: &str = "5152e3a0e71a3b81c7fd4f8619de5188817c8ac3c20d383d9f53d9624f0eb017";

#[test]
fn calls_of_docker_are_read() {
    let network: CreateNetwork = read(
        r#"{"NetworkID":"NETWORK","Options":{"com.docker.network.enable_ipv6":false,"com.docker.network.generic":{"works.weave.multicast":"false"}},"IPv4Data":[{"AddressSpace":"null","Pool":"0.0.0.0/0"}],"IPv6Data":[]}"#,
    );
    assert_eq!(network.network_id, NETWORK);
    assert_eq!(
        network.options["com.docker.network.generic"]["works.weave.multicast"],
        "false"
    );
    let network: DeleteNetwork = read(r#"{"NetworkID":"NETWORK"}"#);
    assert_eq!(network.network_id, NETWORK);

    let endpoint: CreateEndpoint = read(
        r#"{"NetworkID":"NETWORK","EndpointID":"ENDPOINT","Interface":{"Address":"10.3.0.2/24","AddressIPv6":"fd00::2/64","MacAddress":"02:42:ac:11:00:09"},"Options":{"com.docker.network.endpoint.dnsservers":["172.17.0.1"],"com.docker.network.endpoint.exposedports":[],"com.docker.network.portmap":[]}}"#,
    );
    assert_eq!(
        (endpoint.network_id.as_str(), endpoint.endpoint_id.as_str()),
        (NETWORK, ENDPOINT)
    );
    assert_eq!(
        endpoint.interface,
        Interface {
            address: "10.3.0.2/24".to_owned(),
            address_ipv6: "fd00::2/64".to_owned(),
            mac_address: "02:42:ac:11:00:09".to_owned(),
        }
    );

    let join: Join = read(
        r#"{"NetworkID":"NETWORK","EndpointID":"ENDPOINT","SandboxKey":"/var/run/docker/netns/ff47f6ec7c0e","Options":{"com.docker.network.portmap":[]}}"#,
    );
    assert_eq!(join.sandbox_key, "/var/run/docker/netns/ff47f6ec7c0e");
    let leave: EndpointRef = read(r#"{"NetworkID":"NETWORK","EndpointID":"ENDPOINT"}"#);
    assert_eq!(
        (leave.network_id.as_str(), leave.endpoint_id.as_str()),
        (NETWORK, ENDPOINT)
    );
}

#[test]
fn calls_for_addresses_are_read() {
    let pool: PoolRequest = read(
        r#"{"AddressSpace":"wl","Pool":"10.3.0.0/24","SubPool":"10.3.0.128/25","Options":{"a":"b"},"V6":false}"#,
    );
    assert_eq!(
        (pool.pool.as_str(), pool.sub_pool.as_str()),
        ("10.3.0.0/24", "10.3.0.128/25")
    );
    let gateway: AddressRequest =
        read(r#"{"PoolID":"p1","Address":"","Options":{"RequestAddressType":"com.docker.network.gateway"}}"#);
    assert!(gateway.is_gateway());
    let address: AddressRequest = read(r#"{"PoolID":"p1","Address":"10.3.0.7","Options":null}"#);
    assert!(!address.is_gateway() && address.address == "10.3.0.7");
    let released: AddressReleased = read(r#"{"PoolID":"p1","Address":"10.3.0.7"}"#);
    assert_eq!(
        (released.pool_id.as_str(), released.address.as_str()),
        ("p1", "10.3.0.7")
    );
    assert_eq!(read::<PoolReleased>(r#"{"PoolID":"p1"}"#).pool_id, "p1");
}

#[test]
fn what_a_call_lacks_is_empty_and_what_is_unknown_is_ignored() {
    for body in ["", " ", "{}", "null_options"] {
        let body = match body {
            "null_options" => {
                r#"{"NetworkID":null,"EndpointID":null,"Interface":null,"Options":null,"New":[1]}"#
            }
            other => other,
        };
        assert_eq!(read::<CreateEndpoint>(body), CreateEndpoint::default(), "{body}");
        assert_eq!(read::<Join>(body), Join::default(), "{body}");
        assert_eq!(read::<PoolRequest>(body), PoolRequest::default(), "{body}");
    }
    for body in [
        "null",
        "7",
        "{",
        r#"{"NetworkID":7}"#,
        r#"{"Options":[]}"#,
        "{} {}",
    ] {
        let error = request::<CreateEndpoint>(body.as_bytes()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "this is no request to a network driver that is known here",
            "{body}"
        );
    }
}

#[test]
fn an_interface_is_the_container_s_that_the_options_say() {
    let wanted = |options: &str, address: &str| {
        let body = format!(
            r#"{{"EndpointID":"ENDPOINT","Interface":{{"Address":"{address}"}},"Options":{{{options}}}}}"#
        );
        let wanted = Wanted::from(&read::<CreateEndpoint>(&body));
        (wanted.key, wanted.addresses, wanted.name)
    };
    let expected = |key: &str, addresses: &str, name: Option<&str>| {
        (key.to_owned(), addresses.to_owned(), name.map(str::to_owned))
    };
    assert_eq!(wanted("", ""), expected("endpoint:5152e3a0e71a", "", None));
    assert_eq!(
        wanted("", "10.3.0.2/24"),
        expected("address:10.3.0.2", "10.3.0.2/24", None)
    );
    assert_eq!(
        wanted(
            r#""works.weave.container":"key:5f3a","works.weave.addresses":"10.2.1.2/24 net:default","works.weave.name":"c1.weave.local""#,
            "10.3.0.2/24"
        ),
        expected("key:5f3a", "10.2.1.2/24 net:default", Some("c1.weave.local"))
    );
    assert_eq!(
        wanted(
            r#""works.weave.container":" ","works.weave.addresses":null,"works.weave.name":7"#,
            "10.3.0.2/24"
        ),
        expected("address:10.3.0.2", "10.3.0.2/24", None)
    );
}

#[test]
fn answers_are_spelt_as_docker_reads_them() {
    spelt(&Activated::NETWORK, r#"{"Implements":["NetworkDriver"]}"#);
    spelt(
        &Activated::NETWORK_AND_IPAM,
        r#"{"Implements":["NetworkDriver","IpamDriver"]}"#,
    );
    spelt(
        &Capabilities::default(),
        r#"{"Scope":"local","ConnectivityScope":"global"}"#,
    );
    spelt(&Done {}, "{}");
    spelt(&Failure { err: "no".to_owned() }, r#"{"Err":"no"}"#);
    spelt(&EndpointInfo::default(), r#"{"Value":{}}"#);
    spelt(&EndpointCreated::default(), r#"{"Interface":{}}"#);
    let interface = Interface {
        address: "10.40.0.7/16".to_owned(),
        address_ipv6: "fd00::7/64".to_owned(),
        mac_address: "02:11:22:33:44:55".to_owned(),
    };
    spelt(
        &EndpointCreated { interface },
        r#"{"Interface":{"Address":"10.40.0.7/16","AddressIPv6":"fd00::7/64","MacAddress":"02:11:22:33:44:55"}}"#,
    );
    let interface_name = InterfaceName {
        src_name: "vc1".to_owned(),
        dst_prefix: "ethwe".to_owned(),
    };
    let mut joined = Joined {
        interface_name,
        static_routes: vec![Route::multicast()],
        disable_gateway_service: true,
    };
    spelt(
        &joined,
        r#"{"InterfaceName":{"SrcName":"vc1","DstPrefix":"ethwe"},"StaticRoutes":[{"Destination":"224.0.0.0/4","RouteType":1}],"DisableGatewayService":true}"#,
    );
    joined.static_routes = vec![Route {
        destination: "10.9.0.0/16".to_owned(),
        route_type: 0,
        next_hop: "10.3.0.1".to_owned(),
    }];
    spelt(
        &joined.static_routes,
        r#"[{"Destination":"10.9.0.0/16","RouteType":0,"NextHop":"10.3.0.1"}]"#,
    );
}

#[test]
fn answers_for_addresses_are_spelt_as_docker_reads_them() {
    spelt(
        &IpamCapabilities::default(),
        r#"{"RequiresMACAddress":false,"RequiresRequestReplay":false}"#,
    );
    let spaces = AddressSpaces {
        local_default_address_space: "l".to_owned(),
        global_default_address_space: "g".to_owned(),
    };
    spelt(
        &spaces,
        r#"{"LocalDefaultAddressSpace":"l","GlobalDefaultAddressSpace":"g"}"#,
    );
    let pool = PoolAnswer {
        pool_id: "p1".to_owned(),
        pool: "10.3.0.0/24".to_owned(),
        ..PoolAnswer::default()
    };
    spelt(&pool, r#"{"PoolID":"p1","Pool":"10.3.0.0/24","Data":{}}"#);
    let address = AddressAnswer {
        address: "10.3.0.7/24".to_owned(),
        ..AddressAnswer::default()
    };
    spelt(&address, r#"{"Address":"10.3.0.7/24","Data":{}}"#);
    spelt(
        &IpamFailure {
            error: "no".to_owned(),
        },
        r#"{"Error":"no"}"#,
    );
}

fn read<T: serde::de::DeserializeOwned>(body: &str) -> T {
    let body = body.replace("\"NETWORK\"", &format!("\"{NETWORK}\""));
    let body = body.replace("\"ENDPOINT\"", &format!("\"{ENDPOINT}\""));
    request(body.as_bytes()).unwrap()
}

fn spelt(answer: &impl Serialize, text: &str) {
    assert_eq!(serde_json::to_string(answer).unwrap(), text);
}
