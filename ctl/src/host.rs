//! `expose` and `hide`: the host's own leg on the network.

use anyhow::Result;
use api::{ExposeRequest, HideRequest, routes};

use crate::cli::{ExposeArgs, HideArgs};
use crate::containers::{PATIENCE, or_default, print_addresses, specs};
use crate::daemon::Daemon;
use crate::print;

pub(crate) fn expose(args: &ExposeArgs, daemon: &Daemon) -> Result<()> {
    let request = ExposeRequest {
        addresses: or_default(specs(&args.addresses)?)?,
        name: args.name.clone(),
        masquerade: !args.without_masquerade,
        to: (!args.to.is_empty()).then(|| args.to.iter().copied().collect()),
    };
    let exposed = daemon.patient(PATIENCE)?.send(&routes::EXPOSE, &request)?;
    for warning in &exposed.warnings {
        print::warning(warning);
    }
    print_addresses(&exposed.addresses)
}

pub(crate) fn hide(args: &HideArgs, daemon: &Daemon) -> Result<()> {
    let request = HideRequest {
        addresses: specs(&args.addresses)?,
    };
    print_addresses(&daemon.send(&routes::HIDE, &request)?.addresses)
}
