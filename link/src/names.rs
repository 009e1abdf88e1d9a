//! The names of devices that belong to containers.

use model::{ContainerId, IfName};

/// The host's end of the veth pair of a container's interface: `vethwepl` and seven characters
/// drawn from the ids
///
/// The same ids give the same name. Two containers of a host share one with a chance of 1 in 2^35
/// per pair; then the second attach is refused, not mixed up.
pub fn host_end(container: &ContainerId, container_if: &IfName) -> IfName {
    end(HOST_END_PREFIX, container, container_if)
}

/// The same for the end that waits on the host to be moved into the container: `vethwepc` and the same
/// characters
pub fn waiting_end(container: &ContainerId, container_if: &IfName) -> IfName {
    end(WAITING_END_PREFIX, container, container_if)
}

fn end(prefix: &str, container: &ContainerId, container_if: &IfName) -> IfName {
    let mut hasher = blake3::Hasher::new();
    hasher.update(container.as_str().as_bytes());
    // An id has no zero byte, so no two pairs of ids hash the same text.
    hasher.update(&[0]);
    hasher.update(container_if.as_str().as_bytes());
    let [a, b, c, d, e, ..] = *hasher.finalize().as_bytes();
    let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
    let mut name = String::from(prefix);
    for position in 0..IfName::MAX - prefix.len() {
        let index = (bits >> (5 * position)) as usize % ALPHABET.len();
        name.push(char::from(ALPHABET[index]));
    }
    name.parse()
        .expect("a prefix and letters that make 15 bytes are a device name")
}

/// How the host's ends of containers' veth pairs begin
pub const HOST_END_PREFIX: &str = "vethwepl";
/// How ends begin that are to be moved into containers
pub const WAITING_END_PREFIX: &str = "vethwepc";
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_interface_of_each_container_has_its_own_name() {
        let name = |id: &str, device: &str| host_end(&id.parse().unwrap(), &device.parse().unwrap());
        assert_eq!(name("c1", "ethwe"), name("c1", "ethwe"));
        assert_ne!(name("c1", "ethwe"), name("c2", "ethwe"));
        assert_ne!(name("c1", "ethwe"), name("c1", "ethwe0"));
        assert_ne!(name("c1e", "thwe"), name("c1", "ethwe"));
    }

    proptest! {
        #[test]
        fn every_name_fits_and_is_recognised(id in "[!-~]{1,128}", device in "[a-z0-9]{1,15}") {
            let name = host_end(&id.parse().unwrap(), &device.parse().unwrap());
            prop_assert_eq!(name.as_str().len(), IfName::MAX);
            prop_assert!(name.as_str().starts_with(HOST_END_PREFIX));
        }
    }
}
