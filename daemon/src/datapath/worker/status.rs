//! Counters of the datapath.

use anyhow::Context as _;
use api::DatapathStats;
use odp::Dpif as _;

use super::Worker;
use crate::datapath::switch_thread::Status;

impl Worker {
    /// Returns the kernel's account of the datapath, and what was dropped by reason
    pub(super) fn status(&mut self) -> anyhow::Result<Status> {
        let found = self
            .odp
            .datapath(&self.datapath.name)?
            .context("the datapath is gone")?;
        let stats = DatapathStats {
            hit: found.stats.hit,
            missed: found.stats.missed,
            lost: found.stats.lost,
            flows: found.stats.flows,
            masks: found.megaflow_stats.masks.into(),
        };
        let mut drops = self.drops.by_name();
        for (reason, count) in self.switch.counters().drops.iter() {
            *drops.entry(format!("switch: {}", reason.label())).or_default() += count;
        }
        let counters = &self.counters;
        for (name, count) in [
            ("upcalls lost by the kernel", found.stats.lost),
            ("upcall sockets overrun", counters.overruns),
            ("upcalls that make no sense", counters.malformed),
            ("heartbeats dropped on the way in", counters.beats_dropped),
            ("flows that the kernel refused", counters.flows_failed),
            ("packets that the kernel refused", counters.packets_failed),
            ("fastdp: too big, answered by ICMP", counters.oversize_answered),
            (
                "fastdp: too big, sent by the sleeve",
                counters.oversize_fragmented,
            ),
            ("fastdp: too big", counters.oversize_dropped),
            (
                "flows not installed, too many",
                self.switch.counters().flows_refused,
            ),
        ] {
            if count > 0 {
                drops.insert(name.to_owned(), count);
            }
        }
        drops.extend(counters.beats.by_name("fastdp"));
        drops.retain(|_, count| *count > 0);
        Ok(Status { stats, drops })
    }
}
