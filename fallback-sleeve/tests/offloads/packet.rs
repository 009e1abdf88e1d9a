//! Packets in words: what a sender meant, and the bytes that etherparse makes of it.

use etherparse::checksum::Sum16BitWords;
use etherparse::{
    EtherType, IpNumber, Ipv4Header, Ipv6Header, Ipv6RawExtHeader, SlicedPacket, TcpHeader, TransportSlice,
    UdpHeader, ip_number,
};
use fallback_sleeve::VnetHeader;

/// A TCP or UDP packet; lengths, protocols and checksums in its headers mean nothing
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    /// Tag protocols and control information of the container's own tags
    pub(crate) tags: Vec<(EtherType, u16)>,
    pub(crate) ip: Ip,
    pub(crate) transport: Transport,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ip {
    V4(Ipv4Header),
    /// With extension headers: their own numbers, and all but their first two bytes
    V6(Ipv6Header, Vec<(IpNumber, Vec<u8>)>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp(TcpHeader),
    Udp(UdpHeader),
}

impl Packet {
    /// The finished frame
    pub(crate) fn frame(&self) -> Vec<u8> {
        let payload = &self.payload;
        self.with_transport(|ip, transport| match (ip, transport) {
            (Ip::V4(ip), Transport::Tcp(tcp)) => {
                tcp.checksum = tcp.calc_checksum_ipv4(ip, payload).unwrap();
            }
            (Ip::V6(ip, _), Transport::Tcp(tcp)) => {
                tcp.checksum = tcp.calc_checksum_ipv6(ip, payload).unwrap();
            }
            (Ip::V4(ip), Transport::Udp(udp)) => {
                udp.checksum = udp.calc_checksum_ipv4(ip, payload).unwrap();
            }
            (Ip::V6(ip, _), Transport::Udp(udp)) => {
                udp.checksum = udp.calc_checksum_ipv6(ip, payload).unwrap();
            }
        })
    }

    /// What the kernel gives a TAP: the sum of the pseudo header where the checksum goes, and segmentation
    /// left to be done where `size` is not zero
    pub(crate) fn offloaded(&self, size: u16) -> (VnetHeader, Vec<u8>) {
        let pseudo = self.pseudo_sum();
        let frame = self.with_transport(|_ip, transport| match transport {
            Transport::Tcp(tcp) => tcp.checksum = pseudo,
            Transport::Udp(udp) => udp.checksum = pseudo,
        });
        let gso_type = match (size, &self.transport, &self.ip) {
            (0, ..) => VnetHeader::GSO_NONE,
            (_, Transport::Tcp(_), Ip::V4(_)) => VnetHeader::GSO_TCPV4,
            (_, Transport::Tcp(_), Ip::V6(..)) => VnetHeader::GSO_TCPV6,
            (_, Transport::Udp(_), _) => VnetHeader::GSO_UDP_L4,
        };
        let vnet = VnetHeader {
            flags: VnetHeader::NEEDS_CSUM,
            gso_type,
            hdr_len: self.headers() as u16,
            gso_size: size,
            csum_start: (self.headers() - self.transport_header()) as u16,
            csum_offset: if self.is_tcp() { 16 } else { 6 },
        };
        (vnet, frame)
    }

    /// The packets that this one means when it is cut into payloads of `size`, as the kernel cuts it: DF and
    /// ECN bits, tags and options in every one; IPv4 identifications that count, with DF as without; CWR in
    /// the first alone, FIN and PSH in the last alone
    pub(crate) fn segments(&self, size: usize) -> Vec<Self> {
        let pieces: Vec<&[u8]> = match self.payload.len() {
            0 => vec![&[]],
            _ => self.payload.chunks(size).collect(),
        };
        let last = pieces.len() - 1;
        let segment = |(index, piece): (usize, &&[u8])| {
            let mut segment = Self {
                payload: piece.to_vec(),
                ..self.clone()
            };
            if let Ip::V4(ip) = &mut segment.ip {
                ip.identification = ip.identification.wrapping_add(index as u16);
            }
            if let Transport::Tcp(tcp) = &mut segment.transport {
                tcp.sequence_number = tcp.sequence_number.wrapping_add((index * size) as u32);
                tcp.cwr &= index == 0;
                tcp.fin &= index == last;
                tcp.psh &= index == last;
            }
            segment
        };
        pieces.iter().enumerate().map(segment).collect()
    }

    /// The same with a first word of the payload that makes its transport checksum a zero, and an IPv4
    /// identification that makes its header's one; a payload of less than a word stays
    pub(crate) fn summing_to_zero(mut self) -> Self {
        if let Ip::V4(ip) = &mut self.ip {
            ip.identification = 0;
        }
        let right = Self::parse(&self.frame());
        if let (Ip::V4(ip), Ip::V4(sent)) = (&mut self.ip, &right.ip) {
            ip.identification = sent.header_checksum;
        }
        let sum = match &right.transport {
            Transport::Tcp(tcp) => tcp.checksum,
            Transport::Udp(udp) => udp.checksum,
        };
        if let Some(word) = self.payload.first_chunk_mut::<2>() {
            let total = Sum16BitWords::new()
                .add_2bytes(*word)
                .add_2bytes(sum.to_be_bytes());
            *word = (!total.ones_complement().to_be()).to_be_bytes();
        }
        self
    }

    /// Reads a frame whose lengths are right, whatever its transport checksum
    pub(crate) fn parse(frame: &[u8]) -> Self {
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        let mut tags = Vec::new();
        let mut ether_type = EtherType(u16::from_be_bytes([frame[12], frame[13]]));
        let mut at = 14;
        while matches!(ether_type.0, 0x8100 | 0x88a8) {
            tags.push((ether_type, u16::from_be_bytes([frame[at], frame[at + 1]])));
            ether_type = EtherType(u16::from_be_bytes([frame[at + 2], frame[at + 3]]));
            at += 4;
        }
        let net = sliced.net.as_ref().unwrap();
        let ip = match (net.ipv4_ref(), net.ipv6_ref()) {
            (Some(ip), _) => {
                assert_eq!(usize::from(ip.header().total_len()), frame.len() - at);
                Ip::V4(ip.header().to_header())
            }
            (_, Some(ip)) => {
                assert_eq!(usize::from(ip.header().payload_length()), frame.len() - at - 40);
                Ip::V6(ip.header().to_header(), extensions(&frame[at..]))
            }
            (None, None) => panic!("no IP: {net:?}"),
        };
        let (transport, payload) = match sliced.transport.as_ref().unwrap() {
            TransportSlice::Tcp(tcp) => (Transport::Tcp(tcp.to_header()), tcp.payload()),
            TransportSlice::Udp(udp) => {
                assert_eq!(usize::from(udp.length()), 8 + udp.payload().len());
                (Transport::Udp(udp.to_header()), udp.payload())
            }
            other @ (TransportSlice::Icmpv4(_) | TransportSlice::Icmpv6(_) | TransportSlice::Igmp(_)) => {
                panic!("neither TCP nor UDP: {other:?}")
            }
        };
        Self {
            tags,
            ip,
            transport,
            payload: payload.to_vec(),
        }
    }

    pub(crate) fn is_tcp(&self) -> bool {
        matches!(self.transport, Transport::Tcp(_))
    }

    /// Bytes before the payload
    pub(crate) fn headers(&self) -> usize {
        let network = match &self.ip {
            Ip::V4(ip) => ip.header_len(),
            Ip::V6(_, extensions) => 40 + extensions_len(extensions),
        };
        14 + 4 * self.tags.len() + network + self.transport_header()
    }

    pub(crate) fn transport_header(&self) -> usize {
        match &self.transport {
            Transport::Tcp(tcp) => tcp.header_len(),
            Transport::Udp(_) => 8,
        }
    }

    fn protocol(&self) -> IpNumber {
        if self.is_tcp() {
            ip_number::TCP
        } else {
            ip_number::UDP
        }
    }

    /// The sum of the pseudo header, not complemented
    fn pseudo_sum(&self) -> u16 {
        let length = (self.transport_header() + self.payload.len()) as u16;
        let addresses = match &self.ip {
            Ip::V4(ip) => Sum16BitWords::new()
                .add_4bytes(ip.source)
                .add_4bytes(ip.destination),
            Ip::V6(ip, _) => Sum16BitWords::new()
                .add_16bytes(ip.source)
                .add_16bytes(ip.destination),
        };
        let sum = addresses
            .add_2bytes([0, self.protocol().0])
            .add_2bytes(length.to_be_bytes());
        !sum.ones_complement().to_be()
    }

    /// The frame, with everything right but what `finish` does
    fn with_transport(&self, finish: impl Fn(&Ip, &mut Transport)) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0, 0, 0x0b, 2, 0, 0, 0, 0, 0x0a];
        for (protocol, control) in &self.tags {
            out.extend(protocol.0.to_be_bytes());
            out.extend(control.to_be_bytes());
        }
        let protocol = self.protocol();
        let transport_len = self.transport_header() + self.payload.len();
        match &self.ip {
            Ip::V4(ip) => {
                let mut ip = ip.clone();
                ip.protocol = protocol;
                ip.set_payload_len(transport_len).unwrap();
                ip.header_checksum = ip.calc_header_checksum();
                out.extend(0x0800u16.to_be_bytes());
                out.extend(ip.to_bytes());
            }
            Ip::V6(ip, extensions) => {
                let mut ip = ip.clone();
                let first = extensions.first().map(|(number, _)| *number);
                ip.next_header = first.unwrap_or(protocol);
                ip.set_payload_length(extensions_len(extensions) + transport_len)
                    .unwrap();
                out.extend(0x86ddu16.to_be_bytes());
                out.extend(ip.to_bytes());
                for (index, (_, bytes)) in extensions.iter().enumerate() {
                    let next = extensions.get(index + 1).map(|(number, _)| *number);
                    let header = Ipv6RawExtHeader::new_raw(next.unwrap_or(protocol), bytes);
                    out.extend(header.unwrap().to_bytes());
                }
            }
        }
        let mut transport = self.transport.clone();
        if let Transport::Udp(udp) = &mut transport {
            udp.length = transport_len as u16;
        }
        finish(&self.ip, &mut transport);
        match &transport {
            Transport::Tcp(tcp) => out.extend(tcp.to_bytes()),
            Transport::Udp(udp) => out.extend(udp.to_bytes()),
        }
        out.extend(&self.payload);
        out
    }
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packet")
            .field("tags", &self.tags)
            .field("ip", &self.ip)
            .field("transport", &self.transport)
            .field("payload", &self.payload.len())
            .finish()
    }
}

fn extensions_len(extensions: &[(IpNumber, Vec<u8>)]) -> usize {
    extensions.iter().map(|(_, bytes)| bytes.len() + 2).sum()
}

/// The extension headers of an IPv6 packet
fn extensions(packet: &[u8]) -> Vec<(IpNumber, Vec<u8>)> {
    let mut found = Vec::new();
    let (mut number, mut at) = (IpNumber(packet[6]), 40);
    while Ipv6RawExtHeader::header_type_supported(number) {
        let (header, _rest) = Ipv6RawExtHeader::from_slice(&packet[at..]).unwrap();
        found.push((number, header.payload().to_vec()));
        at += header.header_len();
        number = header.next_header;
    }
    found
}
