//! Shares of something that there is a fixed number of, for the clients that use it.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// How long a client counts as one that asks after it asked
const RECENTLY: Duration = Duration::from_secs(5);

/// Who uses how much
#[derive(Debug)]
struct Table {
    /// How much there is
    room: usize,
    /// The most of one client while others ask
    share: usize,
    /// What becomes of a client that has more than all others and wants another one
    own: Own,
    held: usize,
    next: u64,
    /// What each client uses, the one that was used least recently first
    clients: BTreeMap<IpAddr, VecDeque<(u64, CancellationToken)>>,
    /// The client that asked last, and when one asked that is not it
    last: Option<(IpAddr, Instant)>,
    other_at: Option<Instant>,
}

/// What becomes of a client that uses the most and wants more than there is
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// It is refused
    Refuse,
    /// What it used least recently ends
    EndOldest,
}

impl Table {
    fn take(&mut self, client: IpAddr, now: Instant) -> Option<(u64, CancellationToken)> {
        if self.last.is_some_and(|(last, _)| last != client) {
            self.other_at = self.last.map(|(_, at)| at);
        }
        self.last = Some((client, now));
        let is_recent = |at: Instant| now.saturating_duration_since(at) < RECENTLY;
        let others_hold = self.clients.keys().any(|holder| *holder != client);
        let most = if others_hold || self.other_at.is_some_and(is_recent) {
            self.share
        } else {
            self.room
        };
        let mine = self.clients.get(&client).map_or(0, VecDeque::len);
        if mine >= most || self.held >= self.room {
            let counts = self.clients.iter().map(|(holder, held)| (held.len(), *holder));
            let greediest = counts.filter(|(_, holder)| *holder != client).max();
            match greediest {
                Some((count, holder)) if mine < most && count > mine + 1 => self.end_oldest(holder),
                _ if self.own == Own::EndOldest && mine > 0 => self.end_oldest(client),
                Some(_) | None => return None,
            }
        }
        let (id, end) = (self.next, CancellationToken::new());
        self.next = self.next.wrapping_add(1);
        self.held += 1;
        let held = self.clients.entry(client).or_default();
        held.push_back((id, end.clone()));
        Some((id, end))
    }

    fn end_oldest(&mut self, client: IpAddr) {
        let oldest = self.clients.get(&client).and_then(VecDeque::front);
        if let Some((id, end)) = oldest {
            end.cancel();
            let id = *id;
            self.give_back(client, id);
        }
    }

    fn used(&mut self, client: IpAddr, id: u64) {
        if let Some(held) = self.clients.get_mut(&client)
            && let Some(at) = held.iter().position(|(held, _)| *held == id)
            && let Some(used) = held.remove(at)
        {
            held.push_back(used);
        }
    }

    fn give_back(&mut self, client: IpAddr, id: u64) {
        if let Some(held) = self.clients.get_mut(&client)
            && let Some(at) = held.iter().position(|(held, _)| *held == id)
        {
            held.remove(at);
            if held.is_empty() {
                self.clients.remove(&client);
            }
            self.held = self.held.saturating_sub(1);
        }
    }
}

/// The table, shared by those who take of it
#[derive(Debug, Clone)]
pub(super) struct Shares(Arc<Mutex<Table>>);

/// Something that a client uses, until it is dropped or taken away
#[derive(Debug)]
pub(super) struct Share {
    table: Arc<Mutex<Table>>,
    client: IpAddr,
    id: u64,
    end: CancellationToken,
}

impl Shares {
    /// So many, of which a client has a quarter while others ask
    pub(super) fn new(room: usize, own: Own) -> Self {
        Self(Arc::new(Mutex::new(Table {
            room,
            share: (room / 4).max(1),
            own,
            held: 0,
            next: 0,
            clients: BTreeMap::new(),
            last: None,
            other_at: None,
        })))
    }

    /// One for this client; the one that has the most may lose one for it
    pub(super) fn take(&self, client: IpAddr, now: Instant) -> Option<Share> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, end) = table.take(client, now)?;
        Some(Share {
            table: Arc::clone(&self.0),
            client,
            id,
            end,
        })
    }
}

impl Share {
    /// Completes when it is taken away
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }

    /// It was used: of its client's, it is the last to be taken away
    pub(super) fn used(&self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.used(self.client, self.id);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.give_back(self.client, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [10, 32, 0, last].into()
    }

    fn is_ended(share: &Share) -> bool {
        share.end.is_cancelled()
    }

    #[test]
    fn one_that_is_alone_has_all_and_others_find_room_all_the_same() {
        let (shares, now) = (Shares::new(8, Own::Refuse), Instant::now());
        let mut greedy: Vec<Share> = (0..8).map(|_| shares.take(client(1), now).unwrap()).collect();
        assert!(shares.take(client(1), now).is_none());
        let other = shares.take(client(2), now).unwrap();
        assert!(is_ended(&greedy[0]) && !is_ended(&greedy[1]));
        // While another asks, a quarter is the most.
        drop(greedy.split_off(3));
        assert!(shares.take(client(1), now).is_none());
        greedy.truncate(1);
        drop(greedy);
        let two: Vec<_> = (0..2).map(|_| shares.take(client(1), now).unwrap()).collect();
        assert!(shares.take(client(1), now).is_none());
        drop((other, two));
        assert!(shares.take(client(1), now).is_some());
    }

    #[test]
    fn a_client_that_asked_of_late_keeps_others_to_their_share() {
        let (shares, now) = (Shares::new(8, Own::Refuse), Instant::now());
        drop(shares.take(client(2), now));
        let held: Vec<_> = (0..8).filter_map(|_| shares.take(client(1), now)).collect();
        assert_eq!(held.len(), 2);
        let more: Vec<_> = (0..8)
            .filter_map(|_| shares.take(client(1), now + RECENTLY))
            .collect();
        assert_eq!(more.len(), 6);
    }

    #[test]
    fn those_who_have_no_more_than_the_asker_lose_nothing() {
        let (shares, now) = (Shares::new(4, Own::Refuse), Instant::now());
        let held: Vec<_> = (0..4).map(|n| shares.take(client(n), now).unwrap()).collect();
        assert!(shares.take(client(9), now).is_none());
        assert!(!held.iter().any(is_ended));
    }

    #[test]
    fn what_was_used_last_is_taken_away_last() {
        let (shares, now) = (Shares::new(4, Own::EndOldest), Instant::now());
        let held: Vec<_> = (0..4).map(|_| shares.take(client(1), now).unwrap()).collect();
        held[0].used();
        let _other = shares.take(client(2), now).unwrap();
        let ended: Vec<bool> = held.iter().map(is_ended).collect();
        assert_eq!(ended, [false, true, false, false]);
        // It wants more itself.
        let _more = shares.take(client(1), now).unwrap();
        let ended: Vec<bool> = held.iter().map(is_ended).collect();
        assert_eq!(ended, [false, true, true, false]);
    }
}
