//! `connect` and `forget`.

use anyhow::Result;
use api::{ConnectRequest, ForgetRequest, routes};
use model::{Target, TargetError};

use crate::cli::{ConnectArgs, ForgetArgs};
use crate::daemon::Daemon;

pub(crate) fn connect(args: &ConnectArgs, daemon: &Daemon) -> Result<()> {
    let request = ConnectRequest {
        peers: parse(&args.peers)?,
        replace: args.replace,
    };
    daemon.send(&routes::CONNECT, &request)?;
    Ok(())
}

pub(crate) fn forget(args: &ForgetArgs, daemon: &Daemon) -> Result<()> {
    let request = ForgetRequest {
        peers: parse(&args.peers)?,
    };
    daemon.send(&routes::FORGET, &request)?;
    Ok(())
}

/// The peers, or the error of the first that is none
pub(crate) fn parse(peers: &[String]) -> Result<Vec<Target>, TargetError> {
    peers.iter().map(|peer| peer.parse()).collect()
}
