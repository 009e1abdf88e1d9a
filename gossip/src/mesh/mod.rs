//! The machine that the daemon drives: it composes the others and decides nothing of its own.
//!
//! | file | part |
//! |---|---|
//! | `mod` | inputs, outputs, views |
//! | `connections` | bytes, handshakes, who is welcome, who is lost |
//! | `gossip` | records: ours, those of others, their exchange with neighbours |
//! | `timers` | what happens when, and the rule for a process that did not run |

mod connections;
#[cfg(fuzzing)]
mod fuzz;
mod gossip;
mod greeting;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use model::{PeerName, ShortId, Target, bump, later};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::bans::{Ban, Bans};
use crate::budget::Bucket;
use crate::config::{Config, Departure, Held};
use crate::connection::{Connection, Ended, Secrets};
use crate::counters::Counters;
use crate::doorkeeper::{Admission, Doorkeeper};
use crate::flood::Flood;
use crate::identity::{Binding, IdentityKey, Keys, StaticKeypair};
use crate::message::{Goodbye, Message};
use crate::neighbours::{Change, Neighbours};
use crate::output::{
    BanError, Channel, ConnId, DialId, Disconnect, DownReason, Event, Output, Refusal, SendError,
};
use crate::outputs::Outputs;
use crate::passwords::Passwords;
use crate::pins::{Pin, Pins};
use crate::records::COUNTER_LIMIT;
use crate::routes::Topology;
use crate::short_ids;
use crate::status::ConnectionStatus;
use crate::table::Table;
use crate::targets::Targets;
use crate::wire::{self, MAX_CHANNEL_BYTES, MAX_VERSION_TEXT};

use gossip::Own;
use timers::Schedule;

/// The mesh as one peer sees it
///
/// After every call that takes `&mut self`: [`Mesh::poll_output`] until there is none, then
/// [`Mesh::poll_timeout`], and [`Mesh::handle_timeout`] when that time has come. In that order:
///
/// 1. [`Mesh::new`], then [`Mesh::set_targets`] with what was kept.
/// 2. [`Output::Dial`] is answered by [`Mesh::dialled`], a connection that the kernel accepts is offered
///    to [`Mesh::accepted`]; each gives the [`ConnId`] of that connection from there on.
/// 3. Bytes go in by [`Mesh::handle_input`] and out by [`Output::Send`]. A connection ends by
///    [`Output::Close`], or by [`Mesh::disconnected`] when the driver sees its end first.
/// 4. [`Event::NeighbourUp`]: probe paths, and say [`Mesh::path_established`] at every change.
///    [`Event::NeighbourHeld`]: freeze them, say nothing. [`Event::NeighbourDown`]: forget them.
/// 5. [`Mesh::shut_down`], the last outputs, and the end.
///
/// A connection whose bytes pile up unsent is best closed by the driver, and reported as
/// [`Disconnect::TimedOut`]: the mesh itself keeps no more than what one call came to.
pub struct Mesh {
    config: Config,
    secrets: Secrets,
    rng: StdRng,
    /// The time of day at `started`
    unix_ms: u64,
    started: Instant,
    own: Own,
    connections: BTreeMap<ConnId, Connection>,
    next_conn: u64,
    doorkeeper: Doorkeeper,
    /// Dials of each address that were refused for their password: the next one takes another
    password_turns: BTreeMap<SocketAddr, usize>,
    pins: Pins,
    bans: Bans,
    /// What each neighbor asked for lately
    requests: BTreeMap<ConnId, Bucket>,
    neighbours: Neighbours,
    table: Table,
    flood: Flood,
    targets: Targets,
    topology: Arc<Topology>,
    /// Peers of which the daemon has heard and not yet that they are gone
    announced: BTreeSet<PeerName>,
    /// Since when nobody that we reach names these
    unreachable: BTreeMap<PeerName, Instant>,
    schedule: Schedule,
    outputs: Outputs,
    counters: Counters,
    stopped: bool,
}

/// The keys that speak for names: none that is banned, but our own, which others may have banned
struct Speakers<'a> {
    pins: &'a Pins,
    bans: &'a Bans,
}

impl Keys for Speakers<'_> {
    fn binding(&self, name: PeerName, key: &IdentityKey) -> Binding {
        if self.bans.silences(key) {
            Binding::Other
        } else {
            self.pins.binding(name, key)
        }
    }
}

