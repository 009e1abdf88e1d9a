//! One neighbour's sleeve, as the packet threads see it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use fallback_sleeve::Sealer;
use model::{PathKind, PeerName};

use crate::neighbours::gate::BeatGate;

/// Where datagrams to a neighbour go, and from which address of this host
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The address that the neighbour knows this host by
    pub(crate) local: Option<IpAddr>,
    /// The neighbour's address, as it has proved it
    pub(crate) remote: SocketAddr,
}

/// The sending half of a neighbour's sleeve; written by control, read by packet threads
#[derive(Debug)]
pub(crate) struct Session {
    /// The neighbour
    pub(crate) peer: PeerName,
    /// What its heartbeats are checked by
    pub(crate) beats: Arc<BeatGate>,
    sealer: ArcSwapOption<Sealer>,
    ends: ArcSwap<Ends>,
    mtu: AtomicU16,
    /// Packets and bytes both ways
    pub(crate) traffic: Traffic,
}

impl Session {
    /// A session that cannot send until it is given the neighbour's key
    pub(crate) fn new(peer: PeerName, ends: Ends, mtu: u16) -> Self {
        Self {
            peer,
            beats: Arc::new(BeatGate::new(PathKind::Sleeve)),
            sealer: ArcSwapOption::empty(),
            ends: ArcSwap::from_pointee(ends),
            mtu: AtomicU16::new(mtu),
            traffic: Traffic::default(),
        }
    }

    /// The key to send with; none until the neighbour has offered one
    pub(crate) fn sealer(&self) -> arc_swap::Guard<Option<Arc<Sealer>>> {
        self.sealer.load()
    }

    /// Takes the neighbour's newest key
    pub(crate) fn set_sealer(&self, sealer: Arc<Sealer>) {
        self.sealer.store(Some(sealer));
    }

    /// Where datagrams go
    pub(crate) fn ends(&self) -> Ends {
        **self.ends.load()
    }

    /// The neighbour has another address
    pub(crate) fn set_ends(&self, ends: Ends) {
        self.ends.store(Arc::new(ends));
    }

    /// The largest inner packet (without Ethernet header) that one datagram to the neighbour carries
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu.load(Ordering::Relaxed)
    }

    /// Sets the largest inner packet
    pub(crate) fn set_mtu(&self, mtu: u16) {
        self.mtu.store(mtu, Ordering::Relaxed);
    }
}

/// Frames carried, by direction
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    sent_packets: AtomicU64,
    sent_bytes: AtomicU64,
    received_packets: AtomicU64,
    received_bytes: AtomicU64,
}

impl Traffic {
    /// Counts frames sent
    pub(crate) fn sent(&self, packets: u64, bytes: u64) {
        self.sent_packets.fetch_add(packets, Ordering::Relaxed);
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts frames received
    pub(crate) fn received(&self, packets: u64, bytes: u64) {
        self.received_packets.fetch_add(packets, Ordering::Relaxed);
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl From<&Traffic> for api::Traffic {
    fn from(traffic: &Traffic) -> Self {
        Self {
            sent_packets: traffic.sent_packets.load(Ordering::Relaxed),
            sent_bytes: traffic.sent_bytes.load(Ordering::Relaxed),
            received_packets: traffic.received_packets.load(Ordering::Relaxed),
            received_bytes: traffic.received_bytes.load(Ordering::Relaxed),
        }
    }
}
