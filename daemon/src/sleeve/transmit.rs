//! The threads that read the TAP and send datagrams.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::time::Instant;

use fallback_sleeve::VnetHeader;
use fallback_sleeve::vlan::PeerTags;
use model::Mac;
use nix::poll::PollTimeout;
use overlay::Mode;

use super::Shared;
use super::counters::Drop;
use super::outgoing::{Outgoing, Wire};

/// A frame of 64 KiB, tags, and the vnet header
const READ: usize = (64 << 10) + 256;
/// Frames read between two looks at whether to stop.
const BURST: usize = 256;

/// Runs until the sleeve is stopped
pub(super) fn run(wire: &Wire, mut queue: &File) {
    let shared = &*wire.shared;
    let mut outgoing = Outgoing::new(wire.clone());
    let mut buffer = vec![0; READ];
    while shared.wait(queue.as_fd(), PollTimeout::NONE) {
        let tick = shared.tick(Instant::now());
        for _ in 0..BURST {
            match queue.read(&mut buffer) {
                Ok(len) => from_tap(shared, &mut outgoing, buffer.get(..len).unwrap_or_default(), tick),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    // A TAP that is down answers EIO; the next wait sees what becomes of it.
                    log::debug!("reading the TAP: {error}");
                    break;
                }
            }
        }
        outgoing.flush();
    }
}

fn from_tap(shared: &Shared, outgoing: &mut Outgoing, read: &[u8], tick: u32) {
    let Some((vnet, frame)) = VnetHeader::split(read) else {
        return shared.drops.count(Drop::Malformed);
    };
    let forwarding = shared.forwarding.load();
    let sent = match forwarding.mode() {
        Mode::Tagged => {
            let Some(tags) = PeerTags::parse(frame) else {
                return shared.drops.count(Drop::Malformed);
            };
            forwarding.egress_tagged(tags, |vni, session| {
                outgoing.carry(vni, session, vnet, frame, tags.count())
            })
        }
        Mode::Bridge => {
            let Some((dst, src)) = addresses(frame) else {
                return shared.drops.count(Drop::Malformed);
            };
            forwarding.egress_bridge(&shared.macs, src, dst, tick, |vni, session| {
                outgoing.carry(vni, session, vnet, frame, 0);
            })
        }
    };
    if let Err(reason) = sent {
        shared.switch_drops.count(reason);
    }
}

/// Destination and source of a frame
pub(super) fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let dst = frame.first_chunk::<6>()?;
    let src = frame.get(6..)?.first_chunk::<6>()?;
    Some((Mac::new(*dst), Mac::new(*src)))
}
