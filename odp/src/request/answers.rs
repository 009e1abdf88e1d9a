//! Reading the kernel's answers: which belong to what was asked, and when they are complete.

use std::collections::BTreeMap;

use openvswitch_sys::DecodeError;
use openvswitch_sys::netlink::{Generic, Messages, Payload};
use openvswitch_sys::uapi::NLM_F_DUMP_INTR;

use crate::error::RequestError;

/// The answers to a batch of requests with consecutive sequence numbers, of which the last one wants to
/// be acknowledged
#[derive(Debug)]
pub(super) struct Exchange {
    first_seq: u32,
    last: usize,
    refused: BTreeMap<usize, i32>,
}

impl Exchange {
    /// `last` is the position of the last request
    pub(super) const fn new(first_seq: u32, last: usize) -> Self {
        Self {
            first_seq,
            last,
            refused: BTreeMap::new(),
        }
    }

    /// Takes what one receive call returned; `true` when the answers are complete
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        reply: &mut impl FnMut(Generic<'_>) -> Result<(), DecodeError>,
    ) -> Result<bool, RequestError> {
        for message in Messages::new(bytes) {
            let message = message?;
            let position = message.header.seq.wrapping_sub(self.first_seq) as usize;
            if position > self.last {
                continue; // an answer to an exchange that was given up
            }
            match message.decode()? {
                Payload::Ack { errno, .. } => {
                    if errno != 0 {
                        self.refused.insert(position, errno);
                    }
                    if position == self.last {
                        return Ok(true);
                    }
                }
                Payload::Generic(generic) => reply(generic)?,
                Payload::Overrun => return Err(RequestError::AnswersLost),
                Payload::Noop | Payload::Done { .. } => {}
            }
        }
        Ok(false)
    }

    /// The error numbers of the refused requests by position
    pub(super) fn into_refused(self) -> BTreeMap<usize, i32> {
        self.refused
    }
}

/// The answers to one dump
#[derive(Debug)]
pub(super) struct Listing<T> {
    seq: u32,
    items: Vec<T>,
    interrupted: bool,
}

impl<T> Listing<T> {
    pub(super) const fn new(seq: u32) -> Self {
        Self {
            seq,
            items: vec![],
            interrupted: false,
        }
    }

    /// Takes what one receive call returned; `true` when the listing is complete
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        decode: &impl Fn(&Generic<'_>) -> Result<T, DecodeError>,
    ) -> Result<bool, RequestError> {
        for message in Messages::new(bytes) {
            let message = message?;
            if message.header.seq != self.seq {
                continue;
            }
            self.interrupted |= message.header.flags & NLM_F_DUMP_INTR != 0;
            match message.decode()? {
                Payload::Done { errno: 0 } => return Ok(true),
                Payload::Ack { errno: 0, .. } | Payload::Noop => {}
                Payload::Done { errno } | Payload::Ack { errno, .. } => {
                    return Err(RequestError::refused(errno));
                }
                Payload::Generic(generic) => self.items.push(decode(&generic)?),
                Payload::Overrun => return Err(RequestError::AnswersLost),
            }
        }
        Ok(false)
    }

    /// The items; `None` when changes interrupted the listing and it may lack or repeat some
    pub(super) fn into_items(self) -> Option<Vec<T>> {
        (!self.interrupted).then_some(self.items)
    }
}

#[cfg(test)]
mod tests {
    use openvswitch_sys::netlink::{Header, Message};
    use openvswitch_sys::uapi::*;
    use proptest::prelude::*;

    use super::*;

    const FAMILY: u16 = 0x20;

    fn message(kind: u16, flags: u16, seq: u32, payload: Payload<'_>) -> Vec<u8> {
        let mut body = vec![];
        payload.encode(&mut body);
        let mut bytes = vec![];
        Message {
            header: Header {
                kind,
                flags,
                seq,
                pid: 7,
            },
            body: &body,
        }
        .encode(&mut bytes);
        bytes
    }

