//! Messages: framing, requests, acknowledgements, and the controller that numbers the families.
//!
//! ```text
//!  0       1       2       3
//! +-------+-------+-------+-------+
//! |          nlmsg_len            |  nlmsghdr (linux/netlink.h)
//! +-------+-------+-------+-------+
//! |  nlmsg_type   |  nlmsg_flags  |  type: the family's id, or NLMSG_ERROR, NLMSG_DONE
//! +-------+-------+-------+-------+
//! |          nlmsg_seq            |
//! +-------+-------+-------+-------+
//! |          nlmsg_pid            |
//! +-------+-------+-------+-------+
//! |  cmd  |version|   reserved    |  genlmsghdr
//! +-------+-------+-------+-------+
//! |          dp_ifindex           |  ovs_header; the controller's messages have none
//! +-------+-------+-------+-------+
//! |  attributes …
//! ```

use crate::attr::{AttrWriter, Attrs, TooLong};
use crate::uapi::*;

const NLMSG_HDRLEN: usize = 16;

/// A message of the kernel that is not what its type says
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before a header does, or the length in the header is beyond the bytes
    #[error("a netlink message is cut short")]
    Truncated,
    /// An attribute that every such message has is not there, or has a length that it never has
    #[error("attribute {0} is missing or malformed")]
    Attribute(&'static str),
    /// The command is not one that this reply can have
    #[error("unexpected command {0}")]
    Command(u8),
}

/// The fields of `struct nlmsghdr` without the length
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// `nlmsg_type`
    pub kind: u16,
    /// `nlmsg_flags`
    pub flags: u16,
    /// `nlmsg_seq`
    pub seq: u32,
    /// `nlmsg_pid`: the receiver's port id in what the kernel sends, 0 in upcalls
    pub pid: u32,
}

impl Header {
    fn write(self, len: usize, buf: &mut Vec<u8>) {
        buf.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
        buf.extend_from_slice(&self.kind.to_ne_bytes());
        buf.extend_from_slice(&self.flags.to_ne_bytes());
        buf.extend_from_slice(&self.seq.to_ne_bytes());
        buf.extend_from_slice(&self.pid.to_ne_bytes());
    }

    fn read(bytes: &[u8]) -> Option<(usize, Self)> {
        let len = u32_at(bytes, 0)?;
        let header = Self {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            seq: u32_at(bytes, 8)?,
            pid: u32_at(bytes, 12)?,
        };
        Some((usize::try_from(len).ok()?, header))
    }
}

/// One netlink message
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its header
    pub header: Header,
    /// What follows the header
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// What the message is
    pub fn decode(&self) -> Result<Payload<'a>, DecodeError> {
        match self.header.kind {
            NLMSG_NOOP => Ok(Payload::Noop),
            NLMSG_OVERRUN => Ok(Payload::Overrun),
            // A dump ends with the dump function's return value, which older kernels leave out.
            NLMSG_DONE => Ok(Payload::Done {
                errno: u32_at(self.body, 0).map_or(0, errno),
            }),
            NLMSG_ERROR => {
                let code = u32_at(self.body, 0).ok_or(DecodeError::Truncated)?;
                let quoted = self.body.get(4..).and_then(Header::read);
                let (_len, request) = quoted.ok_or(DecodeError::Truncated)?;
                Ok(Payload::Ack {
                    errno: errno(code),
                    request,
                })
            }
            _family => {
                let [command, version, ..] = *self.body else {
                    return Err(DecodeError::Truncated);
                };
                let rest = self.body.get(4..).ok_or(DecodeError::Truncated)?;
                Ok(Payload::Generic(Generic {
                    command,
                    version,
                    rest,
                }))
            }
        }
    }

    /// Appends the message
    pub fn encode(&self, buf: &mut Vec<u8>) {
        self.header
            .write(NLMSG_HDRLEN.saturating_add(self.body.len()), buf);
        buf.extend_from_slice(self.body);
        buf.resize(buf.len().next_multiple_of(4), 0);
    }
}

