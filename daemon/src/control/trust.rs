//! Who is refused, and who is forgotten, by an operator's word.

use std::time::Instant;

use api::{ApiError, BanRequest, Banned, ErrorKind};
use gossip::{IdentityKey, Pin};
use model::PeerName;

use super::plane::Plane;

/// Refuses the key of a peer on every host, or accepts it again
pub(super) fn ban(plane: &mut Plane, request: &BanRequest, now: Instant) -> Result<Banned, ApiError> {
    let (name, key) = named(plane, &request.peer)?;
    let refused = plane.mesh.ban(key, name, request.refused, now);
    refused.map_err(|error| ApiError::new(ErrorKind::Conflict, error.to_string()))?;
    Ok(Banned {
        peer: name,
        key: key.to_string(),
    })
}

/// Forgets what the mesh knows of a peer; not of one that is connected
pub(super) fn forget_peer(plane: &mut Plane, text: &str, now: Instant) -> bool {
    match named(plane, text) {
        Ok((name, _key)) => plane.mesh.remove_peer(name, now),
        Err(_unknown) => false,
    }
}

/// The name and the key of the peer that people mean: by its name, its nickname, or its key
fn named(plane: &Plane, text: &str) -> Result<(PeerName, IdentityKey), ApiError> {
    let is_called = |pin: &&Pin| {
        pin.name.to_string() == text
            || pin.key.to_string() == text
            || plane
                .nicknames
                .get(&pin.name)
                .is_some_and(|nickname| nickname.as_str() == text)
    };
    let mut known: Vec<(PeerName, IdentityKey)> = plane
        .mesh
        .pins()
        .filter(is_called)
        .map(|pin| (pin.name, pin.key))
        .collect();
    let banned = plane
        .mesh
        .bans()
        .filter(|ban| ban.name.to_string() == text || ban.key.to_string() == text);
    known.extend(banned.map(|ban| (ban.name, ban.key)));
    known.sort_unstable();
    known.dedup();
    match known.as_slice() {
        [one] => Ok(*one),
        [] => Err(ApiError::new(
            ErrorKind::NotFound,
            format!("no peer is called {text:?}; weavectl status peers lists them"),
        )),
        several => {
            let keys: Vec<String> = several
                .iter()
                .map(|(name, key)| format!("{name} with the key {key}"))
                .collect();
            let text = format!("{text:?} could be each of: {}; give the key", keys.join(", "));
            Err(ApiError::new(ErrorKind::Conflict, text))
        }
    }
}
