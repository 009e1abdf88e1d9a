//! `ipam prime` and `rmpeer`.

use anyhow::Result;
use api::{BanRequest, RemovePeersRequest, routes};

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
    if args.ban || args.unban {
        return ban(args, &daemon);
    }
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

/// The addresses of a host that is banned are taken over later, once it is seen to be gone
fn ban(args: &RmpeerArgs, daemon: &Daemon) -> Result<()> {
    for peer in &args.peers {
        let request = BanRequest {
            peer: peer.clone(),
            refused: args.ban,
        };
        let banned = daemon.send(&routes::BAN, &request)?;
        let verb = if args.ban { "refused" } else { "accepted" };
        print::text(&format_args!(
            "{verb}: {} with the key {}\n",
            banned.peer,
            clean(&banned.key)
        ))?;
    }
    Ok(())
}
