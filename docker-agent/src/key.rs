//! By which key a container is known, before Docker gives it an id.

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};

/// A key of no other container
pub(crate) fn random() -> Result<String, SysError> {
    let mut bytes = [0; 16];
    SysRng.try_fill_bytes(&mut bytes)?;
    let mut key = String::from("key:");
    for byte in bytes {
        key.push_str(&format!("{byte:02x}"));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use model::ContainerId;

    use super::*;

    #[test]
    fn a_key_is_a_container_id_and_no_two_are_the_same() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert!(one.parse::<ContainerId>().is_ok());
        assert_eq!(one.len(), "key:".len() + 32);
        assert_ne!(one, other);
    }
}
