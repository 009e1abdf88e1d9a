//! weave-lab

fn main() {}
