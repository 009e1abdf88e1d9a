//! What fuzz targets reach of this crate; only `cargo fuzz` builds it.

use openvswitch_sys::netlink::Messages;

/// Takes what a socket received as answers to requests, and as events of ports
pub fn received(bytes: &[u8]) {
    crate::request::fuzz::answers(bytes);
    for message in Messages::new(bytes).flatten() {
        let _event = crate::events::decode(&message, FAMILY);
    }
}

const FAMILY: u16 = 0x20;
