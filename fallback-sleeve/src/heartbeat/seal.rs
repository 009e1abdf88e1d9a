//! Proof that a heartbeat comes from the neighbour, is for this path, and was not seen before.

use model::PathKind;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{Beat, HEAD};

/// Seals the heartbeats that go to one neighbour by one path
pub struct BeatSealer {
    key: Zeroizing<[u8; 32]>,
    path: PathKind,
    /// The next counter; none once all are used
    next: Option<u64>,
}

impl BeatSealer {
    /// A sealer under the key that the neighbour drew
    ///
    /// Two sealers for one key and path would repeat counters, and the neighbour would refuse what they seal.
    pub const fn new(key: Zeroizing<[u8; 32]>, path: PathKind) -> Self {
        Self {
            key,
            path,
            next: Some(0),
        }
    }

    /// The body of a heartbeat, without padding; none once all counters are used
    pub fn seal(&mut self, beat: Beat) -> Option<[u8; Beat::LEN]> {
        let counter = self.next?;
        self.next = counter.checked_add(1);
        let mut body = [0; Beat::LEN];
        let (signed, mac) = body.split_at_mut(SIGNED);
        signed[..HEAD].copy_from_slice(&beat.emit());
        signed[HEAD..].copy_from_slice(&counter.to_be_bytes());
        mac.copy_from_slice(&mac_of(&self.key, self.path, signed));
        Some(body)
    }
}

/// Checks the heartbeats that come from one neighbour by one path
pub struct BeatOpener {
    key: Zeroizing<[u8; 32]>,
    path: PathKind,
    recent: Recent,
}

impl BeatOpener {
    /// An opener under the key that this host drew
    pub const fn new(key: Zeroizing<[u8; 32]>, path: PathKind) -> Self {
        Self {
            key,
            path,
            recent: Recent { next: 0, seen: 0 },
        }
    }

    /// Reads a body, of which everything after the MAC is padding
    pub fn open(&mut self, body: &[u8]) -> Result<Beat, BeatRefusal> {
        let body = body
            .first_chunk::<{ Beat::LEN }>()
            .ok_or(BeatRefusal::Malformed)?;
        let (signed, mac) = body.split_at(SIGNED);
        let expected = mac_of(&self.key, self.path, signed);
        if !bool::from(mac.ct_eq(&expected)) {
            return Err(BeatRefusal::Forged);
        }
        let (Some(head), Some(counter)) = (signed.first_chunk::<HEAD>(), signed.last_chunk::<8>()) else {
            return Err(BeatRefusal::Malformed);
        };
        let beat = Beat::parse(*head)?;
        if self.recent.take(u64::from_be_bytes(*counter)) {
            Ok(beat)
        } else {
            Err(BeatRefusal::Replayed)
        }
    }
}

impl std::fmt::Debug for BeatSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BeatSealer")
            .field("path", &self.path)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for BeatOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BeatOpener")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// A body is no heartbeat of the neighbour, or an old one; nothing changed
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeatRefusal {
    /// Cut off, or genuine but of a version or kind that is not spoken here
    #[error("malformed")]
    Malformed,
    /// Not sealed with the key for this path and direction
    #[error("forged or damaged")]
    Forged,
    /// Seen before, or too far behind the newest to tell
    #[error("replayed")]
    Replayed,
}

/// The counters that were seen of late
struct Recent {
    /// One more than the highest; [`u64::MAX`] also after that counter itself
    next: u64,
    /// Bit `n` stands for the counter `next - 1 - n`
    seen: u128,
}

impl Recent {
    /// Whether a counter is fresh; it is not from here on
    fn take(&mut self, counter: u64) -> bool {
        // The last counter of all has no successor; no sender reaches it.
        let Some(after) = counter.checked_add(1) else {
            return false;
        };
        if let Some(ahead) = after.checked_sub(self.next).filter(|ahead| *ahead > 0) {
            let shifted = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.seen.checked_shl(ahead));
            self.seen = shifted.unwrap_or(0) | 1;
            self.next = after;
            return true;
        }
        let behind = u32::try_from(self.next.wrapping_sub(after)).ok();
        let Some(bit) = behind.and_then(|behind| 1u128.checked_shl(behind)) else {
            return false;
        };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

fn mac_of(key: &[u8; 32], path: PathKind, signed: &[u8]) -> [u8; MAC] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[match path {
        PathKind::Fastdp => 0x01,
        PathKind::Sleeve => 0x02,
    }]);
    hasher.update(signed);
    let mut mac = [0; MAC];
    mac.copy_from_slice(&hasher.finalize().as_bytes()[..MAC]);
    mac
}

/// Bytes under the MAC, beside the path's
const SIGNED: usize = HEAD + 8;
const MAC: usize = 16;
const _: () = assert!(SIGNED + MAC == Beat::LEN);

#[cfg(test)]
mod tests;
