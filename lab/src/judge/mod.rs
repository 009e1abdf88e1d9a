//! Judges that nobody here wrote: `ping`, `iperf3`, `tcpdump`, `tshark`, `ovs-dpctl`, `ss`,
//! `sha256sum`, `dig`, `nft`;
//! and plain sockets of the kernel where a payload must be compared byte for byte.

pub mod capture;
pub mod cpu;
pub mod datagrams;
pub mod dig;
pub mod forged;
pub mod frames;
pub mod iperf;
pub mod netstat;
pub mod nft;
pub mod ovs;
pub mod ping;
pub mod sha256sum;
pub mod sockets;
pub mod stream;
pub mod transfer;