/// What a message is, by its type
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// `NLMSG_NOOP`
    Noop,
    /// `NLMSG_OVERRUN`
    Overrun,
    /// `NLMSG_DONE`: a dump is complete, or failed with `errno`
    Done {
        /// 0 or a positive error number
        errno: i32,
    },
    /// `NLMSG_ERROR`: the answer to one request
    Ack {
        /// 0 for success, or a positive error number
        errno: i32,
        /// The request's header, as the kernel quotes it
        request: Header,
    },
    /// A message of a generic-netlink family
    Generic(Generic<'a>),
}

impl Payload<'_> {
    /// Appends what [`Message::decode`] reads this payload from
    pub fn encode(&self, buf: &mut Vec<u8>) {
        let code = |errno: i32| errno.wrapping_neg().to_ne_bytes();
        match self {
            Self::Noop | Self::Overrun => {}
            Self::Done { errno } => buf.extend_from_slice(&code(*errno)),
            Self::Ack { errno, request } => {
                buf.extend_from_slice(&code(*errno));
                request.write(NLMSG_HDRLEN, buf);
            }
            Self::Generic(generic) => {
                buf.extend_from_slice(&[generic.command, generic.version, 0, 0]);
                buf.extend_from_slice(generic.rest);
            }
        }
    }
}

/// `struct genlmsghdr` and what follows it
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generic<'a> {
    /// `cmd`
    pub command: u8,
    /// `version`
    pub version: u8,
    /// A family's own header and attributes
    pub rest: &'a [u8],
}

impl<'a> Generic<'a> {
    /// `dp_ifindex` and the attributes of a message of one of the Open vSwitch families
    pub fn ovs(&self) -> Result<(i32, Attrs<'a>), DecodeError> {
        let (ifindex, attrs) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        Ok((i32::from_ne_bytes(*ifindex), Attrs::new(attrs)))
    }
}

/// The messages in what one receive call returned
#[derive(Debug, Clone, Copy)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// The messages in `bytes`
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let read = || {
            let (len, header) = Header::read(bytes)?;
            let body = bytes.get(NLMSG_HDRLEN..len)?;
            let rest = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
            Some((Message { header, body }, rest))
        };
        let Some((message, rest)) = read() else {
            return Some(Err(DecodeError::Truncated));
        };
        self.0 = rest;
        Some(Ok(message))
    }
}

/// The head of a request
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The family's id
    pub family: u16,
    /// `NLM_F_*`; `NLM_F_REQUEST` is added
    pub flags: u16,
    /// Chosen by the sender, quoted in every answer
    pub seq: u32,
    /// The family's command
    pub command: u8,
    /// The family's version
    pub version: u8,
    /// The datapath; `None` for the controller, whose messages have no `ovs_header`
    pub dp_ifindex: Option<i32>,
}

impl Request {
    /// Appends the request with the attributes that `fill` writes; appends nothing when one is too long
    pub fn encode(&self, buf: &mut Vec<u8>, fill: impl FnOnce(&mut AttrWriter<'_>)) -> Result<(), TooLong> {
        let start = buf.len();
        let header = Header {
            kind: self.family,
            flags: self.flags | NLM_F_REQUEST,
            seq: self.seq,
            pid: 0,
        };
        header.write(0, buf);
        buf.extend_from_slice(&[self.command, self.version, 0, 0]);
        if let Some(ifindex) = self.dp_ifindex {
            buf.extend_from_slice(&ifindex.to_ne_bytes());
        }
        let mut writer = AttrWriter::new(buf);
        fill(&mut writer);
        if let Err(too_long) = writer.finish() {
            buf.truncate(start);
            return Err(too_long);
        }
        let message = buf.get_mut(start..).unwrap_or_default();
        let len = u32::try_from(message.len()).unwrap_or(u32::MAX);
        if let Some(field) = message.first_chunk_mut() {
            *field = len.to_ne_bytes();
        }
        Ok(())
    }
}

/// The controller's answer about one family (`CTRL_CMD_NEWFAMILY`)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The message type of the family's messages
    pub id: u16,
    /// The multicast groups: name and id
    pub groups: Vec<(String, u32)>,
}

