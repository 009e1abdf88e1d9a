//! Multicast goes by another interface of a container when the one that it went by has left.

use std::sync::Arc;
use std::time::Duration;

use api::{Client, JoinRequest, routes};
use tokio::time::sleep;

use crate::memory::{Heir, Memory};
use crate::weaved::told;

/// From a container that ends, Docker takes one interface after the other: then there is nothing to do.
const SETTLED: Duration = Duration::from_millis(250);

/// Has weaved route a container's multicast by this interface, if that stays
pub(super) async fn take_over(weaved: Client, memory: Arc<Memory>, heir: Heir) {
    sleep(SETTLED).await;
    if memory.endpoint_of(&heir.endpoint).is_none() {
        return;
    }
    let container = heir.container.clone();
    let question = JoinRequest {
        container: heir.container,
        netns: heir.netns,
        multicast_route: true,
    };
    match weaved.send(&routes::JOIN_ENDPOINT, &question).await {
        Ok(attached) => log::info!("{container} sends multicast by {}", attached.interface),
        Err(error) => log::warn!("{container} may send multicast nowhere: {}", told(&error)),
    }
}
