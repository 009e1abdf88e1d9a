//! What is measured of a way.

use serde::{Deserialize, Serialize};

/// One number that is taken in every round
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// One TCP stream
    OneStream,
    /// Eight TCP streams together
    EightStreams,
    /// Datagrams of 64 bytes as received
    SmallPackets,
    /// CPU time of the daemons for each GB of one stream
    DaemonCpu,
    /// CPU time of the whole machine for each GB of one stream
    MachineCpu,
    /// The median round trip
    RoundTrip,
    /// The round trip that one in a hundred exceeds
    SlowRoundTrip,
    /// The first packet between two stations that the network knows, and its answer
    FirstPacket,
    /// The first packet between two stations that nobody knows, ARP included, and its answer
    FirstPing,
}

/// What is measured together
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Measure {
    /// One TCP stream, and the CPU time that it takes
    Stream,
    /// Eight TCP streams
    Streams,
    /// Small datagrams
    Packets,
    /// Round trips
    RoundTrips,
    /// First packets
    First,
    /// First pings of containers that were just attached
    Newcomers,
    /// A stream beside a flood of strangers, where there is Open vSwitch
    Flood,
    /// Flow set-ups, where there is Open vSwitch
    Setups,
    /// A weaved at rest
    Rest,
    /// Answers of a name server
    Names,
    /// Starts of Docker's containers, on the machine's own kernel
    Containers,
}

impl Figure {
    /// A heading for it
    pub const fn label(self) -> &'static str {
        match self {
            Self::OneStream => "1 TCP stream, Gbit/s",
            Self::EightStreams => "8 TCP streams, Gbit/s",
            Self::SmallPackets => "64 B UDP, 1000/s",
            Self::DaemonCpu => "daemons, CPU s/GB",
            Self::MachineCpu => "machine, CPU s/GB",
            Self::RoundTrip => "round trip p50, µs",
            Self::SlowRoundTrip => "round trip p99, µs",
            Self::FirstPacket => "first packet, ms",
            Self::FirstPing => "first with ARP, ms",
        }
    }
}

impl Measure {
    /// All, in the order in which they are taken
    pub const ALL: [Self; 11] = [
        Self::Stream,
        Self::Streams,
        Self::Packets,
        Self::RoundTrips,
        Self::First,
        Self::Newcomers,
        Self::Flood,
        Self::Setups,
        Self::Rest,
        Self::Names,
        Self::Containers,
    ];

    /// What people are told it is
    pub const fn label(self) -> &'static str {
        match self {
            Self::Stream => "one TCP stream",
            Self::Streams => "eight TCP streams",
            Self::Packets => "small packets",
            Self::RoundTrips => "round trips",
            Self::First => "first packets",
            Self::Setups => "flow set-ups",
            Self::Newcomers => "first pings of containers just attached",
            Self::Flood => "a stream beside a flood of strangers",
            Self::Rest => "a weaved at rest",
            Self::Names => "answers of a name server",
            Self::Containers => "starts of Docker's containers",
        }
    }

    /// It is taken of every way
    pub const fn is_of_ways(self) -> bool {
        !matches!(
            self,
            Self::Newcomers | Self::Flood | Self::Setups | Self::Rest | Self::Names | Self::Containers
        )
    }
}
