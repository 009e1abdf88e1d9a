//! Records: ours, those of others, and their exchange with neighbours.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ipnetwork::IpNetwork;
use log::{debug, info, warn};
use model::{PeerName, ShortId, bump, later};

use super::Mesh;
use super::connections::REQUESTS;
use crate::bans::Ban;
use crate::config::Config;
use crate::connection::{Connection, Ended};
use crate::digest::{Difference, Digest, Stamp};
use crate::identity::{Binding, IdentityKey, Keys as _, Signature};
use crate::message::{Goodbye, Message};
use crate::neighbours::Neighbours;
use crate::output::{ConnId, Event};
use crate::pins::{Pinned, Pins};
use crate::records::{COUNTER_LIMIT, MAX_ADDRESSES, PeerRecord};
use crate::reject::Reject;
use crate::routes::{self, Topology};
use crate::table::Merged;
use crate::{short_ids, wire};

/// The most banned keys that one batch of orders writes to the log
const LOGGED: usize = 8;

/// What changes in our own record, beside our neighbours
#[derive(Debug)]
pub(super) struct Own {
    pub(super) short_id: ShortId,
    pub(super) epoch: u64,
    version: u64,
    /// Something that the record tells may have changed
    stale: bool,
    /// The newest claim on our name by somebody else, or by our own past
    claim: Option<Stamp>,
    /// Whose addresses are of no use to others: those of this host's containers
    internal: Vec<IpNetwork>,
    /// Claims on our short id
    pub(super) contest: short_ids::Contest,
}

impl Own {
    pub(super) fn new(short_id: ShortId, epoch: u64) -> Self {
        Self {
            short_id,
            epoch,
            version: 1,
            stale: false,
            claim: None,
            internal: Vec::new(),
            contest: short_ids::Contest::default(),
        }
    }

    /// What we say of ourselves, not yet signed
    pub(super) fn record(&self, config: &Config, neighbours: &Neighbours, pins: &Pins) -> PeerRecord {
        let links = neighbours
            .iter()
            .map(|(peer, neighbour)| (peer, neighbour.link()));
        PeerRecord {
            name: config.name,
            key: config.identity.key(),
            nickname: config.nickname.clone(),
            uid: config.uid,
            epoch: self.epoch,
            version: self.version,
            short_id: self.short_id,
            addresses: advertised(addresses(neighbours), &self.internal),
            connections: links.collect(),
            disputes: pins.disputes(),
            signature: Signature::default(),
        }
    }

    /// Goes beyond a record that an earlier run of ours signed
    pub(super) fn outbid(&mut self, claim: Stamp) {
        if (claim.epoch, claim.version) >= (self.epoch, self.version) {
            (self.epoch, self.version) = (claim.epoch, claim.version);
            self.advance();
        }
    }

    /// The next version
    fn advance(&mut self) {
        self.version = self.version.saturating_add(1);
        if self.version >= COUNTER_LIMIT {
            self.version = 1;
            self.epoch = self.epoch.saturating_add(1).min(COUNTER_LIMIT - 1);
        }
    }
}

impl Mesh {
    /// Our record may have to tell something else
    pub(super) fn own_changed(&mut self, now: Instant) {
        self.own.stale = true;
        self.schedule.routes_stale(&self.config.timers, now);
    }

    /// Tells no peer of addresses in these networks, which only this host's containers reach it by
    pub fn set_internal_networks(&mut self, networks: Vec<IpNetwork>, now: Instant) {
        if self.own.internal != networks {
            self.own.internal = networks;
            self.own_changed(now);
            self.settle(now);
        }
    }

    /// At the end of each call: our record tells what is
    pub(super) fn settle(&mut self, now: Instant) {
        if !std::mem::take(&mut self.own.stale) || self.stopped {
            return;
        }
        let mut record = self.own.record(&self.config, &self.neighbours, &self.pins);
        if self
            .table
            .get(record.name)
            .is_some_and(|known| known.says_the_same(&record))
        {
            return;
        }
        if self
            .table
            .get(record.name)
            .is_some_and(|known| known.stamp() >= record.stamp())
        {
            self.own.advance();
            (record.epoch, record.version) = (self.own.epoch, self.own.version);
        }
        record.sign(&self.config.identity);
        self.table.merge(record, None, now);
        self.flood
            .push(self.config.name, None, self.config.timers.flood, now);
        self.schedule.routes_stale(&self.config.timers, now);
    }

    pub(super) fn heard_digest(&mut self, conn: ConnId, digest: Digest, now: Instant) {
        if self.table.digest() != digest && self.may_have(conn, self.table.len(), now) {
            let stamps = self.table.stamps().into_iter().collect();
            self.tell(conn, &Message::Summary(stamps));
        }
    }

