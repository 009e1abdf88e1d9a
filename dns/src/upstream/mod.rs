//! What is asked of others: whom, in which order, and which of the bytes that come are the answer.

mod forward;
mod resolv_conf;

pub use forward::{ANSWER_WITHIN, Came, Forward};
pub use resolv_conf::{MAX_SERVERS, servers};
