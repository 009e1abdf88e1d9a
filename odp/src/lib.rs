//! The kernel's Open vSwitch datapath: sockets, upcalls, flows, reconciliation
