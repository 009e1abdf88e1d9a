//! The rewriting of a creation.

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::addresses::{Asked, Refused, asked};
use super::connect::Connect;
use super::hostname::MAX_BYTES;
use super::{Dns, Policy, Rewrite};
use crate::names::{Called, has_domain, in_domain, is_in, is_name};
use crate::object::{Object, json};

/// What Docker is asked for in the place of a creation with a name
///
/// A body that Docker refuses anyway stays as it is.
///
/// # Errors
///
/// If its environment asks for what cannot be.
pub fn rewrite(body: &[u8], name: Option<&str>, policy: &Policy) -> Result<Rewrite, Refused> {
    // Docker, too, takes bytes that are no text for U+FFFD, and what is behind the first value as it likes.
    let text = String::from_utf8_lossy(body);
    let Some((mut creation, rest)) = Creation::parse(&text) else {
        return Ok(Rewrite::Unchanged);
    };
    let addresses = match asked(&creation.env)? {
        Asked::None => return Ok(Rewrite::Unchanged),
        Asked::Default if !policy.default_addresses => return Ok(Rewrite::Unchanged),
        Asked::Default => String::new(),
        Asked::These(addresses) => addresses,
    };
    let dns = policy.dns.as_ref();
    let anew = match creation.mode {
        Mode::Bridge => None,
        Mode::None => match creation.connect(&policy.network) {
            Some(endpoint) => Some(endpoint),
            None => return Ok(Rewrite::Unchanged),
        },
    };
    let connect = Connect {
        network: policy.network.clone(),
        addresses,
        name: dns.and_then(|dns| creation.resolve(name, dns, policy)),
        anew,
    };
    Ok(Rewrite::Joined {
        body: creation.into_body(rest),
        connect,
    })
}

/// The addresses that a creation asks for, separated by blanks, as far as it asks for any; whether it is
/// connected by its creation or after it
///
/// # Errors
///
/// If its environment asks for what cannot be.
pub fn addresses(body: &[u8]) -> Result<Option<String>, Refused> {
    let text = String::from_utf8_lossy(body);
    match Creation::parse(&text).map_or(Ok(Asked::None), |(creation, _)| asked(&creation.env))? {
        Asked::These(addresses) => Ok(Some(addresses)),
        Asked::None | Asked::Default => Ok(None),
    }
}

/// What a container is to have beside the network
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Bridge,
    None,
}

/// The parts of a creation that are looked into
struct Creation {
    container: Object,
    host: Object,
    mode: Mode,
    env: Vec<Box<RawValue>>,
    labels: Object,
    hostname: String,
    domainname: String,
}

impl Creation {
    /// Nothing if Docker would refuse it, or the container is in other networks' hands
    fn parse(text: &str) -> Option<(Self, &str)> {
        let (container, rest) = Object::first(text)?;
        let host = container.object("HostConfig")?;
        let mode = match host.read::<String>("NetworkMode")?.as_str() {
            "" | "default" | "bridge" => Mode::Bridge,
            NONE => Mode::None,
            _ => return None,
        };
        let creation = Self {
            env: container.read("Env")?,
            labels: container.object("Labels")?,
            hostname: container.read("Hostname")?,
            domainname: container.read("Domainname")?,
            container,
            host,
            mode,
        };
        Some((creation, rest))
    }

    /// Lets the container resolve names; the name that others resolve to it, as far as it is known
    fn resolve(&mut self, name: Option<&str>, dns: &Dns, policy: &Policy) -> Option<String> {
        if self.is_open("Dns") {
            self.host.set("Dns", json(&[dns.server]));
        }
        if self.is_open("DnsSearch") {
            let own = self.host_name();
            let searched = if has_domain(&own) && !is_in(&own, dns.domain()) {
                "."
            } else {
                dns.domain()
            };
            self.host.set("DnsSearch", json(&[searched]));
        }
        let derived = self.derived(name, policy);
        if self.hostname.is_empty() {
            self.name_host(&derived, dns.domain());
        }
        let called = Called {
            name: if derived.is_empty() {
                &self.hostname
            } else {
                &derived
            },
            hostname: &self.hostname,
            domainname: &self.domainname,
        };
        in_domain(called, dns.domain())
    }

    /// What the policy makes of the container's label or name
    fn derived(&self, name: Option<&str>, policy: &Policy) -> String {
        let label = policy
            .hostname
            .label()
            .and_then(|label| self.labels.entry(label))
            .and_then(|value| serde_json::from_str::<String>(value).ok());
        let name = name.map(|name| name.trim_start_matches('/'));
        policy
            .hostname
            .replaced(label.as_deref().or(name).unwrap_or_default())
    }

    /// Names the host, and its domain if it has none; unless it is the machine's, or no kernel keeps the name
    fn name_host(&mut self, hostname: &str, domain: &str) {
        let domain = if self.domainname.is_empty() {
            domain
        } else {
            &self.domainname
        };
        let whole = format!("{hostname}.{domain}");
        let is_the_machine = self.host.read("UTSMode") == Some("host".to_owned());
        if whole.len() > MAX_BYTES || !is_name(&whole) || is_the_machine {
            return;
        }
        self.domainname = domain.to_owned();
        self.hostname = hostname.to_owned();
        self.container.set("Hostname", json(&self.hostname));
        self.container.set("Domainname", json(&self.domainname));
    }

    /// The client's own name of the host, with its domain
    fn host_name(&self) -> String {
        match self.domainname.as_str() {
            "" => self.hostname.clone(),
            domain => format!("{}.{domain}", self.hostname),
        }
    }

    /// Whether the client leaves a list of its host's settings to Docker
    fn is_open(&self, field: &str) -> bool {
        self.host
            .read::<Vec<IgnoredAny>>(field)
            .is_some_and(|list| list.is_empty())
    }

    /// Connects it with its creation, and with nothing else, so that Docker joins it to nothing else either; what
    /// the client said of the endpoint. Nothing if it asks for other networks, which Docker refuses beside `none`
    fn connect(&mut self, network: &str) -> Option<String> {
        let mut networking = self.container.object("NetworkingConfig")?;
        let endpoints = networking.object("EndpointsConfig")?;
        if endpoints.keys().any(|network| network != NONE) {
            return None;
        }
        let endpoint = endpoints
            .entry(NONE)
            .map_or_else(|| Some(Object::default()), Object::parse)?;
        endpoint.object("DriverOpts")?;
        let endpoint = endpoint.to_string();
        let mut endpoints = Object::default();
        endpoints.insert(network, endpoint.clone());
        networking.set("EndpointsConfig", endpoints.to_string());
        self.container.set("NetworkingConfig", networking.to_string());
        self.host.set("NetworkMode", json(network));
        Some(endpoint)
    }

    fn into_body(mut self, rest: &str) -> Vec<u8> {
        self.container.set("HostConfig", self.host.to_string());
        format!("{}{rest}", self.container).into_bytes()
    }
}

/// The mode of a container that has no network, and what Docker's client calls that network
const NONE: &str = "none";
