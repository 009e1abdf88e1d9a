//! weaved

fn main() {}
