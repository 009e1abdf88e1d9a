//! What is left to do once Docker has moved an interface into its container.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::{Client, JoinRequest, routes};
use model::ContainerId;
use tokio::time::{Instant, sleep, timeout_at};

use super::hosts::prefer;
use super::patience::{SLOW, pause};
use super::underway::Begun;
use crate::memory::Memory;
use crate::weaved::told;

/// What takes longer has failed in a way of which Docker told nothing
const DEADLINE: Duration = Duration::from_secs(600);

/// An interface on its way
#[derive(Debug)]
pub(super) struct Joining {
    /// Docker's id of it
    pub(super) endpoint: String,
    /// Whose it is
    pub(super) container: ContainerId,
    /// The file by which the container's namespace will be known
    pub(super) netns: String,
    /// Its container's `/etc/hosts`, and the address that is to be preferred there
    pub(super) hosts: Option<(PathBuf, IpAddr)>,
}

/// Waits until the interface is where it belongs, and has weaved complete it
pub(super) async fn complete(weaved: &Client, memory: &Memory, mut joining: Joining, begun: Begun) {
    let hosts = joining.hosts.take();
    // Docker writes the file before it moves the interface, or after that.
    let network = async {
        on_network(weaved, memory, joining).await;
        drop(begun);
    };
    tokio::join!(in_hosts(hosts), network);
}

async fn in_hosts(hosts: Option<(PathBuf, IpAddr)>) {
    if let Some((hosts, address)) = hosts
        && let Err(error) = prefer(&hosts, address).await
    {
        log::info!("{} stays as it is: {error}", hosts.display());
    }
}

async fn on_network(weaved: &Client, memory: &Memory, joining: Joining) {
    let endpoint = joining.endpoint;
    let question = JoinRequest {
        container: joining.container,
        netns: joining.netns,
        // Docker sets it.
        multicast_route: false,
    };
    let begun = Instant::now();
    let mut reason = format!("there is no {}", question.netns);
    let mut is_told = false;
    let done = timeout_at(begun + DEADLINE, async {
        // A container that has ended meanwhile takes its interface with it.
        while memory.endpoint_of(&endpoint).is_some() {
            if Path::new(&question.netns).exists() {
                // The file is there before it is a namespace, and that before it has the interface.
                match weaved.send(&routes::JOIN_ENDPOINT, &question).await {
                    Ok(_attached) => return true,
                    Err(error) => reason = told(&error),
                }
            }
            if begun.elapsed() >= SLOW && !is_told {
                is_told = true;
                let container = &question.container;
                log::warn!("{container} is not complete on the network yet: {reason}");
            }
            sleep(pause(begun.elapsed())).await;
        }
        false
    })
    .await;
    match done {
        Ok(true) => log::info!("{} is on the network", question.container),
        Ok(false) => log::debug!("{} ended before it was on the network", question.container),
        Err(_elapsed) => {
            let container = &question.container;
            log::warn!("{container} is not complete on the network: {reason}");
        }
    }
}
