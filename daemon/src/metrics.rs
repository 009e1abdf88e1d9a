//! What `/metrics` says: the numbers of `status`, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use api::{Connection, IpamStatus, StatusReport};
use model::PeerName;

use crate::dns::Counters;

/// Metric families, each with the kind that Prometheus is told
#[derive(Debug, Default)]
struct Families(String);

impl Families {
    fn put(&mut self, name: &str, kind: &str, samples: impl IntoIterator<Item = (String, f64)>) {
        let _infallible = writeln!(self.0, "# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _infallible = writeln!(self.0, "{name}{labels} {value}");
        }
    }

    fn gauge(&mut self, name: &str, value: f64) {
        self.put(name, "gauge", [(String::new(), value)]);
    }

    fn counter(&mut self, name: &str, value: u64) {
        self.put(name, "counter", [(String::new(), value as f64)]);
    }
}

/// The text; `questions` where there is a name server
pub(crate) fn text(
    status: &StatusReport,
    connections: &[Connection],
    questions: Option<&Counters>,
) -> String {
    let mut families = Families::default();
    mesh(&mut families, status, connections);
    let drops = status.drops.iter();
    let drops = drops.map(|(reason, count)| (format!("{{reason={reason:?}}}"), *count as f64));
    families.put("weave_drops_total", "counter", drops);
    if let api::Datapath::Fastdp { stats, .. } = &status.datapath {
        families.counter("weave_datapath_hits_total", stats.hit);
        families.counter("weave_datapath_misses_total", stats.missed);
        families.counter("weave_datapath_lost_total", stats.lost);
        families.gauge("weave_flows", stats.flows as f64);
    }
    if let Some(store) = &status.store {
        let states = [
            api::StoreState::Ok,
            api::StoreState::Slow,
            api::StoreState::Failed,
        ];
        let states = states.map(|state| {
            let is_so = f64::from(u8::from(store.state == state));
            (format!("{{state=\"{state}\"}}"), is_so)
        });
        families.put("weave_store_state", "gauge", states);
    }
    if let Some(ipam) = &status.ipam {
        addresses(&mut families, ipam, status.router.name);
    }
    if let Some(dns) = &status.dns {
        families.gauge("weave_dns_entries", dns.entries as f64);
    }
    if let Some(fill) = &status.names {
        families.gauge("weave_dns_copies_bytes", fill.bytes as f64);
        families.gauge("weave_dns_copies_max_bytes", fill.max_bytes as f64);
    }
    if let Some(questions) = questions {
        let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        families.counter("weave_dns_questions_total", load(&questions.questions));
        families.counter("weave_dns_forwarded_total", load(&questions.forwarded));
        families.counter("weave_dns_failed_total", load(&questions.failed));
        families.counter("weave_dns_refused_total", load(&questions.refused));
    }
    families.0
}

fn mesh(families: &mut Families, status: &StatusReport, connections: &[Connection]) {
    let states: BTreeMap<String, f64> = api::ConnectionState::ALL
        .into_iter()
        .map(|state| {
            let count = status.router.connections.of(state);
            (format!("{{state=\"{state}\"}}"), count as f64)
        })
        .collect();
    families.put("weave_connections", "gauge", states);
    families.gauge("weave_peers", status.router.peers.total as f64);
    let paths = connections.iter().filter_map(|connection| {
        let (peer, path) = (connection.peer.as_ref()?, connection.path?);
        Some((format!("{{peer=\"{}\",path=\"{path}\"}}", peer.nickname), 1.0))
    });
    families.put("weave_path", "gauge", paths);
}

fn addresses(families: &mut Families, ipam: &IpamStatus, name: PeerName) {
    let own = ipam.owners.iter().find(|owner| owner.peer.name == name);
    let own = own.map_or(0, |owner| owner.addresses);
    let unreachable = ipam.owners.iter().filter(|owner| !owner.reachable);
    let (count, lost) = unreachable.fold((0_u32, 0_u64), |(count, lost), owner| {
        (count + 1, lost + u64::from(owner.addresses))
    });
    let claims = ipam
        .pending
        .iter()
        .filter(|pending| !pending.wanted.starts_with("net:"));
    let claims = claims.count();
    let used = ("{state=\"local-used\"}".to_owned(), f64::from(ipam.active));
    families.put("weave_ips", "gauge", [used]);
    families.gauge("weave_max_ips", f64::from(ipam.range.size()));
    families.gauge("weave_ipam_owned_ips", f64::from(own));
    families.gauge("weave_ipam_unreachable_count", f64::from(count));
    families.gauge(
        "weave_ipam_unreachable_percentage",
        lost as f64 * 100.0 / f64::from(ipam.range.size()),
    );
    families.gauge("weave_ipam_conflicts", ipam.conflicts.len() as f64);
    families.gauge("weave_ipam_pending_claims", claims as f64);
    families.gauge(
        "weave_ipam_pending_allocates",
        (ipam.pending.len() - claims) as f64,
    );
}
