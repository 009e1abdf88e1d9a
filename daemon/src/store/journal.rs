//! Changes that are to be on disk, and how far that is so. Pure: no file, no clock, no thread.
//!
//! ```text
//!   put ──► image, key dirty ──► take: all dirty keys, one transaction ──► written: durable up to here
//!                     ▲                              │
//!                     └──── dirty again ◄── failed ──┘
//! ```
//!
//! A newer value of a key takes the place of one that waits, so what waits is never more than the state itself.
//! Numbers grow with each change; whatever is durable is durable with everything before it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::error::StoreError;
use super::image::{Bytes, Image, Key};

/// A change that is not on disk for so long is worth a word
pub(super) const SLOW: Duration = Duration::from_secs(1);

/// How far the disk is
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Everything up to this number is on disk
    pub(crate) durable: u64,
    /// What is up to this number and not on disk was refused by the disk
    pub(crate) refused: u64,
}

/// What is written in one transaction
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) changes: Vec<(Key, Option<Bytes>)>,
    up_to: u64,
    since: Instant,
}

/// State of the store, for people and programs
#[derive(Debug, Clone)]
pub(crate) enum Health {
    /// Everything is on disk, or will be in a moment
    Ok,
    /// The oldest change waits for so long
    Slow(Duration),
    /// The disk refuses, since so long
    Failed(Duration, StoreError),
}

/// The state in memory, and what of it is not on disk
#[derive(Debug)]
pub(super) struct Journal {
    image: Image,
    dirty: BTreeSet<Key>,
    /// Since when the oldest dirty key waits
    dirty_since: Option<Instant>,
    /// Since when the oldest change of the batch under way waits
    under_way: Option<Instant>,
    latest: u64,
    progress: Progress,
    failure: Option<(Instant, StoreError)>,
}

impl Journal {
    /// The journal of a state that is on disk like this
    pub(super) const fn new(image: Image) -> Self {
        Self {
            image,
            dirty: BTreeSet::new(),
            dirty_since: None,
            under_way: None,
            latest: 0,
            progress: Progress {
                durable: 0,
                refused: 0,
            },
            failure: None,
        }
    }

    /// All values, as they will be on disk
    pub(super) const fn image(&self) -> &Image {
        &self.image
    }

    /// Changes values, all of them or none; the number under which that is durable
    pub(super) fn put(
        &mut self,
        changes: impl IntoIterator<Item = (Key, Option<Bytes>)>,
        now: Instant,
    ) -> u64 {
        self.latest = self.latest.saturating_add(1);
        for (key, value) in changes {
            if self.image.get(&key) == value.as_ref() {
                continue;
            }
            match value {
                Some(value) => drop(self.image.insert(key.clone(), value)),
                None => drop(self.image.remove(&key)),
            }
            self.dirty.insert(key);
            self.dirty_since.get_or_insert(now);
        }
        if self.dirty.is_empty() && self.under_way.is_none() {
            self.progress.durable = self.latest;
        }
        self.latest
    }

    /// Whether something waits to be written
    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Number of the latest change
    pub(super) const fn latest(&self) -> u64 {
        self.latest
    }

    /// Takes all that waits
    pub(super) fn take(&mut self, now: Instant) -> Batch {
        let since = self.dirty_since.take().unwrap_or(now);
        self.under_way = Some(since);
        let dirty = std::mem::take(&mut self.dirty);
        let value = |key: Key| {
            let value = self.image.get(&key).cloned();
            (key, value)
        };
        Batch {
            changes: dirty.into_iter().map(value).collect(),
            up_to: self.latest,
            since,
        }
    }

    /// The batch is on disk; since when that had failed, if it had
    pub(super) fn written(&mut self, batch: &Batch) -> Option<Instant> {
        self.under_way = None;
        self.progress.durable = self.progress.durable.max(batch.up_to);
        if self.dirty.is_empty() {
            self.progress.durable = self.latest;
        }
        self.failure.take().map(|(since, _error)| since)
    }

    /// The batch, or the opening of the file before it, failed; whether that is news
    pub(super) fn failed(&mut self, batch: Option<Batch>, error: StoreError, now: Instant) -> bool {
        self.under_way = None;
        let up_to = match batch {
            Some(batch) => {
                self.dirty_since = Some(batch.since);
                self.dirty
                    .extend(batch.changes.into_iter().map(|(key, _value)| key));
                batch.up_to
            }
            None => self.latest,
        };
        self.progress.refused = self.progress.refused.max(up_to);
        let (since, last) = match self.failure.take() {
            Some((since, last)) => (since, Some(last)),
            None => (now, None),
        };
        let is_news = last.is_none_or(|last| last.reason() != error.reason());
        self.failure = Some((since, error));
        is_news
    }

    /// The file was opened anew and has this: whatever differs is to be written
    pub(super) fn reconcile(&mut self, found: &Image, now: Instant) {
        let keys = self.image.keys().chain(found.keys());
        let differ = keys.filter(|key| self.image.get(*key) != found.get(*key));
        self.dirty.extend(differ.cloned());
        if !self.dirty.is_empty() {
            self.dirty_since.get_or_insert(now);
        }
    }

    /// How far the disk is
    pub(super) const fn progress(&self) -> Progress {
        self.progress
    }

    /// Why the disk refuses, if it does
    pub(super) fn failure(&self) -> Option<&StoreError> {
        self.failure.as_ref().map(|(_since, error)| error)
    }

    /// Age of the oldest change that is not on disk
    pub(super) fn waits(&self, now: Instant) -> Duration {
        let since = [self.under_way, self.dirty_since].into_iter().flatten().min();
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// State of the store
    pub(super) fn health(&self, now: Instant) -> Health {
        if let Some((since, error)) = &self.failure {
            return Health::Failed(now.saturating_duration_since(*since), error.clone());
        }
        match self.waits(now) {
            waits if waits >= SLOW => Health::Slow(waits),
            _ => Health::Ok,
        }
    }
}

#[cfg(test)]
mod tests;
