//! Keeps track of the containers' side while devices, addresses and routes come and go.

use std::sync::Arc;
use std::time::Duration;

use ipnetwork::IpNetwork;
use link::{LinkEvent, Links, NetlinkError};
use model::IfName;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Inside;
use crate::changes::Changes;
use crate::control::Input;

/// Docker changes several things at once; one look after that is enough.
const QUIET: Duration = Duration::from_millis(50);

/// The containers' side at this moment
pub(crate) async fn look(links: &Links, own: &IfName, given: &[IpNetwork]) -> Result<Inside, NetlinkError> {
    let devices = links.list().await?;
    let routes = links.routes().await?;
    Ok(Inside::of(own, given, &devices, &routes))
}

/// Tells of the containers' side whenever it changes, until `stop`
pub(crate) async fn follow(
    links: Links,
    own: IfName,
    given: Vec<IpNetwork>,
    inside: watch::Sender<Arc<Inside>>,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let Some(mut changes) = Changes::watch(&links, stop, "bridges of Docker that come are not noticed").await
    else {
        return;
    };
    loop {
        match look(&links, &own, &given).await {
            Ok(found) => {
                let networks = found.unadvertised();
                inside.send_if_modified(|last| {
                    let differs = **last != found;
                    if differs {
                        *last = Arc::new(found);
                    }
                    differs
                });
                if inputs.send(Input::Internal { networks }).await.is_err() {
                    return;
                }
            }
            Err(error) => log::warn!("cannot read this host's devices: {error}"),
        }
        let concerns = |event: &LinkEvent| !matches!(event, LinkEvent::BridgePort { .. });
        if !changes.wait_for(concerns).await {
            return;
        }
        changes.skip(QUIET).await;
    }
}
