//! Containers of real Docker.

mod itself;

pub(super) use self::itself::act as itself;
