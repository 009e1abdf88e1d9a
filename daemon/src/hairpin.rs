//! The bridge does not send back to other hosts what came from them.
//!
//! Kubernetes and others switch on the hairpin mode of whatever ports a bridge has, so that containers reach
//! themselves by a service. At the sleeve's port it would return every broadcast to the host that it came from.

use link::{LinkEvent, Links};
use model::IfName;
use tokio_util::sync::CancellationToken;

/// Switches the hairpin mode of this port off whenever it is on, until `stop`
pub(crate) async fn keep_off(links: Links, port: IfName, stop: CancellationToken) {
    let mut watch = match links.watch().await {
        Ok(watch) => watch,
        Err(error) => {
            log::warn!(
                "hairpin mode of {port} would go unnoticed: {:#}",
                anyhow::Error::from(error)
            );
            return;
        }
    };
    loop {
        if let Err(error) = look(&links, &port).await {
            log::warn!("hairpin mode of {port}: {error}");
        }
        loop {
            match stop.run_until_cancelled(watch.next()).await {
                None | Some(None) => return,
                Some(Some(LinkEvent::BridgePort { name })) if name == port => break,
                Some(Some(LinkEvent::Overrun)) => break,
                Some(Some(_other)) => {}
            }
        }
    }
}

async fn look(links: &Links, port: &IfName) -> Result<(), link::NetlinkError> {
    let is_on = links.link(port).await?.is_some_and(|device| device.hairpin);
    if is_on {
        log::warn!(
            "hairpin mode of {port} was switched on: frames would go back to the hosts they came from; it is \
             switched off again"
        );
        links.set_hairpin(port, false).await?;
    }
    Ok(())
}
