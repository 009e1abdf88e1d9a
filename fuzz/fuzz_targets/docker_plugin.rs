//! Requests of Docker to drivers of networks and of addresses, and what it says of containers.
#![no_main]

use docker::connected::{Connected, Network, Networks, is_of_the_driver, known_as};
use docker::plugin::{
    AddressReleased, AddressRequest, Call, CreateEndpoint, CreateNetwork, DeleteNetwork, EndpointRef, Join,
    Pool, PoolReleased, PoolRequest, request,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _call = Call::of(&String::from_utf8_lossy(bytes));
    let _network = request::<CreateNetwork>(bytes);
    let _network = request::<DeleteNetwork>(bytes);
    let _endpoint = request::<CreateEndpoint>(bytes);
    let _endpoint = request::<EndpointRef>(bytes);
    let _join = request::<Join>(bytes);
    let _released = request::<PoolReleased>(bytes);
    let _released = request::<AddressReleased>(bytes);
    let default = "10.32.0.0/12".parse().expect("a subnet");
    if let Ok(asked) = request::<PoolRequest>(bytes)
        && let Ok(pool) = Pool::of(&asked, default)
    {
        let _chosen = pool.chosen_of();
        let _address = pool.address(&String::from_utf8_lossy(bytes));
    }
    if let Ok(asked) = request::<AddressRequest>(bytes) {
        let _gateway = asked.is_gateway();
    }
    let networks = request::<Network>(bytes).map(|network| {
        let _multicast = network.has_multicast();
        Networks::of("weave", [network])
    });
    if let Ok(connected) = request::<Connected>(bytes) {
        let _known = connected.known_as(&networks.unwrap_or_default());
        let _aliases = connected.aliases("5f3a").count();
    }
    if let Ok(serde_json::Value::Object(options)) = serde_json::from_slice(bytes) {
        let known = known_as(&options, "5f3a", "10.32.0.1");
        let _driver = is_of_the_driver(&known);
    }
});
