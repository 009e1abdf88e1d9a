//! Keys round-trip, and only canonical masks are taken for canonical.

use proptest::prelude::*;

use super::*;
use crate::samples;

fn key(vlans: Vlans, tunnel: Option<TunnelKey>) -> FlowKey {
    FlowKey {
        in_port: PortNo(3),
        src: Mac::new([2, 0, 0, 0, 0, 1]),
        dst: Mac::new([2, 0, 0, 0, 0, 2]),
        tunnel,
        vlans,
    }
}

#[test]
fn a_double_tagged_key_nests_the_inner_tag() {
    let bytes = key(Vlans::Two(Tag::dot1ad(0xabc), Tag::dot1q(0x123)), None).encode();
    #[rustfmt::skip]
    assert_eq!(bytes, [
        8, 0, 3, 0,   3, 0, 0, 0,                         // IN_PORT
        16, 0, 4, 0,  2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, // ETHERNET: source, destination
        6, 0, 6, 0,   0x88, 0xa8, 0, 0,                   // ETHERTYPE: 802.1ad
        6, 0, 5, 0,   0x1a, 0xbc, 0, 0,                   // VLAN: CFI and id
        24, 0, 1, 0,                                      // ENCAP
        6, 0, 6, 0,   0x81, 0x00, 0, 0,                   //   ETHERTYPE: 802.1Q
        6, 0, 5, 0,   0x11, 0x23, 0, 0,                   //   VLAN
        4, 0, 1, 0,                                       //   ENCAP: empty, what is inside is a wildcard
    ]);
}

#[test]
fn the_mask_of_a_tag_leaves_its_priority_out_and_is_never_empty() {
    let mask = key(Vlans::One(Tag::dot1q(5)), None).encode_mask();
    #[rustfmt::skip]
    assert_eq!(mask[24..], [
        6, 0, 6, 0,   0xff, 0xff, 0, 0, // ETHERTYPE
        6, 0, 5, 0,   0x1f, 0xff, 0, 0, // VLAN: CFI and id
        12, 0, 1, 0,                    // ENCAP
        6, 0, 6, 0,   0, 0, 0, 0,       //   ETHERTYPE: a wildcard
    ]);
}

#[test]
fn a_key_with_a_wider_or_narrower_mask_is_not_canonical() {
    let key = key(Vlans::None, None);
    let (bytes, mask) = (key.encode(), key.encode_mask());
    let decode = |mask: &[u8]| FlowKey::decode(Attrs::new(&bytes), Attrs::new(mask));
    assert_eq!(decode(&mask), Some(key));

    let mut ipv4 = mask.clone();
    AttrWriter::new(&mut ipv4).put(
        OVS_KEY_ATTR_IPV4,
        &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
    );
    assert_eq!(decode(&ipv4), None, "matches on the IPv4 destination");

    let mut zeroes = mask.clone();
    AttrWriter::new(&mut zeroes).put_u32(OVS_KEY_ATTR_RECIRC_ID, 0);
    assert_eq!(decode(&zeroes), Some(key), "an attribute of zeroes is a wildcard");

    let mut partial = mask.clone();
    *partial.last_mut().unwrap() = 0;
    assert_eq!(
        decode(&partial),
        None,
        "the last octet of the destination is a wildcard"
    );

    let mut tunnel = mask;
    AttrWriter::new(&mut tunnel).nest(OVS_KEY_ATTR_TUNNEL, |w| w.put_flag(OVS_TUNNEL_KEY_ATTR_CSUM));
    assert_eq!(decode(&tunnel), None, "matches on a tunnel flag");
}

#[test]
fn a_tunnel_mask_that_matches_on_the_ttl_is_not_canonical() {
    let tunnel = TunnelKey {
        id: 7,
        src: Ipv4Addr::new(192, 0, 2, 1),
        dst: Ipv4Addr::new(192, 0, 2, 2),
    };
    let key = key(Vlans::None, Some(tunnel));
    let mut mask = vec![];
    let mut w = AttrWriter::new(&mut mask);
    w.put_u32(OVS_KEY_ATTR_IN_PORT, u32::MAX);
    w.put(OVS_KEY_ATTR_ETHERNET, &[0xff; 12]);
    w.nest(OVS_KEY_ATTR_TUNNEL, |w| {
        w.put(OVS_TUNNEL_KEY_ATTR_ID, &[0xff; 8]);
        w.put(OVS_TUNNEL_KEY_ATTR_IPV4_SRC, &[0xff; 4]);
        w.put(OVS_TUNNEL_KEY_ATTR_IPV4_DST, &[0xff; 4]);
        w.put_u8(OVS_TUNNEL_KEY_ATTR_TTL, 0xff);
    });
    assert_eq!(
        FlowKey::decode(Attrs::new(&key.encode()), Attrs::new(&mask)),
        None
    );
}

#[test]
fn a_frame_that_ends_within_its_tag_counts_as_untagged() {
    let mut bytes = vec![];
    let mut w = AttrWriter::new(&mut bytes);
    w.put(OVS_KEY_ATTR_ETHERTYPE, &[0x81, 0]);
    w.put(OVS_KEY_ATTR_VLAN, &[0, 0]);
    w.put_flag(OVS_KEY_ATTR_ENCAP);
    let parsed = ParsedKey::read(Attrs::new(&bytes));
    assert_eq!((parsed.vlans, parsed.ethertype), (Vlans::None, Some(ETH_P_8021Q)));
}

proptest! {
    #[test]
    fn keys_round_trip(key in samples::flow_key()) {
        let (bytes, mask) = (key.encode(), key.encode_mask());
        prop_assert_eq!(FlowKey::decode(Attrs::new(&bytes), Attrs::new(&mask)), Some(key));
    }

    #[test]
    fn different_keys_have_different_ids(a in samples::flow_key(), b in samples::flow_key()) {
        prop_assert_eq!(a == b, a.ufid() == b.ufid());
    }

    #[test]
    fn any_bytes_never_panic(key in samples::attribute_soup(), mask in samples::attribute_soup()) {
        let _ = FlowKey::decode(Attrs::new(&key), Attrs::new(&mask));
    }
}
