//! What this host brings along to what all peers hold in common: its addresses, and its containers' names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use dns::Names;
use gossip::Identity;
use ipam::{Config, Ipam};
use ipnetwork::{IpNetwork, Ipv4Network};
use link::Links;
use model::{ContainerId, IfName, NickName, PeerName};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::attachments::Held;
use crate::config::{Args, IpallocRange};
use crate::control::Common;
use crate::range::{self, Routed};
use crate::store::{Slot, Store};

/// What the host's own addresses belong to
pub(crate) const HOST: &str = "weave:expose";

/// Those that names can have
pub(crate) fn ipv4(addresses: &[IpNetwork]) -> Vec<Ipv4Addr> {
    let all = addresses.iter().filter_map(|address| match address.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    });
    all.collect()
}

/// What is handed out
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Handout {
    pub(crate) range: Ipv4Network,
    pub(crate) default_subnet: Ipv4Network,
}

impl Handout {
    /// By the command line and by what this host's routes leave; none where nothing is handed out
    pub(crate) async fn choose(
        args: &Args,
        store: &Store,
        links: &Links,
        own: &[IfName],
    ) -> anyhow::Result<Option<Self>> {
        let last = store.value::<Ipv4Network>(Slot::RANGE)?;
        let Some(range) = range::choose(args.ipalloc_range, last, &routed(links, own).await?)? else {
            return Ok(None);
        };
        if args.ipalloc_range == Some(IpallocRange::Auto) {
            store.put(Slot::RANGE, &range).later();
        }
        let default_subnet = args.ipalloc_default_subnet.unwrap_or(range);
        anyhow::ensure!(
            default_subnet.ip() == default_subnet.network(),
            "invalid --ipalloc-default-subnet - bits after network prefix are not all zero: {default_subnet}"
        );
        anyhow::ensure!(
            range.overlaps(default_subnet),
            "--ipalloc-default-subnet {default_subnet} out of bounds: {range}"
        );
        Ok(Some(Self {
            range,
            default_subnet,
        }))
    }
}

/// Where other devices than this program's own lead to
async fn routed(links: &Links, own: &[IfName]) -> anyhow::Result<Vec<Routed>> {
    let devices = links.list().await?;
    let name = |index: &u32| {
        devices
            .iter()
            .find(|device| device.index == *index)
            .map(|device| &device.name)
    };
    let routes = links.routes().await?;
    let theirs = routes.iter().filter_map(|route| {
        let device = route.devices.iter().find_map(name)?;
        (!own.contains(device)).then(|| Routed {
            network: route.destination,
            device: device.to_string(),
        })
    });
    Ok(theirs.collect())
}

/// Who this host is, and what it has
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) name: PeerName,
    /// The key that signs what it says
    pub(crate) identity: Identity,
    /// Greater at each start
    pub(crate) epoch: u64,
    pub(crate) unix_ms: u64,
    /// How many peers it was told of
    pub(crate) targets: usize,
    /// Its containers
    pub(crate) held: Vec<Held>,
    /// Containers that ended, and that addresses are kept for
    pub(crate) resting: Vec<ContainerId>,
    /// Its own addresses
    pub(crate) exposed: Vec<IpNetwork>,
    /// And their name
    pub(crate) exposed_name: Option<String>,
}

/// What of it was kept, and what is so by now
pub(crate) fn common(
    args: &Args,
    handout: Option<Handout>,
    own: Own,
    store: &Store,
    rng: &mut StdRng,
    now: Instant,
) -> anyhow::Result<Common> {
    let host: ContainerId = HOST.parse()?;
    let mut ended: BTreeSet<ContainerId> = BTreeSet::new();
    let mut ipam = match handout {
        None => None,
        Some(handout) => {
            let (state, mark) = store.addresses()?.unzip();
            let kept = state.iter().flat_map(|state| state.addresses.values());
            ended.extend(kept.map(|held| held.container.clone()));
            let config = Config {
                name: own.name,
                identity: own.identity.clone(),
                range: handout.range,
                init: args.ipalloc_init.0.clone(),
                expected_peers: own.targets + 1,
                lease: args.ipalloc_lease.0,
                timers: ipam::Timers::default(),
            };
            let away = mark.and_then(|mark| mark.elapsed());
            Some(Ipam::new(
                config,
                state,
                away,
                own.unix_ms,
                StdRng::from_rng(rng),
                now,
            ))
        }
    };
    // Without names, too: that there are none here replaces what others know of a run before this one.
    let mut names = Names::new(own.name, own.identity.clone(), own.epoch, args.dns_domain.clone());
    let mut has = |id: &ContainerId, addresses: &[IpNetwork], called: &[(String, Ipv4Addr)]| {
        for address in addresses {
            if let (Some(ipam), IpNetwork::V4(address)) = (&mut ipam, address) {
                ipam.reclaim(id.clone(), *address, now);
            }
        }
        for (name, address) in called {
            if !args.no_dns
                && let Err(error) = names.add(name, id.clone(), *address)
            {
                log::warn!("container {id} has no name: {error}");
            }
        }
    };
    for held in &own.held {
        has(&held.id, &held.addresses, &held.names);
    }
    let called: Vec<(String, Ipv4Addr)> = match &own.exposed_name {
        Some(name) => ipv4(&own.exposed)
            .into_iter()
            .map(|address| (name.clone(), address))
            .collect(),
        None => Vec::new(),
    };
    has(&host, &own.exposed, &called);
    // Those that ended while nobody looked.
    ended.remove(&host);
    for id in own.held.iter().map(|held| &held.id).chain(&own.resting) {
        ended.remove(id);
    }
    if let Some(ipam) = &mut ipam {
        for id in &ended {
            ipam.release(id, None, now);
        }
    }
    let nicknames: Vec<(PeerName, NickName)> = store.value(Slot::NICKNAMES)?.unwrap_or_default();
    Ok(Common {
        ipam,
        names,
        nicknames: BTreeMap::from_iter(nicknames),
    })
}
