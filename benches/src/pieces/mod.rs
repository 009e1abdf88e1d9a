//! What the hot pieces of code are measured with: nothing here is measured itself.
//!
//! Time is measured with the same as instructions: see `benches/`.
// Everything here is made of constants of this file.
#![allow(clippy::missing_panics_doc)]

pub mod mesh;
pub mod sleeve;
pub mod switch;
