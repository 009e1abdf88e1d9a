//! `ipam prime` and `rmpeer`.

use anyhow::Result;
use api::{RemovePeersRequest, routes};

use crate::cli::RmpeerArgs;
use crate::containers::PATIENCE;
use crate::daemon::Daemon;
use crate::exit::clean;
use crate::print;

pub(crate) fn prime(daemon: &Daemon) -> Result<()> {
    daemon.patient(PATIENCE)?.ask(&routes::PRIME)?;
    Ok(())
}

/// One after the other, so that what was done is told also where a later one fails
pub(crate) fn rmpeer(args: &RmpeerArgs, daemon: &Daemon) -> Result<()> {
    let daemon = daemon.patient(PATIENCE)?;
    for peer in &args.peers {
        let request = RemovePeersRequest {
            peers: vec![peer.clone()],
        };
        for removed in daemon.send(&routes::REMOVE_PEERS, &request)? {
            let peer = clean(&removed.peer);
            print::text(&format_args!(
                "{} IPs taken over from {peer}\n",
                removed.addresses
            ))?;
        }
    }
    Ok(())
}
