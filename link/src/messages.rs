//! The messages of a netlink datagram (netlink(7)).

/// What remains of a datagram
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a>(&'a [u8]);

/// One message
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Its type
    pub(crate) kind: u16,
    /// All of it, with its header
    pub(crate) bytes: &'a [u8],
}

/// What is left of a datagram is no message
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut;

impl<'a> Messages<'a> {
    /// Those of a whole datagram
    pub(crate) const fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Message<'a> {
    /// What follows the header
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.bytes.get(HEADER..).unwrap_or_default()
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let Some((kind, bytes)) = first(rest) else {
            return Some(Err(Cut));
        };
        self.0 = rest.get(bytes.len().next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Message { kind, bytes }))
    }
}

/// The type of the message at the start, and the message
fn first(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (kind, _) = rest.split_first_chunk::<2>()?;
    let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
    let message = bytes.get(..length).filter(|message| message.len() >= HEADER)?;
    Some((u16::from_ne_bytes(*kind), message))
}

/// `sizeof(struct nlmsghdr)`
const HEADER: usize = 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend(payload);
        bytes
    }

    #[test]
    fn messages_follow_each_other_at_multiples_of_four() {
        let mut datagram = message(3, b"abcde");
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram.extend(message(4, b""));
        let all: Vec<_> = Messages::of(&datagram).collect::<Result<_, _>>().unwrap();
        let told: Vec<_> = all.iter().map(|one| (one.kind, one.payload())).collect();
        assert_eq!(told, [(3, &b"abcde"[..]), (4, &b""[..])]);
    }

    #[test]
    fn what_is_cut_short_is_told_once() {
        let mut datagram = message(3, b"abcd");
        datagram.extend(message(4, b"efgh"));
        datagram.pop();
        let all: Vec<_> = Messages::of(&datagram)
            .map(|one| one.map(|one| one.kind))
            .collect();
        assert_eq!(all, [Ok(3), Err(Cut)]);
    }

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Messages::of(&datagram).count() <= datagram.len() / HEADER + 1);
        }
    }
}
