//! Bodies of requests to weaved's API.
#![no_main]

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    body::<api::ConnectRequest>(bytes);
    body::<api::ForgetRequest>(bytes);
    body::<api::AttachRequest>(bytes);
    body::<api::DetachRequest>(bytes);
    body::<api::ContainerRequest>(bytes);
    body::<api::EndpointRequest>(bytes);
    body::<api::JoinRequest>(bytes);
    body::<api::ExposeRequest>(bytes);
    body::<api::HideRequest>(bytes);
    body::<api::ReserveRequest>(bytes);
    body::<api::RemovePeersRequest>(bytes);
    body::<api::BanRequest>(bytes);
    body::<api::NameRequest>(bytes);
    body::<api::LookupRequest>(bytes);
    let _secret: Result<api::PasswordRequest, _> = serde_json::from_slice(bytes);
    body::<api::ApiError>(bytes);
});

fn body<T: Serialize + DeserializeOwned + PartialEq + Debug>(bytes: &[u8]) {
    if let Ok(value) = serde_json::from_slice::<T>(bytes) {
        let again = serde_json::to_vec(&value).expect("a request is JSON");
        let read = serde_json::from_slice::<T>(&again).expect("a request is read as it is written");
        assert_eq!(read, value);
    }
}
