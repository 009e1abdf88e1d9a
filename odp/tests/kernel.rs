//! Against the kernel's own Open vSwitch.
fn main() {}