    pub(super) fn heard_summary(&mut self, conn: ConnId, theirs: BTreeMap<PeerName, Stamp>, now: Instant) {
        let Difference { give, want } = Difference::between(&self.table.stamps(), &theirs);
        self.send_wanted(conn, &give, now);
        if !want.is_empty() {
            self.tell(conn, &Message::Want(want));
        }
    }

    /// Sends those of the records that we have, unless the neighbor had too many of late: its next look at
    /// both tables finds what it lacks
    pub(super) fn send_wanted(&mut self, conn: ConnId, names: &[PeerName], now: Instant) {
        if self.may_have(conn, names.len(), now) {
            self.send_records(conn, names);
        }
    }

    fn may_have(&mut self, conn: ConnId, records: usize, now: Instant) -> bool {
        let bucket = self.requests.get_mut(&conn);
        let may = bucket.is_some_and(|bucket| bucket.take_many(records.max(1) as f64, REQUESTS, now));
        if !may {
            bump(&mut self.counters.requests_dropped);
        }
        may
    }

    /// Sends those of the records that we have
    fn send_records(&mut self, conn: ConnId, names: &[PeerName]) {
        for bytes in self.batches(names) {
            self.tell_encoded(conn, &bytes);
        }
        let known = names.iter().filter(|name| self.table.get(**name).is_some());
        self.counters.records_sent = self.counters.records_sent.saturating_add(known.count() as u64);
    }

    /// The records of these names as messages that fit the limit
    pub(super) fn batches(&self, names: &[PeerName]) -> Vec<Vec<u8>> {
        let mut batches: Vec<(usize, Vec<PeerRecord>)> = Vec::new();
        for record in names.iter().filter_map(|name| self.table.get(*name)) {
            let size = wire::record_bytes(record);
            let record = PeerRecord::clone(record);
            match batches.last_mut() {
                Some((bytes, batch)) if bytes.saturating_add(size) <= BATCH => {
                    *bytes = bytes.saturating_add(size);
                    batch.push(record);
                }
                Some(_) | None => batches.push((size, vec![record])),
            }
        }
        let messages = batches.into_iter().map(|(_, batch)| Message::Records(batch));
        messages.map(|message| wire::encode(&message)).collect()
    }

    pub(super) fn heard_records(
        &mut self,
        conn: ConnId,
        teller: PeerName,
        records: Vec<PeerRecord>,
        now: Instant,
    ) {
        for record in records {
            let (name, stamp) = (record.name, record.stamp());
            let known = self.table.get(name);
            if known.is_some_and(|known| known.stamp() >= stamp) {
                bump(&mut self.counters.records_known);
                if known.is_some_and(|known| known.stamp() == stamp) {
                    self.flood.has(name, teller);
                }
                continue;
            }
            if !record.is_signed() {
                // Whoever passes on a record has checked it.
                return self.close(conn, Goodbye::Duplicate, Ended::Unsigned, now);
            }
            if !self.may_speak(&record, now) {
                bump(&mut self.counters.records_refused);
                continue;
            }
            if name == self.config.name {
                self.consider_claim(stamp, now);
                continue;
            }
            let key = record.key;
            match self.table.merge(record, Some(teller), now) {
                // Pins last longer than records: they are of peers that the budget of records lets in.
                Merged::Newer if !self.pin(name, key, now) => {
                    self.table.remove(name);
                    bump(&mut self.counters.records_refused);
                }
                Merged::Newer => {
                    bump(&mut self.counters.records_merged);
                    self.flood.push(name, Some(teller), self.config.timers.flood, now);
                    self.schedule.routes_stale(&self.config.timers, now);
                }
                Merged::Known => {
                    bump(&mut self.counters.records_known);
                    if self.table.get(name).is_some_and(|known| known.stamp() == stamp) {
                        self.flood.has(name, teller);
                    }
                }
                Merged::Full => bump(&mut self.counters.records_dropped),
            }
        }
    }

    /// Returns true if the key of a record, which signed it, may speak for its name; reports a claim in vain
    fn may_speak(&mut self, record: &PeerRecord, now: Instant) -> bool {
        if self.bans.silences(&record.key) {
            return false;
        }
        match self.pins.binding(record.name, &record.key) {
            Binding::Bound | Binding::Unknown => true,
            Binding::Other => {
                self.pin(record.name, record.key, now);
                self.own_changed(now);
                false
            }
        }
    }

    /// Pins a name to its key, or reports the claim in vain; whether the key speaks for the name
    fn pin(&mut self, name: PeerName, key: IdentityKey, now: Instant) -> bool {
        let now_ms = self.now_ms(now);
        self.pins.pin(name, key, now_ms, now) == Pinned::Yes
    }

