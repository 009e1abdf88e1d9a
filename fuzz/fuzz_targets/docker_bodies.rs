//! Bodies of Docker's API that the proxy looks into: creations, starts, inspections; and paths of requests.
#![no_main]

use docker::create::{Dns, Policy, Rewrite, addresses, rewrite};
use docker::{inspect, network, request, start};
use model::fuzz::Input;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let words = String::from_utf8_lossy(input.piece());
    let inspection = input.piece();
    let body = input.rest();
    let policy = Policy {
        dns: (how & 1 != 0).then(|| Dns {
            server: [172, 17, 0, 1].into(),
            domain: "weave.local.".to_owned(),
        }),
        default_addresses: how & 2 != 0,
        ..Policy::default()
    };
    for method in ["GET", "POST"] {
        let _request = request::classify(method, &words);
    }
    let _asked = addresses(body);
    if let Ok(Rewrite::Joined { body: anew, connect }) = rewrite(body, Some(&words), &policy) {
        is_text(&anew);
        is_json(&connect.body("5f3a"));
        if let Some(first) = connect.first("5f3a") {
            is_json(&first);
        }
        // What was put in is no reason to refuse it.
        rewrite(&anew, Some(&words), &policy).expect("its addresses were read before");
    }
    let _says = start::says(body);
    if let Some(mended) = start::mend(body, inspection, "weave") {
        assert_ne!(format!("{mended:?}"), "");
    }
    for anew in [inspect::rewrite(body, "weave"), network::rewrite(body, "weave")]
        .into_iter()
        .flatten()
    {
        is_text(&anew);
    }
});

fn is_json(bytes: &[u8]) {
    serde_json::from_slice::<serde_json::Value>(bytes).expect("it is JSON");
}

fn is_text(bytes: &[u8]) {
    std::str::from_utf8(bytes).expect("it is text");
}