    fn ack(seq: u32, errno: i32) -> Vec<u8> {
        let request = Header {
            kind: FAMILY,
            flags: NLM_F_REQUEST,
            seq,
            pid: 0,
        };
        message(NLMSG_ERROR, NLM_F_CAPPED, seq, Payload::Ack { errno, request })
    }

    fn item(seq: u32, flags: u16, command: u8) -> Vec<u8> {
        message(
            FAMILY,
            flags,
            seq,
            Payload::Generic(Generic {
                command,
                version: 1,
                rest: &[],
            }),
        )
    }

    fn done(seq: u32, errno: i32) -> Vec<u8> {
        message(NLMSG_DONE, NLM_F_MULTI, seq, Payload::Done { errno })
    }

    fn list(datagrams: &[Vec<u8>]) -> Result<Option<Option<Vec<u8>>>, RequestError> {
        let mut listing = Listing::new(5);
        for datagram in datagrams {
            if listing.take(datagram, &|generic| Ok(generic.command))? {
                return Ok(Some(listing.into_items()));
            }
        }
        Ok(None)
    }

    #[test]
    fn silence_is_success_once_the_last_request_is_acknowledged() {
        let mut exchange = Exchange::new(u32::MAX, 3); // the numbers wrap
        let mut take = |bytes: Vec<u8>| exchange.take(&bytes, &mut |_reply| Ok(())).unwrap();
        assert!(!take(ack(0, EINVAL)), "the second request is refused");
        assert!(!take(ack(u32::MAX - 1, EPERM)), "an answer from before");
        assert!(!take(ack(3, EPERM)), "a number not used yet");
        assert!(take(ack(2, 0)));
        assert_eq!(exchange.into_refused(), BTreeMap::from([(1, EINVAL)]));
    }

    #[test]
    fn a_refusal_of_the_last_request_ends_the_exchange() {
        let (mut exchange, mut replies) = (Exchange::new(9, 0), 0);
        let bytes = [item(9, 0, 1), item(8, 0, 1), ack(9, EEXIST)].concat();
        let done = exchange.take(&bytes, &mut |_reply| {
            replies += 1;
            Ok(())
        });
        assert!(done.unwrap());
        assert_eq!(
            (replies, exchange.into_refused()),
            (1, BTreeMap::from([(0, EEXIST)]))
        );
    }

    #[test]
    fn a_listing_comes_in_parts_and_ends() {
        let parts = [
            [item(5, NLM_F_MULTI, 1), item(5, NLM_F_MULTI, 2)].concat(),
            item(4, 0, 9),
            done(5, 0),
        ];
        assert_eq!(list(&parts).unwrap(), Some(Some(vec![1, 2])));
        assert_eq!(list(&parts[..2]).unwrap(), None, "not yet complete");
    }

    #[test]
    fn a_listing_can_fail_at_its_start_and_at_its_end() {
        assert!(matches!(list(&[ack(5, ENODEV)]), Err(RequestError::DatapathGone)));
        let late = [item(5, NLM_F_MULTI, 1), done(5, EMSGSIZE)];
        assert!(matches!(
            list(&late),
            Err(RequestError::Refused { errno: EMSGSIZE })
        ));
    }

    #[test]
    fn an_interrupted_listing_has_no_items() {
        let parts = [
            item(5, NLM_F_MULTI, 1),
            item(5, NLM_F_MULTI | NLM_F_DUMP_INTR, 2),
            done(5, 0),
        ];
        assert_eq!(list(&parts).unwrap(), Some(None));
        let at_the_end = [
            item(5, NLM_F_MULTI, 1),
            message(NLMSG_DONE, NLM_F_DUMP_INTR, 5, Payload::Done { errno: 0 }),
        ];
        assert_eq!(list(&at_the_end).unwrap(), Some(None));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>, tail in proptest::collection::vec(0..255u8, 0..40)) {
            for bytes in [bytes, [ack(5, 0), tail.clone()].concat(), [item(5, 0, 1), tail].concat()] {
                let _ = list(std::slice::from_ref(&bytes));
                let _ = Exchange::new(5, 1).take(&bytes, &mut |_reply| Ok(()));
            }
        }
    }
}