impl Mesh {
    /// A mesh of one peer, which dials those that it held before
    pub fn new(mut config: Config, mut rng: StdRng, now: Instant) -> Self {
        let most = config.version.len().min(MAX_VERSION_TEXT);
        let end = (0..=most).rev().find(|end| config.version.is_char_boundary(*end));
        config.version.truncate(end.unwrap_or(0));
        let mut outputs = Outputs::default();
        let short_id = config.short_id.unwrap_or_else(|| {
            let drawn = short_ids::draw(&mut rng);
            outputs.event(Event::ShortIdChanged(drawn));
            drawn
        });
        let neighbours = Neighbours::held(&config.held, &config.timers, now);
        let mut targets = Targets::new(
            config.name,
            config.control_port,
            config.timers,
            StdRng::from_rng(&mut rng),
        );
        for Held { peer, address } in &config.held {
            let until = later(now, config.timers.restart_grace);
            targets.add_held(*peer, *address, until, now);
        }
        let own = Own::new(short_id, config.epoch.min(COUNTER_LIMIT - 1));
        let secrets = Secrets {
            keys: StaticKeypair::generate(config.entropy.rng()),
            passwords: config.passwords.clone(),
            network: config.network,
        };
        let mut pins = Pins::new(std::mem::take(&mut config.pins));
        pins.pin(config.name, config.identity.key(), config.unix_ms, now);
        let bans = Bans::new(config.identity.key(), std::mem::take(&mut config.bans));
        let mut table = Table::default();
        let mut record = own.record(&config, &neighbours, &pins);
        record.sign(&config.identity);
        table.merge(record.clone(), None, now);
        let peers = BTreeMap::from([(config.name, Arc::new(record))]);
        let topology = Arc::new(Topology::new(config.name, peers, None));
        outputs.event(Event::TopologyChanged(Arc::clone(&topology)));
        let schedule = Schedule::new(&config.timers, &mut rng, now);
        Self {
            announced: BTreeSet::from([config.name]),
            unix_ms: config.unix_ms,
            started: now,
            config,
            secrets,
            rng,
            own,
            connections: BTreeMap::new(),
            next_conn: 0,
            doorkeeper: Doorkeeper::default(),
            password_turns: BTreeMap::new(),
            pins,
            bans,
            requests: BTreeMap::new(),
            neighbours,
            table,
            flood: Flood::default(),
            targets,
            topology,
            unreachable: BTreeMap::new(),
            schedule,
            outputs,
            counters: Counters::default(),
            stopped: false,
        }
    }

    /// The operator's targets: in place of those before, or beside them; each is dialled at once
    pub fn set_targets(&mut self, targets: Vec<Target>, replace: bool, now: Instant) {
        let before = self.targets.user();
        self.targets.set(targets, replace, now);
        self.tell_targets(&before);
        self.settle(now);
    }

    /// Targets that the operator takes back; the connections that they led to stay
    pub fn forget(&mut self, targets: &[Target], now: Instant) {
        let before = self.targets.user();
        self.targets.forget(targets);
        self.tell_targets(&before);
        self.settle(now);
    }

    /// How an [`Output::Dial`] came to its end: with both ends of the connection, or an error for the
    /// operator; without an id in return the connection is not wanted any more, and is to be closed
    pub fn dialled(
        &mut self,
        dial: DialId,
        result: Result<(SocketAddr, SocketAddr), String>,
        now: Instant,
    ) -> Option<ConnId> {
        let conn = ConnId(self.next_conn);
        let outcome = result.as_ref().map(|_ends| conn).map_err(Clone::clone);
        let wanted = self.targets.dialled(dial, outcome, now);
        let conn = match result {
            Ok(ends) if wanted && !self.stopped => Some(self.connect(true, ends, false, now)),
            Ok(_) | Err(_) => {
                self.answer_guests(now);
                None
            }
        };
        self.settle(now);
        conn
    }

    /// A connection that the kernel accepted, by its ends; refused, it is to be closed
    pub fn accepted(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: Instant,
    ) -> Result<ConnId, Refusal> {
        if self.stopped {
            return Err(Refusal::ShutDown);
        }
        let asks = match self.doorkeeper.admit(remote.ip(), now) {
            Admission::Take => false,
            Admission::Puzzle => true,
            Admission::InPlaceOf(oldest) => {
                self.outputs.push(Output::Close { conn: oldest });
                self.drop_connection(oldest, Ended::Crowded, now);
                true
            }
            Admission::Crowded => {
                bump(&mut self.counters.not_accepted);
                return Err(Refusal::Handshakes(self.doorkeeper.pending()));
            }
            Admission::Guessing => {
                bump(&mut self.counters.guesses_refused);
                return Err(Refusal::Guessing);
            }
        };
        let conn = self.connect(false, (local, remote), asks, now);
        self.doorkeeper.enter(conn, remote.ip());
        self.settle(now);
        Ok(conn)
    }

