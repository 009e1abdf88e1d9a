//! What the kernel tells of devices and routes.

use std::time::Duration;

use link::{LinkEvent, Links};
use model::IfName;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Attachments;
use crate::control::Input;

/// Changes of the network come in bursts; one look after each is enough.
const QUIET: Duration = Duration::from_millis(100);

/// Follows the kernel's devices and routes until `stop`: containers that end, networks that change
pub(crate) async fn follow_links(
    links: Links,
    own: Vec<IfName>,
    attachments: Attachments,
    inputs: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let mut watch = match links.watch().await {
        Ok(watch) => watch,
        Err(error) => {
            log::error!(
                "changes of the network go unnoticed: {:#}",
                anyhow::Error::from(error)
            );
            return;
        }
    };
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = watch.next() => event,
        };
        let Some(event) = event else { return };
        let mut changed = concerns_underlay(&event, &own);
        if let LinkEvent::LinkRemoved { name, .. } = &event {
            device_removed(&attachments, name);
        }
        // The rest of the burst.
        while let Ok(Some(event)) = tokio::time::timeout(QUIET, watch.next()).await {
            changed |= concerns_underlay(&event, &own);
            if let LinkEvent::LinkRemoved { name, .. } = &event {
                device_removed(&attachments, name);
            }
        }
        if changed {
            let underlay_mtu = links.underlay_mtu(&own).await.ok().flatten().unwrap_or(1500);
            if inputs.send(Input::NetworkChanged { underlay_mtu }).await.is_err() {
                return;
            }
        }
    }
}

/// Beside this task: the containers may be waiting for a disk
fn device_removed(attachments: &Attachments, name: &IfName) {
    let (attachments, name) = (attachments.clone(), name.clone());
    tokio::spawn(async move { attachments.device_removed(&name).await });
}

fn concerns_underlay(event: &LinkEvent, own: &[IfName]) -> bool {
    let theirs = |name: &IfName| {
        let kernels = ["ovs-system", "vxlan_sys_"];
        let ours = kernels.iter().chain(&[link::HOST_END_PREFIX]);
        !own.contains(name) && !ours.into_iter().any(|prefix| name.as_str().starts_with(prefix))
    };
    match event {
        LinkEvent::Link(state) => theirs(&state.name),
        LinkEvent::LinkRemoved { name, .. } => theirs(name),
        LinkEvent::BridgePort { .. } => false,
        LinkEvent::Address { .. }
        | LinkEvent::AddressRemoved { .. }
        | LinkEvent::Route(_)
        | LinkEvent::RouteRemoved(_)
        | LinkEvent::Overrun => true,
    }
}
