//! The files of a container that says whom it asks for names, and which it knows by itself: what is put into them
//! when it is attached by hand, and taken out again.
//!
//! What is put in comes first, between two lines that say so; lines that would contradict it are set aside as
//! comments. Without both, the text is what it was.

pub mod hosts;
mod marked;
pub mod resolv_conf;

pub use marked::undone;
