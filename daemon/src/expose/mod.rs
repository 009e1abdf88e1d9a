//! The host's own leg on the network: its addresses there, and the rules for what goes through it.
//!
//! What is wanted is remembered on disk; devices, addresses and rules are made so at each start, and again
//! whenever somebody else changes them.

mod nft;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use api::{ApiError, ErrorKind, ExposeTo};
use arc_swap::ArcSwap;
use ipnetwork::{IpNetwork, Ipv4Network};
use link::{LinkEvent, Links, RulesetWatch};
use model::{IfName, Mac};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use self::nft::NftError;
use self::rules::Wanted;
use crate::dns::Places;
use crate::store::{self, Slot, Store, Written};

/// Who flushes rules often puts others in their place: one look after it is done is enough.
const QUIET: Duration = Duration::from_millis(100);
/// Until the rules are tried again where they could not be made
const RETRY: Duration = Duration::from_secs(5);

/// How often the rules are made until two listings of them agree
const ATTEMPTS: usize = 4;

/// One of the host's addresses
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exposure {
    pub(crate) address: IpNetwork,
    pub(crate) masquerade: bool,
}

/// The host's leg, shared by those who ask
#[derive(Debug, Clone)]
pub(crate) struct HostLeg(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    links: Links,
    store: Arc<Store>,
    device: IfName,
    /// Addresses that containers can have beside those of the host's own subnets
    range: Option<Ipv4Network>,
    /// Where names are asked for, the addresses among it
    places: Places,
    /// Held through a change, so that there is one at a time
    state: Mutex<State>,
    /// The addresses as of the last change, for those who only look
    published: ArcSwap<Vec<IpNetwork>>,
    /// Who reaches containers by the addresses; none if there are none
    exposed: watch::Sender<Option<ExposeTo>>,
}

#[derive(Debug, Default)]
struct State {
    exposures: BTreeMap<IpNetwork, Exposure>,
    /// Who reaches containers by them
    to: ExposeTo,
    /// The rules as `nft` listed them when they had been made; none if there are to be none
    rules: Option<String>,
    name: Option<String>,
}

impl HostLeg {
    /// The leg as the last run left it, made again where something is missing
    pub(crate) async fn open(
        links: Links,
        store: Arc<Store>,
        device: IfName,
        range: Option<Ipv4Network>,
        places: Places,
    ) -> anyhow::Result<Self> {
        let kept: Vec<Exposure> = store.value(Slot::EXPOSURES)?.unwrap_or_default();
        let name = store.value(Slot::EXPOSED_NAME)?;
        places.set_exposed(kept.iter().map(|exposure| &exposure.address));
        let to: ExposeTo = store.value(Slot::EXPOSED_TO)?.unwrap_or_default();
        let exposed = watch::Sender::new((!kept.is_empty()).then(|| to.clone()));
        let published = ArcSwap::from_pointee(kept.iter().map(|exposure| exposure.address).collect());
        let exposures = kept.into_iter().map(|exposure| (exposure.address, exposure));
        let leg = Self(Arc::new(Inner {
            links,
            store,
            device,
            range,
            places,
            state: Mutex::new(State {
                exposures: exposures.collect(),
                to,
                rules: None,
                name,
            }),
            published,
            exposed,
        }));
        leg.repair().await;
        Ok(leg)
    }

    /// The device that has the addresses
    pub(crate) fn device(&self) -> &IfName {
        &self.0.device
    }

    /// What the addresses are called
    pub(crate) async fn name(&self) -> Option<String> {
        self.0.state.lock().await.name.clone()
    }

    /// Calls the addresses so
    pub(crate) async fn set_name(&self, name: &str) -> Result<(), ApiError> {
        let mut state = self.0.state.lock().await;
        state.name = Some(name.to_owned());
        let written = self.0.store.put(Slot::EXPOSED_NAME, &name);
        drop(state);
        written.wait().await.map_err(|error| {
            let why = store::line(error);
            not_on_disk(format!(
                "the addresses are called {name}, but after a restart they may not be: {why}"
            ))
        })
    }

    /// The addresses
    pub(crate) fn addresses(&self) -> Vec<IpNetwork> {
        self.0.published.load().to_vec()
    }

    /// Who reaches containers by them
    pub(crate) async fn to(&self) -> ExposeTo {
        self.0.state.lock().await.to.clone()
    }

    /// Who does so at each time; none while there are no addresses
    pub(crate) fn exposed(&self) -> watch::Receiver<Option<ExposeTo>> {
        self.0.exposed.subscribe()
    }

    /// The Ethernet address that they are at
    pub(crate) async fn mac(&self) -> Option<Mac> {
        let link = self.0.links.link(&self.0.device).await.ok().flatten()?;
        link.mac
    }

