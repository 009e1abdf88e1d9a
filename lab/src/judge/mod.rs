//! Judges that nobody here wrote: `ping`, `iperf3`, `tcpdump`, `tshark`, `ovs-dpctl`, `ss`; and plain
//! sockets of the kernel where a payload must be compared byte for byte.

pub mod capture;
pub mod cpu;
pub mod frames;
pub mod iperf;
pub mod ovs;
pub mod ping;
pub mod sockets;
pub mod transfer;