    /// A neighbour knows of orders about refused keys
    pub(super) fn heard_bans(&mut self, conn: ConnId, bans: &[Ban], now: Instant) {
        if !self.may_have(conn, bans.len(), now) {
            return;
        }
        let now_ms = self.now_ms(now);
        let neighbors = self.keys_of_neighbors();
        let stands = |by: &IdentityKey| neighbors.contains(by);
        let news = bans.iter().filter(|ban| self.bans.merge(**ban, now_ms, stands));
        let news: Vec<Ban> = news.copied().collect();
        self.banned(&news, Some(conn), now);
    }

    /// Returns the keys that neighbors proved
    pub(super) fn keys_of_neighbors(&self) -> BTreeSet<IdentityKey> {
        let greetings = self
            .neighbours
            .iter()
            .filter_map(|(_, neighbour)| neighbour.greeting.as_ref());
        greetings.map(|greeting| greeting.key).collect()
    }

    /// Carries out orders that are new here, and passes them on
    pub(super) fn banned(&mut self, news: &[Ban], teller: Option<ConnId>, now: Instant) {
        if news.is_empty() {
            return;
        }
        let others: Vec<ConnId> = self.neighbours.up().map(|(_, conn)| conn).collect();
        for conn in others.into_iter().filter(|conn| Some(*conn) != teller) {
            self.tell(conn, &Message::Bans(news.to_vec()));
        }
        let refused: BTreeMap<IdentityKey, PeerName> = news
            .iter()
            .filter(|ban| ban.refused)
            .map(|ban| (ban.key, ban.name))
            .collect();
        for name in refused.values().take(LOGGED) {
            warn!("the key of {name} is banned from the network");
        }
        if let Some(more) = refused.len().checked_sub(LOGGED).filter(|more| *more > 0) {
            warn!("{more} more keys are banned from the network: see `weavectl status`");
        }
        let is_refused = |key: &IdentityKey| refused.contains_key(key);
        let claimed = |connection: &Connection| connection.claimant.is_some_and(|key| is_refused(&key));
        let conns = self
            .connections
            .iter()
            .filter(|(_, connection)| claimed(connection));
        let conns: Vec<ConnId> = conns.map(|(conn, _)| *conn).collect();
        for conn in conns {
            self.close(conn, Goodbye::Refused(Reject::Banned), Ended::Banned, now);
        }
        // The name stays with the key: otherwise whoever bans its owner could claim it next.
        let names = self.table.iter().filter(|record| is_refused(&record.key));
        let names: Vec<PeerName> = names.map(|record| record.name).collect();
        for name in names {
            self.drop_peer(name, now);
        }
        let all = self.bans.iter().copied().collect();
        self.outputs.event(Event::BansChanged(all));
    }

    /// Tells neighbours of the changes that they do not know
    pub(super) fn flush_flood(&mut self, now: Instant) {
        let Some(changes) = self.flood.take_due(now) else {
            return;
        };
        let neighbours: Vec<(PeerName, ConnId)> = self.neighbours.up().collect();
        // Most neighbours are told the same: it is encoded once.
        let mut encoded: BTreeMap<Vec<PeerName>, Vec<Vec<u8>>> = BTreeMap::new();
        for (neighbour, conn) in neighbours {
            let records = changes.names().filter_map(|name| self.table.get(name));
            let concerning = records.filter(|record| changes.concerns(record, self.config.name, neighbour));
            let names: Vec<PeerName> = concerning.map(|record| record.name).collect();
            self.counters.records_sent = self.counters.records_sent.saturating_add(names.len() as u64);
            if !encoded.contains_key(&names) {
                encoded.insert(names.clone(), self.batches(&names));
            }
            for bytes in encoded.get(&names).into_iter().flatten() {
                self.tell_encoded(conn, bytes);
            }
        }
    }

    /// Asks every neighbour whether its table is ours
    pub(super) fn send_digests(&mut self) {
        let digest = self.table.digest();
        let neighbours: Vec<ConnId> = self.neighbours.up().map(|(_, conn)| conn).collect();
        for conn in neighbours {
            self.tell(conn, &Message::Digest(digest));
        }
    }

    /// Somebody has a record of our name with this stamp
    fn consider_claim(&mut self, claim: Stamp, now: Instant) {
        let ours = self.table.get(self.config.name).map(|record| record.stamp());
        if ours.is_none_or(|ours| claim <= ours) {
            return;
        }
        self.own.claim = self.own.claim.max(Some(claim));
        self.schedule.refute_soon(now);
    }

    /// Answers the newest claim on our name
    pub(super) fn refute(&mut self, now: Instant) {
        let Some(claim) = self.own.claim.take() else {
            return;
        };
        warn!(
            "a newer record of {} is known than this host's: its state is older than its last run",
            self.config.name
        );
        bump(&mut self.counters.refutations);
        self.own.outbid(claim);
        self.own_changed(now);
    }

