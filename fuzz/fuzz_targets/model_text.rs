//! Words of command lines and of the API: names, addresses, targets.
#![no_main]

use model::fuzz::text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let words = String::from_utf8_lossy(bytes);
    text::<model::Mac>(&words);
    text::<model::PeerName>(&words);
    text::<model::NickName>(&words);
    text::<model::ShortId>(&words);
    text::<model::IfName>(&words);
    text::<model::ContainerId>(&words);
    text::<model::Target>(&words);
    text::<gossip::NetworkName>(&words);
    text::<api::AddressSpec>(&words);
    text::<api::ContainerSpec>(&words);
    text::<api::ExposeScope>(&words);
    text::<api::DockerServed>(&words);
    let _host = api::DockerHost::parse(&words, api::DOCKER_PORT);
    if let Ok(network) = api::parse_cidr(&words) {
        assert_eq!(
            api::parse_cidr(&network.to_string()).expect("as it was printed"),
            network
        );
    }
});
