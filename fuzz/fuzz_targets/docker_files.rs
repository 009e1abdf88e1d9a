//! The files of a container that is attached by hand: /etc/hosts and /etc/resolv.conf.
#![no_main]

use docker::create::Dns;
use docker::files::hosts::{Own, with, without};
use docker::files::resolv_conf::asking;
use docker::files::undone;
use model::fuzz::Input;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let address = std::net::IpAddr::from(input.array::<4>());
    let text = String::from_utf8_lossy(input.rest());
    let own = Own {
        hostname: "c1",
        domainname: if how & 1 == 0 { "" } else { "weave.local" },
        addresses: &[address],
    };
    let hosts = with(
        &text,
        (how & 2 == 0).then_some(&own),
        &[("c2".to_owned(), address)],
    );
    assert_eq!(undone(&hosts), undone(&text), "what was there before comes back");
    let _less = without(&hosts, &[address]);
    let dns = Dns {
        server: [172, 17, 0, 1].into(),
        domain: "weave.local.".to_owned(),
    };
    if let Ok(Some(anew)) = asking(&text, &dns, how & 4 != 0) {
        assert_eq!(undone(&anew), undone(&text), "what was there before comes back");
        assert_eq!(
            asking(&anew, &dns, how & 4 != 0),
            Ok(None),
            "it asks there already"
        );
    }
});
