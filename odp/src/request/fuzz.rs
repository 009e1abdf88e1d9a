//! The answers to requests and listings, as any kernel may send them.

use openvswitch_sys::{Datapath, Flow, Vport};

use super::answers::{Exchange, Listing};

/// Takes bytes as the answers to a batch of four requests, and to a listing of each kind
pub(crate) fn answers(bytes: &[u8]) {
    let mut exchange = Exchange::new(FIRST, 3);
    let taken = exchange.take(bytes, &mut |generic| generic.ovs().map(drop));
    if taken.is_ok() {
        assert!(exchange.into_refused().keys().all(|position| *position <= 3));
    }
    list(bytes, |ifindex, attrs| Datapath::decode(ifindex, attrs));
    list(bytes, |_ifindex, attrs| Vport::decode(attrs));
    list(bytes, |_ifindex, attrs| Flow::decode(attrs));
}

fn list<T>(
    bytes: &[u8],
    decode: impl Fn(i32, openvswitch_sys::Attrs<'_>) -> Result<T, openvswitch_sys::DecodeError>,
) {
    let mut listing = Listing::new(FIRST);
    let _taken = listing.take(bytes, &|generic| {
        let (ifindex, attrs) = generic.ovs()?;
        decode(ifindex, attrs)
    });
    let _items = listing.into_items();
}

const FIRST: u32 = 7;
