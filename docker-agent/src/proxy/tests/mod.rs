//! The proxy in front of a Docker that follows a script: what one side writes, the other reads.

mod creation;
mod setup;
mod streams;
mod transport;