    /// Bytes that a connection received; those of one that is closed are ignored
    pub fn handle_input(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.feed(bytes, &self.config.timers, now);
            self.read(conn, now);
        }
        self.settle(now);
    }

    /// A connection's end, other than by [`Output::Close`]
    pub fn disconnected(&mut self, conn: ConnId, how: Disconnect, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            let ended = connection.disconnected(how);
            self.drop_connection(conn, ended, now);
        }
        self.settle(now);
    }

    /// Whether there is a data path to a neighbour; routes lead only over neighbours with one
    ///
    /// A neighbour that comes back ([`Event::NeighbourUp`] with `resumed`) keeps what was said last.
    /// After a restart of this process it counts as having a path for a grace period: what is true
    /// has to be said by then.
    pub fn path_established(&mut self, peer: PeerName, established: bool, now: Instant) {
        self.change_neighbour(peer, Change::Path(established), now);
        self.settle(now);
    }

    /// A message to a neighbour; in order, and not lost while that neighbour stays up
    pub fn send(
        &mut self,
        peer: PeerName,
        channel: Channel,
        bytes: Vec<u8>,
        now: Instant,
    ) -> Result<(), SendError> {
        if bytes.len() > MAX_CHANNEL_BYTES {
            return Err(SendError::TooLong(bytes.len()));
        }
        let neighbour = self.neighbours.get(peer);
        let Some(conn) = neighbour.and_then(|neighbour| neighbour.state.conn()) else {
            bump(&mut self.counters.messages_dropped);
            return Err(SendError::NotConnected(peer));
        };
        self.tell(conn, &Message::Channel(channel, bytes));
        self.settle(now);
        Ok(())
    }

    /// Interfaces, addresses or routes of this host changed: targets are dialled at once
    pub fn network_changed(&mut self, now: Instant) {
        self.targets.hurry(now);
        self.settle(now);
    }

    /// The keys of the password are these from here on; connections that are up stay up
    pub fn set_passwords(&mut self, passwords: Passwords, now: Instant) {
        self.secrets.passwords = passwords;
        self.password_turns.clear();
        self.targets.hurry(now);
        self.settle(now);
    }

    /// Refuses a key from here on, or accepts it again, here and on every peer
    ///
    /// # Errors
    ///
    /// If it is our own key, or no more bans can be given here; nothing was changed.
    pub fn ban(
        &mut self,
        key: IdentityKey,
        name: PeerName,
        refused: bool,
        now: Instant,
    ) -> Result<(), BanError> {
        if key == self.config.identity.key() {
            return Err(BanError::Ourselves);
        }
        let now_ms = self.now_ms(now);
        // Later than what it replaces, whatever the clocks of others say.
        let after = self.bans.at_ms(&key).map_or(0, |at_ms| at_ms.saturating_add(1));
        let ban = Ban::new(&self.config.identity, key, name, refused, now_ms.max(after));
        if !self.bans.merge(ban, now_ms.max(after), |_by| false) {
            return Err(BanError::TooMany);
        }
        self.banned(&[ban], None, now);
        self.settle(now);
        Ok(())
    }

    /// Ends the connection with a neighbor that sent a malformed message to a protocol above this one
    pub fn refuse_message(&mut self, peer: PeerName, now: Instant) {
        let neighbour = self.neighbours.get(peer);
        if let Some(conn) = neighbour.and_then(|neighbour| neighbour.state.conn()) {
            self.close(conn, Goodbye::Duplicate, Ended::Malformed, now);
            self.settle(now);
        }
    }

    /// Forgets a peer that is not connected, its addresses, and the key that its name was pinned to; whether
    /// anything was known of it
    ///
    /// A peer that others are connected to comes back with what they say of it.
    pub fn remove_peer(&mut self, peer: PeerName, now: Instant) -> bool {
        if !self.can_drop(peer) {
            return false;
        }
        let pinned = self.pins.forget(peer);
        self.drop_peer(peer, now) || pinned
    }

    /// Forgets a peer that is not connected and its addresses, but not to which key its name is pinned; whether
    /// anything was known of it
    fn drop_peer(&mut self, peer: PeerName, now: Instant) -> bool {
        if !self.can_drop(peer) {
            return false;
        }
        self.targets.left(peer);
        let held = self.neighbours.remove(peer).is_some();
        if held {
            let reason = DownReason::Removed;
            self.outputs.event(Event::NeighbourDown { peer, reason });
            self.own_changed(now);
        }
        let known = self.table.remove(peer).is_some();
        self.unreachable.remove(&peer);
        if self.announced.remove(&peer) {
            self.outputs.event(Event::PeerGone(peer));
        }
        self.schedule.routes_stale(&self.config.timers, now);
        self.settle(now);
        held || known
    }

    fn can_drop(&self, peer: PeerName) -> bool {
        peer != self.config.name && !self.neighbours.is_up(peer)
    }

    /// Says goodbye to everybody and closes every connection; nothing happens after that
    pub fn shut_down(&mut self, departure: Departure, _now: Instant) {
        let goodbye = match departure {
            Departure::Restart => Goodbye::Restart,
            Departure::Leave => Goodbye::Leave,
        };
        for (conn, mut connection) in std::mem::take(&mut self.connections) {
            connection.close(goodbye);
            self.outputs.send(conn, connection.take_output());
            self.outputs.push(Output::Close { conn });
        }
        self.stopped = true;
    }

    /// Does what is due; see [`Mesh::poll_timeout`]
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.stopped {
            self.run_timers(now);
            self.settle(now);
        }
    }

    /// What the driver has to do next
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When [`Mesh::handle_timeout`] is to be called, and what for
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        if self.stopped { None } else { self.next_timer() }
    }

    /// Who we are
    pub const fn name(&self) -> PeerName {
        self.config.name
    }

    /// Our short id
    pub const fn short_id(&self) -> ShortId {
        self.own.short_id
    }

    /// Our epoch, which is later than that of the configuration if somebody knew a later one: the next
    /// start's must be greater than this
    pub const fn epoch(&self) -> u64 {
        self.own.epoch
    }

    /// The newest topology, as in the last [`Event::TopologyChanged`]
    pub fn topology(&self) -> &Arc<Topology> {
        &self.topology
    }

    /// Which key speaks for which name
    pub fn keys(&self) -> impl Keys {
        Speakers {
            pins: &self.pins,
            bans: &self.bans,
        }
    }

    /// Each name that was seen, its key, and when it was seen first
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        self.pins.iter()
    }

    /// The latest order about each key
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.iter()
    }

    /// The operator's targets
    pub fn targets(&self) -> Vec<Target> {
        self.targets.user()
    }

    /// What happened so far
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Every neighbour, then every target that does not lead to one
    pub fn connections(&self, now: Instant) -> Vec<ConnectionStatus> {
        let neighbours = self.neighbours.iter();
        let neighbours =
            neighbours.map(|(peer, neighbour)| ConnectionStatus::of_neighbour(peer, neighbour, now));
        let targets = self.targets.iter().filter_map(|(target, entry)| {
            let has_line = entry.peer.is_some_and(|peer| self.neighbours.get(peer).is_some());
            if has_line {
                None
            } else {
                ConnectionStatus::of_target(target, entry, now)
            }
        });
        neighbours.chain(targets).collect()
    }

    /// Returns the neighbors with a data path, to be held through a restart: the next start's [`Config::held`]
    pub fn neighbors_to_hold(&self) -> Vec<Held> {
        let established = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| neighbour.state.established());
        let held = established.map(|(peer, neighbour)| Held {
            peer,
            address: neighbour.dial,
        });
        held.collect()
    }

    /// The neighbours of before our restart, or of before their own, that are not back yet
    pub fn held(&self) -> Vec<PeerName> {
        let held = self
            .neighbours
            .iter()
            .filter(|(_, neighbour)| neighbour.state.conn().is_none());
        held.map(|(peer, _)| peer).collect()
    }

    /// The time of day, not minding that somebody sets the clock
    fn now_ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.started).as_millis();
        self.unix_ms
            .saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn tell_targets(&mut self, before: &[Target]) {
        let after = self.targets.user();
        if after != before {
            self.outputs.event(Event::TargetsChanged(after));
        }
    }

    /// Sends a message on a connection
    fn tell(&mut self, conn: ConnId, message: &Message) {
        self.tell_encoded(conn, &wire::encode(message));
    }

    /// Sends a message to a neighbor, if it is connected
    #[cfg(feature = "hostile")]
    pub(crate) fn tell_neighbor(&mut self, peer: PeerName, message: &Message) {
        let neighbour = self.neighbours.get(peer);
        if let Some(conn) = neighbour.and_then(|neighbour| neighbour.state.conn()) {
            self.tell(conn, message);
        }
    }

    fn tell_encoded(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.send(bytes);
            self.outputs.send(conn, connection.take_output());
        }
    }

    /// Closes a connection with a word of farewell
    fn close(&mut self, conn: ConnId, goodbye: Goodbye, ended: Ended, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.close(goodbye);
            self.outputs.send(conn, connection.take_output());
            self.outputs.push(Output::Close { conn });
            self.drop_connection(conn, ended, now);
        }
    }
}

#[cfg(test)]
mod tests;
