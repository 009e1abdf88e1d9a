//! Kernel UAPI of Open vSwitch: constants and a pure codec