    /// Computes reachability, the topology, and whom to dial
    pub(super) fn compute_routes(&mut self, now: Instant) {
        self.resolve_short_id(now);
        self.settle(now);
        let reachable = routes::reachable(self.config.name, &self.table);
        let all = self.table.iter().map(|record| (record.name, Arc::clone(record)));
        let peers: BTreeMap<PeerName, Arc<PeerRecord>> =
            all.filter(|(name, _)| reachable.contains(name)).collect();
        self.unreachable.retain(|name, _| !reachable.contains(name));
        for record in self
            .table
            .iter()
            .filter(|record| !reachable.contains(&record.name))
        {
            self.unreachable.entry(record.name).or_insert(now);
        }
        for name in self.table.take_evicted() {
            self.unreachable.remove(&name);
            if self.announced.remove(&name) {
                self.outputs.event(Event::PeerGone(name));
            }
        }
        if let Some(pins) = self.pins.take_changed() {
            self.outputs.event(Event::PinsChanged(pins));
        }
        self.table.sweep(now);
        if peers != self.topology.peers {
            self.announced.extend(peers.keys().copied());
            let topology = Topology::new(self.config.name, peers, Some(&self.topology));
            self.topology = Arc::new(topology);
            self.outputs
                .event(Event::TopologyChanged(Arc::clone(&self.topology)));
        }
        if self.config.discovery {
            let own = addresses(&self.neighbours);
            let peers = self.topology.peers.values().map(Arc::as_ref);
            let is_up = |peer| self.neighbours.is_up(peer);
            self.targets.discover(&own, peers, is_up, now);
        }
    }

    /// Forgets whom nobody has named for long enough
    pub(super) fn collect(&mut self, now: Instant) {
        let delay = self.config.timers.collect;
        let due = self
            .unreachable
            .iter()
            .filter(|(_, since)| later(**since, delay) <= now);
        let gone: Vec<PeerName> = due.map(|(name, _)| *name).collect();
        for name in gone {
            debug!("peer {name} is gone");
            self.unreachable.remove(&name);
            self.table.remove(name);
            if self.announced.remove(&name) {
                self.outputs.event(Event::PeerGone(name));
            }
        }
    }

    /// Takes another short id if a lower name has ours for long enough
    fn resolve_short_id(&mut self, now: Instant) {
        let (name, id) = (self.config.name, self.own.short_id);
        let is_claimed = short_ids::is_claimed(name, id, &self.table);
        let knows_others = self.table.len() > 1;
        if !self.own.contest.is_lost(is_claimed, knows_others, now) {
            return;
        }
        // Also where no id is left: the next look is at the next change.
        self.own.contest.changed();
        if let Some(other) = short_ids::draw_free(&self.table, &mut self.rng) {
            info!("short id {id} belongs to another peer; ours is {other}");
            self.own.short_id = other;
            self.outputs.event(Event::ShortIdChanged(other));
            self.own_changed(now);
        }
    }
}

/// Where we may be dialled, by what the ends of our connections saw
fn addresses(neighbours: &Neighbours) -> Vec<SocketAddr> {
    let seen = neighbours
        .iter()
        .filter_map(|(_, neighbour)| neighbour.greeting.as_ref());
    let mut addresses: Vec<SocketAddr> = seen
        .flat_map(|greeting| greeting.our_addresses)
        .map(|address| SocketAddr::new(address.ip().to_canonical(), address.port()))
        .filter(|address| !address.ip().is_unspecified() && address.port() != 0)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Of these addresses, those that peers are told
fn advertised(mut addresses: Vec<SocketAddr>, internal: &[IpNetwork]) -> Vec<SocketAddr> {
    addresses.retain(|address| !internal.iter().any(|network| network.contains(address.ip())));
    addresses.truncate(MAX_ADDRESSES);
    addresses
}

/// How many bytes of records go into one message
const BATCH: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_internal_networks_are_not_advertised() {
        let ours =
            |texts: &[&str]| -> Vec<SocketAddr> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let networks =
            |texts: &[&str]| -> Vec<IpNetwork> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let all = ours(&[
            "10.32.0.1:6783",
            "172.17.0.1:6783",
            "192.168.77.1:6783",
            "[fd00::1]:6783",
            "[2001:db8::1]:6783",
        ]);
        assert_eq!(advertised(all.clone(), &[]), all);
        let internal = networks(&["10.32.0.0/12", "172.17.0.1/32", "fd00::/64"]);
        assert_eq!(
            advertised(all, &internal),
            ours(&["192.168.77.1:6783", "[2001:db8::1]:6783"])
        );
        // Those that are kept back take no room from others.
        let many: Vec<SocketAddr> = (0..=255_u8)
            .map(|last| SocketAddr::from(([10, 32, 0, last], 6783)))
            .chain(ours(&["192.168.77.1:6783"]))
            .collect();
        assert_eq!(advertised(many, &internal), ours(&["192.168.77.1:6783"]));
    }
}