    /// Gives the host these addresses, and opens it to others if that is said; what keeps them from being of use, for
    /// people
    pub(crate) async fn expose(
        &self,
        addresses: &[IpNetwork],
        masquerade: bool,
        to: Option<ExposeTo>,
    ) -> Result<Vec<String>, ApiError> {
        let inner = &*self.0;
        let mut state = inner.state.lock().await;
        let mut wanted = state.exposures.clone();
        for address in addresses {
            let exposure = Exposure {
                address: *address,
                masquerade: masquerade && address.is_ipv4(),
            };
            wanted.insert(*address, exposure);
        }
        // The rules first: an address without them would send under names that nobody outside knows.
        let rules = inner.make_rules(&wanted).await.map_err(failed)?;
        for address in addresses {
            let added = inner.links.add_address(&inner.device, *address).await;
            if let Err(error) = added {
                inner.take_back(addresses, &state.exposures).await;
                let error = anyhow::Error::from(error).context(format!("cannot add {address}"));
                return Err(ApiError::new(ErrorKind::Internal, format!("{error:#}")));
            }
        }
        let to = to.unwrap_or_else(|| state.to.clone());
        let told = inner.store.put(Slot::EXPOSED_TO, &to);
        let written = inner.keep(&wanted).wait().await;
        if let Err(error) = match written {
            Ok(()) => told.wait().await,
            Err(error) => Err(error),
        } {
            inner.take_back(addresses, &state.exposures).await;
            inner.keep(&state.exposures).later();
            inner.store.put(Slot::EXPOSED_TO, &state.to).later();
            let why = store::line(error);
            return Err(not_on_disk(format!("nothing was exposed: {why}")));
        }
        state.exposures = wanted;
        state.rules = rules;
        state.to = to;
        inner.tell(&state);
        drop(state);
        let mut warnings = Vec::new();
        if let Err(error) = inner.announce(addresses).await {
            warnings.push(format!("the addresses were not announced: {error:#}"));
        }
        if masquerade && !link::sysctl::forwards_ipv4() {
            warnings.push(
                "this host does not forward: containers reach no further than it; set net.ipv4.ip_forward=1"
                    .to_owned(),
            );
        }
        Ok(warnings)
    }

    /// Takes these addresses from the host; those that it had
    pub(crate) async fn hide(&self, addresses: &[IpNetwork]) -> Result<Vec<IpNetwork>, ApiError> {
        let inner = &*self.0;
        let mut state = inner.state.lock().await;
        let had = |address: &IpNetwork| state.exposures.contains_key(address);
        let gone: Vec<IpNetwork> = addresses.iter().copied().filter(had).collect();
        if gone.is_empty() {
            return Ok(gone);
        }
        let mut wanted = state.exposures.clone();
        wanted.retain(|address, _| !gone.contains(address));
        for address in &gone {
            let removed = inner.links.remove_address(&inner.device, *address).await;
            removed.map_err(|error| {
                let error = anyhow::Error::from(error).context(format!("cannot remove {address}"));
                ApiError::new(ErrorKind::Internal, format!("{error:#}"))
            })?;
        }
        if wanted.is_empty() {
            // The next address is not open to those to whom the last one was.
            state.to = ExposeTo::default();
            inner.store.put(Slot::EXPOSED_TO, &state.to).later();
        }
        let written = inner.keep(&wanted);
        state.exposures = wanted;
        inner.tell(&state);
        let rules = inner.make_rules(&state.exposures).await;
        if let Ok(rules) = &rules {
            state.rules.clone_from(rules);
        }
        drop(state);
        // What is gone is gone, whatever becomes of the rest: so each failure says what was done.
        written.wait().await.map_err(|error| {
            let why = store::line(error);
            not_on_disk(format!(
                "the host has {} no more, but after a restart it may have them again: {why}",
                list(&gone)
            ))
        })?;
        rules.map_err(|error| {
            let error = failed(error);
            let text = format!(
                "the host has {} no more, but the rules stay: {}",
                list(&gone),
                error.message
            );
            ApiError::new(error.kind, text)
        })?;
        Ok(gone)
    }

    /// Makes addresses and rules what they should be; whether they are
    async fn repair(&self) -> bool {
        let inner = &*self.0;
        let mut state = inner.state.lock().await;
        let mut whole = true;
        for address in state.exposures.keys() {
            match inner.links.add_address(&inner.device, *address).await {
                Ok(false) => {}
                Ok(true) => log::info!("the host's address {address} was gone, and is back"),
                Err(error) => {
                    log::error!(
                        "cannot give {} the address {address}: {:#}",
                        inner.device,
                        anyhow::Error::from(error)
                    );
                    whole = false;
                }
            }
        }
        match inner.mend_rules(&mut state).await {
            Ok(false) => {}
            Ok(true) => log::info!("the rules for {} were made", inner.device),
            Err(error) => {
                log::error!("{:#}", anyhow::Error::from(error));
                whole = false;
            }
        }
        whole
    }