impl Family {
    /// Appends the request for the family `name`
    pub fn encode_request(name: &str, seq: u32, buf: &mut Vec<u8>) -> Result<(), TooLong> {
        let request = Request {
            family: GENL_ID_CTRL,
            flags: 0,
            seq,
            command: CTRL_CMD_GETFAMILY,
            version: 1,
            dp_ifindex: None,
        };
        request.encode(buf, |w| w.put_str(CTRL_ATTR_FAMILY_NAME, name))
    }

    /// The family that the controller describes
    pub fn decode(generic: &Generic<'_>) -> Result<Self, DecodeError> {
        if generic.command != CTRL_CMD_NEWFAMILY {
            return Err(DecodeError::Command(generic.command));
        }
        let attrs = Attrs::new(generic.rest);
        let id = attrs
            .u16(CTRL_ATTR_FAMILY_ID)
            .ok_or(DecodeError::Attribute("CTRL_ATTR_FAMILY_ID"))?;
        let groups = attrs.nested(CTRL_ATTR_MCAST_GROUPS).unwrap_or(Attrs::new(&[]));
        let group = |attrs: Attrs<'_>| {
            let name = crate::attr::text(attrs.value(CTRL_ATTR_MCAST_GRP_NAME)?);
            Some((name, attrs.u32(CTRL_ATTR_MCAST_GRP_ID)?))
        };
        Ok(Self {
            id,
            groups: groups.filter_map(|g| group(g.nested())).collect(),
        })
    }
}

/// The kernel reports errors as negative numbers
fn errno(code: u32) -> i32 {
    code.cast_signed().wrapping_neg()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_carries_its_length() {
        let mut buf = vec![];
        let request = Request {
            family: 0x20,
            flags: NLM_F_ACK,
            seq: 7,
            command: 3,
            version: 2,
            dp_ifindex: Some(5),
        };
        request.encode(&mut buf, |w| w.put_str(1, "weave")).unwrap();
        assert_eq!(
            buf,
            [
                36, 0, 0, 0, 0x20, 0, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0, // nlmsghdr
                3, 2, 0, 0, // genlmsghdr
                5, 0, 0, 0, // ovs_header
                10, 0, 1, 0, b'w', b'e', b'a', b'v', b'e', 0, 0, 0,
            ]
        );
    }

    #[test]
    fn a_request_that_is_too_long_leaves_the_batch_as_it_was() {
        let mut buf = vec![1, 2, 3, 4];
        let request = Request {
            family: 0x20,
            flags: 0,
            seq: 1,
            command: 1,
            version: 1,
            dp_ifindex: Some(1),
        };
        assert!(request.encode(&mut buf, |w| w.put(1, &[0; 70_000])).is_err());
        assert_eq!(buf, [1, 2, 3, 4]);
    }

    #[test]
    fn a_message_cut_short_is_an_error_and_the_last_item() {
        let mut messages = Messages::new(&[40, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(messages.next(), Some(Err(DecodeError::Truncated)));
        assert_eq!(messages.next(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes: Vec<u8>) {
            for message in Messages::new(&bytes).flatten() {
                if let Ok(Payload::Generic(generic)) = message.decode() {
                    let _ = generic.ovs();
                    let _ = Family::decode(&generic);
                }
            }
        }

        #[test]
        fn messages_round_trip(kind: u16, flags: u16, seq: u32, pid: u32, body: Vec<u8>) {
            let message = Message { header: Header { kind, flags, seq, pid }, body: &body };
            let mut buf = vec![];
            message.encode(&mut buf);
            message.encode(&mut buf);
            let read: Vec<_> = Messages::new(&buf).collect();
            prop_assert_eq!(read, vec![Ok(message), Ok(message)]);
        }

        #[test]
        fn payloads_round_trip(errno in 0..4096i32, kind: u16, flags: u16, seq: u32, pid: u32) {
            for (of, payload) in [
                (NLMSG_ERROR, Payload::Ack { errno, request: Header { kind, flags, seq, pid } }),
                (NLMSG_DONE, Payload::Done { errno }),
                (0x21, Payload::Generic(Generic { command: 1, version: 2, rest: &[9; 8] })),
            ] {
                let mut body = vec![];
                payload.encode(&mut body);
                let message = Message { header: Header { kind: of, flags: 0, seq, pid }, body: &body };
                prop_assert_eq!(message.decode(), Ok(payload));
            }
        }
    }
}
