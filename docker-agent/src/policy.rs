//! What is made of containers, by the command line and by what weaved says of names.

use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use api::{Client, ClientError, DnsStatus, routes};
use docker::create::{Dns, HostnamePolicy, Policy, Refused, Rewrite, rewrite};
use hyper::StatusCode;

use crate::weaved::told;

/// What the command line says of containers
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whether a container that does not say gets an address
    pub(crate) default_addresses: bool,
    /// How hostnames come about
    pub(crate) hostname: HostnamePolicy,
    /// The Docker network that they are connected to
    pub(crate) network: String,
    /// Whether they get names, and answers to questions of names
    pub(crate) dns: bool,
    /// Where they ask; by default where weaved says
    pub(crate) dns_server: Option<Ipv4Addr>,
    /// The domain of their names; by default the one that weaved says
    pub(crate) dns_domain: Option<String>,
}

/// What is made of each container
#[derive(Debug)]
pub(crate) struct Policies {
    settings: Settings,
    weaved: Client,
    /// What weaved said last; it may not run when a container is created
    last: Mutex<Option<Naming>>,
}

/// What containers are called in, and whom they ask
#[derive(Debug, Clone, PartialEq, Eq)]
struct Naming {
    domain: String,
    server: Option<Ipv4Addr>,
}

impl Policies {
    /// By the command line, and for the rest by weaved
    pub(crate) fn new(settings: Settings, weaved: Client) -> Self {
        Self {
            settings,
            weaved,
            last: Mutex::new(None),
        }
    }

    /// The Docker network that containers are connected to
    pub(crate) fn network(&self) -> &str {
        &self.settings.network
    }

    /// The domain that containers have names in, if they have any
    pub(crate) async fn names_domain(&self) -> Option<String> {
        if !self.settings.dns {
            return None;
        }
        match self.naming().await {
            Ok(naming) => Some(naming?.domain),
            Err(error) => {
                log::debug!("the domain is not known: {}", told(&error));
                None
            }
        }
    }

    /// What Docker is asked in the place of a creation
    pub(crate) async fn rewrite(&self, body: &[u8], name: Option<&str>) -> Result<Rewrite, Refusal> {
        let nameless = rewrite(body, name, &self.policy(None))?;
        if nameless == Rewrite::Unchanged || !self.settings.dns {
            return Ok(nameless);
        }
        let dns = self.naming().await?.and_then(|naming| {
            let server = naming.server?;
            Some(Dns {
                server,
                domain: naming.domain,
            })
        });
        match dns {
            Some(dns) => Ok(rewrite(body, name, &self.policy(Some(dns)))?),
            None => Ok(nameless),
        }
    }

    fn policy(&self, dns: Option<Dns>) -> Policy {
        Policy {
            dns,
            default_addresses: self.settings.default_addresses,
            hostname: self.settings.hostname.clone(),
            network: self.settings.network.clone(),
        }
    }

    async fn naming(&self) -> Result<Option<Naming>, ClientError> {
        if let (Some(domain), Some(server)) = (&self.settings.dns_domain, self.settings.dns_server) {
            return Ok(Some(Naming {
                domain: domain.clone(),
                server: Some(server),
            }));
        }
        match self.weaved.ask(&routes::STATUS).await {
            Ok(status) => {
                let naming = status.dns.map(|dns| self.of(&dns));
                let mut last = self.last();
                if *last != naming {
                    tell(naming.as_ref());
                    last.clone_from(&naming);
                }
                Ok(naming)
            }
            Err(error) => self.last().clone().map(Some).ok_or(error),
        }
    }

    fn of(&self, dns: &DnsStatus) -> Naming {
        Naming {
            domain: self
                .settings
                .dns_domain
                .clone()
                .unwrap_or_else(|| dns.domain.clone()),
            server: self.settings.dns_server.or(dns.for_containers),
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Naming>> {
        // It is replaced as a whole.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(naming: Option<&Naming>) {
    match naming {
        Some(Naming {
            domain,
            server: Some(server),
        }) => log::info!("containers ask {server} for names in {domain}"),
        Some(Naming { domain, server: None }) => log::warn!(
            "containers cannot resolve names in {domain}: weaved answers at no address that they reach: Docker has no docker0; give weaved --dns-listen-address, or weave-docker --dns-server"
        ),
        None => log::info!("weaved answers no names: containers get none"),
    }
}

/// A container is not created; Docker was not asked
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It asks for what cannot be
    #[error(transparent)]
    Asked(#[from] Refused),
    /// It is not known how it is to resolve names
    #[error("{0}")]
    Weaved(String),
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        Self::Weaved(told(&error))
    }
}

impl Refusal {
    /// The HTTP status that goes with it
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Asked(_) => StatusCode::BAD_REQUEST,
            Self::Weaved(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}