    /// Repairs what others change, until `stop`
    pub(crate) async fn watch(self, stop: CancellationToken) {
        let watches = async {
            let links = self.0.links.watch().await.context("cannot watch addresses")?;
            let rules = RulesetWatch::of_table(self.0.device.as_str()).context("cannot watch nftables")?;
            anyhow::Ok((links, rules))
        };
        let (mut links, mut rules) = match watches.await {
            Ok(watches) => watches,
            Err(error) => {
                log::warn!("what others do to the host's addresses and rules goes unnoticed: {error:#}");
                return;
            }
        };
        let mut whole = true;
        loop {
            let retry = async {
                match whole {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(RETRY).await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = retry => {}
                changed = rules.changed() => if let Err(error) = changed {
                    log::warn!("changes of nftables go unnoticed: {error}");
                    return;
                },
                event = links.next() => match event {
                    Some(LinkEvent::AddressRemoved { .. } | LinkEvent::Overrun) => {}
                    Some(_other) => continue,
                    None => return,
                },
            }
            if self.0.state.lock().await.exposures.is_empty() {
                continue;
            }
            tokio::time::sleep(QUIET).await;
            rules.forget();
            whole = self.repair().await;
        }
    }
}

impl Inner {
    fn keep(&self, exposures: &BTreeMap<IpNetwork, Exposure>) -> Written {
        let all: Vec<Exposure> = exposures.values().copied().collect();
        self.store.put(Slot::EXPOSURES, &all)
    }

    /// Undoes what was begun: only these exposures stay
    async fn take_back(&self, addresses: &[IpNetwork], stay: &BTreeMap<IpNetwork, Exposure>) {
        for address in addresses.iter().filter(|address| !stay.contains_key(*address)) {
            if let Err(error) = self.links.remove_address(&self.device, *address).await {
                log::error!("{address} stays on {}: {error}", self.device);
            }
        }
        if let Err(error) = self.make_rules(stay).await {
            log::error!("{:#}", anyhow::Error::from(error));
        }
    }

    /// Tells others which addresses there are
    fn tell(&self, state: &State) {
        self.places.set_exposed(state.exposures.keys());
        self.published
            .store(Arc::new(state.exposures.keys().copied().collect()));
        let exposed = (!state.exposures.is_empty()).then(|| state.to.clone());
        self.exposed.send_if_modified(|was| {
            let differs = *was != exposed;
            *was = exposed;
            differs
        });
    }

    /// What the rules should say
    fn wanted(&self, exposures: &BTreeMap<IpNetwork, Exposure>) -> Wanted {
        let mut wanted = Wanted {
            inside: self.range.into_iter().collect(),
            ..Wanted::default()
        };
        for exposure in exposures.values() {
            if let IpNetwork::V4(address) = exposure.address {
                let network = rules::network(address);
                wanted.inside.insert(network);
                if exposure.masquerade {
                    wanted.masqueraded.insert(network);
                }
            }
        }
        wanted
    }

    /// Makes the rules, whatever they were; how `nft` lists them then
    async fn make_rules(
        &self,
        exposures: &BTreeMap<IpNetwork, Exposure>,
    ) -> Result<Option<String>, NftError> {
        let wanted = self.wanted(exposures);
        if wanted.masqueraded.is_empty() && !nft::is_there(&self.device).await {
            return Ok(None);
        }
        // Made until it is listed twice alike: somebody may have changed it between.
        let script = wanted.script(&self.device);
        let mut listed = None;
        for _ in 0..ATTEMPTS {
            nft::apply(&script).await?;
            let last = listed.replace(nft::table(&self.device).await?);
            if last == listed {
                break;
            }
        }
        Ok(listed.flatten())
    }

    /// Makes the rules if they are not as they were made; whether they had to be
    async fn mend_rules(&self, state: &mut State) -> Result<bool, NftError> {
        if self.wanted(&state.exposures).masqueraded.is_empty() {
            return Ok(false);
        }
        if state.rules.is_some() && nft::table(&self.device).await? == state.rules {
            return Ok(false);
        }
        state.rules = self.make_rules(&state.exposures).await?;
        Ok(true)
    }

    /// Tells neighbours where the addresses are, which another host may have had before
    async fn announce(&self, addresses: &[IpNetwork]) -> anyhow::Result<()> {
        let link = self
            .links
            .link(&self.device)
            .await?
            .context("the device is gone")?;
        let mac = link.mac.context("the device has no Ethernet address")?;
        Ok(link::announce(self.links.netns(), &self.device, mac, addresses).await?)
    }
}

/// Removes the rules, if there are any; for a host that leaves the network
pub(crate) async fn remove_rules(device: &IfName) -> anyhow::Result<()> {
    if nft::is_there(device).await {
        nft::apply(&rules::removal(device)).await?;
    }
    Ok(())
}

fn list(addresses: &[IpNetwork]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}

fn not_on_disk(text: String) -> ApiError {
    ApiError::new(ErrorKind::Internal, text)
}

fn failed(error: NftError) -> ApiError {
    let kind = match &error {
        NftError::Absent | NftError::Refused(_) => ErrorKind::NotReady,
        NftError::Run(_) | NftError::Slow => ErrorKind::Internal,
    };
    ApiError::new(kind, format!("{:#}", anyhow::Error::from(error)))
}
