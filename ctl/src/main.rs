//! weavectl

fn main() {}
