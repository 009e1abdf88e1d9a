//! Taking everything down: devices, flows, state.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use link::Links;
use model::IfName;

use crate::build::TAP;
use crate::datapath;
use crate::store::Store;

/// Removes the datapath or bridge with its ports, the TAP, the containers' devices and the state
///
/// What is not there is no error; what cannot be removed does not keep the rest from going.
pub(crate) async fn reset(datapath: &IfName, state_dir: &Path, socket: &Path) -> anyhow::Result<()> {
    let links = Links::open()?;
    // Taken first: a running daemon on this state is not to be pulled from under its feet.
    let store = state_dir
        .join("weaved.redb")
        .exists()
        .then(|| Store::open(state_dir))
        .transpose()?;
    drop(store);
    let mut failed = datapath::remove(datapath, &TAP.parse()?, &links).await;
    if let Err(error) = crate::expose::remove_rules(datapath).await {
        failed.push(error.context("cannot remove the rules that masquerade"));
    }
    if let Err(error) = crate::filter::remove(datapath).await {
        failed.push(error);
    }
    for path in [state_dir.join("weaved.redb"), socket.to_owned()] {
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            failed.push(anyhow::Error::from(error).context(format!("cannot remove {}", path.display())));
        }
    }
    // Only where nothing else is in them.
    let _others_inside = fs::remove_dir(state_dir);
    if let Some(dir) = socket.parent() {
        let _others_inside = fs::remove_dir(dir);
    }
    let Some(first) = failed.pop() else { return Ok(()) };
    for error in failed {
        log::error!("{error:#}");
    }
    Err(first).context("reset is incomplete")
}
