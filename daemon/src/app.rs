//! What the API can ask of the daemon: one method for each route, each a question to the task that
//! owns the answer.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use api::{
    ApiError, AttachRequest, Attached, Attachment, ConnectRequest, Connection, DetachRequest, Detached,
    ErrorKind, Flow, ForgetRequest, Health, Peer, Report, StatusReport, Stopping,
};
use model::Target;
use tokio::sync::{mpsc, oneshot};

use crate::attachments::Attachments;
use crate::control::{Input, Query};
use crate::datapath::Datapath;
use crate::shutdown::{Ending, Shutdown};
use crate::sleeve::Sleeve;
use crate::views;

/// The daemon, as the API sees it
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// Questions to the control task
    pub(crate) control: mpsc::Sender<Input>,
    /// The containers
    pub(crate) attachments: Attachments,
    /// The kernel's switch
    pub(crate) datapath: Datapath,
    /// The packet threads
    pub(crate) sleeve: Sleeve,
    /// How to stop
    pub(crate) shutdown: Shutdown,
}

impl App {
    pub(crate) fn health(&self) -> Health {
        let stopping = self.shutdown.token().is_cancelled();
        Health {
            ready: !stopping,
            why: stopping.then(|| "stopping".to_owned()),
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    pub(crate) async fn status(&self) -> Result<StatusReport, ApiError> {
        let mut status = self.ask(Query::Status).await?;
        let (datapath, drops) = self.datapath.status().await?;
        status.datapath = datapath;
        status.drops.extend(drops);
        status.drops.extend(self.sleeve.drops());
        Ok(status)
    }

    pub(crate) async fn connections(&self) -> Result<Vec<Connection>, ApiError> {
        self.ask(Query::Connections).await
    }

    pub(crate) async fn peers(&self) -> Result<Vec<Peer>, ApiError> {
        self.ask(Query::Peers).await
    }

    pub(crate) async fn targets(&self) -> Result<Vec<Target>, ApiError> {
        self.ask(Query::Targets).await
    }

    pub(crate) async fn connect(&self, request: ConnectRequest) -> Result<Vec<Target>, ApiError> {
        self.ask(|reply| Query::Connect(request, reply)).await
    }

    pub(crate) async fn forget(&self, request: ForgetRequest) -> Result<Vec<Target>, ApiError> {
        self.ask(|reply| Query::Forget(request, reply)).await
    }

    pub(crate) async fn flows(&self) -> Result<Vec<Flow>, ApiError> {
        let directory = self.ask(Query::Directory).await?;
        let dump = self.datapath.flows().await?;
        Ok(views::flows(&dump, &directory))
    }

    pub(crate) async fn containers(&self) -> Result<Vec<Attachment>, ApiError> {
        self.attachments.list().await
    }

    pub(crate) async fn attach(&self, request: AttachRequest) -> Result<Attached, ApiError> {
        self.attachments.attach(request).await
    }

    pub(crate) async fn detach(&self, request: DetachRequest) -> Result<Detached, ApiError> {
        self.attachments.detach(request).await
    }

    pub(crate) async fn report(&self) -> Result<Report, ApiError> {
        let directory = self.ask(Query::Directory).await?;
        let (unicast_routes, broadcast_routes) = views::routes(&directory);
        let macs = views::macs(&self.datapath.macs().await?, &directory);
        Ok(Report {
            ready: self.health().ready,
            status: self.status().await?,
            connections: self.connections().await?,
            peers: self.peers().await?,
            targets: self.targets().await?,
            containers: self.containers().await?,
            flows: self.flows().await?,
            unicast_routes,
            broadcast_routes,
            macs,
        })
    }

    pub(crate) fn stop(&self) -> Stopping {
        self.shutdown.ask(Ending::Stop);
        Stopping {
            pid: std::process::id(),
        }
    }

    pub(crate) fn reset(&self) -> Stopping {
        self.shutdown.ask(Ending::Reset);
        Stopping {
            pid: std::process::id(),
        }
    }

    /// Prometheus text: every count that `status` shows
    pub(crate) async fn metrics(&self) -> String {
        let Ok(status) = self.status().await else {
            return String::new();
        };
        let connections = self.connections().await.unwrap_or_default();
        metrics(&status, &connections)
    }

    async fn ask<T>(&self, query: impl FnOnce(oneshot::Sender<T>) -> Query) -> Result<T, ApiError> {
        let gone = || ApiError::new(ErrorKind::NotReady, "weaved is stopping");
        let (reply, answer) = oneshot::channel();
        self.control
            .send(Input::Query(query(reply)))
            .await
            .map_err(|_closed| gone())?;
        answer.await.map_err(|_dropped| gone())
    }
}

fn metrics(status: &StatusReport, connections: &[Connection]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, samples: &[(String, f64)]| {
        let _infallible = writeln!(text, "# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _infallible = writeln!(text, "{name}{labels} {value}");
        }
    };
    let mut states: BTreeMap<String, f64> = BTreeMap::new();
    for state in api::ConnectionState::ALL {
        states.insert(
            format!("{{state=\"{state}\"}}"),
            status.router.connections.of(state) as f64,
        );
    }
    family(
        "weave_connections",
        "gauge",
        &states.into_iter().collect::<Vec<_>>(),
    );
    family(
        "weave_peers",
        "gauge",
        &[(String::new(), status.router.peers.total as f64)],
    );
    let paths: Vec<_> = connections
        .iter()
        .filter_map(|connection| {
            let (peer, path) = (connection.peer.as_ref()?, connection.path?);
            Some((format!("{{peer=\"{}\",path=\"{path}\"}}", peer.nickname), 1.0))
        })
        .collect();
    family("weave_path", "gauge", &paths);
    let drops: Vec<_> = status
        .drops
        .iter()
        .map(|(reason, count)| (format!("{{reason={reason:?}}}"), *count as f64))
        .collect();
    family("weave_drops_total", "counter", &drops);
    if let api::Datapath::Fastdp { stats, .. } = &status.datapath {
        for (name, kind, value) in [
            ("weave_datapath_hits_total", "counter", stats.hit),
            ("weave_datapath_misses_total", "counter", stats.missed),
            ("weave_datapath_lost_total", "counter", stats.lost),
            ("weave_datapath_flows", "gauge", stats.flows),
        ] {
            family(name, kind, &[(String::new(), value as f64)]);
        }
    }
    text
}
