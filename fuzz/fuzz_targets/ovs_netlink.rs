//! Messages of the kernel's Open vSwitch: framing, upcalls, flows, ports, datapaths.
#![no_main]

use openvswitch_sys::netlink::{Family, Message, Messages, Payload};
use openvswitch_sys::{
    Action, ActionList, AttrWriter, Attrs, Datapath, Flow, FlowKey, FlowMatch, FlowStats, Upcall, UpcallKey,
    Vport,
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for message in Messages::new(bytes).flatten() {
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(Messages::new(&again).next(), Some(Ok(Message { ..message })));
        let Ok(payload) = message.decode() else { continue };
        if let Payload::Generic(generic) = payload {
            let _family = Family::decode(&generic);
            if let Ok(upcall) = Upcall::decode(&generic) {
                let _cookie = (
                    upcall.cookie(),
                    upcall.command_number(),
                    upcall.key.flow_key().ufid(),
                );
            }
            if let Ok((ifindex, attrs)) = generic.ovs() {
                attributes(ifindex, attrs);
            }
        }
    }
    attributes(1, Attrs::new(bytes));
});

fn attributes(ifindex: i32, attrs: Attrs<'_>) {
    if let Ok(mut flow) = Flow::decode(attrs) {
        if flow.stats.packets == 0 {
            // The kernel leaves the statistics out.
            flow.stats = FlowStats::default();
        }
        assert_eq!(
            Flow::decode(Attrs::new(&written(|w| flow.write(w)))),
            Ok(flow.clone())
        );
        let _text = ActionList(&flow.actions).to_string();
        if let FlowMatch::Canonical(key) = flow.matches {
            assert_eq!(
                FlowKey::decode(Attrs::new(&key.encode()), Attrs::new(&key.encode_mask())),
                Some(key)
            );
            let _text = key.to_string();
        }
    }
    if let Ok(vport) = Vport::decode(attrs) {
        assert_eq!(Vport::decode(Attrs::new(&written(|w| vport.write(w)))), Ok(vport));
    }
    if let Ok(datapath) = Datapath::decode(ifindex, attrs) {
        let again = written(|w| datapath.write(w));
        assert_eq!(Datapath::decode(ifindex, Attrs::new(&again)), Ok(datapath));
    }
    if let Ok(key) = UpcallKey::decode(attrs) {
        assert_eq!(UpcallKey::decode(Attrs::new(&key.encode())), Ok(key));
    }
    let actions = Action::decode_all(attrs);
    assert_eq!(
        Action::decode_all(Attrs::new(&Action::encode_all(&actions))),
        actions
    );
}

fn written(write: impl FnOnce(&mut AttrWriter<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = AttrWriter::new(&mut bytes);
    write(&mut writer);
    writer.finish().expect("it came in as many bytes");
    bytes
}
