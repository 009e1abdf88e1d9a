//! What containers are called, and what requests about names mean.

use std::net::Ipv4Addr;
use std::path::Path;

use api::{ApiError, ContainerSpec, ErrorKind, NameRequest};
use model::ContainerId;

use super::container::container;
use super::error::store_error;
use super::{Attachments, Record, not_attached};
use crate::common::ipv4;

/// Names to be added
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) container: ContainerId,
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) name: String,
}

impl Attachments {
    /// What a request to add names means
    pub(crate) fn named(&self, request: &NameRequest) -> Result<Named, ApiError> {
        let bad = |text: &str| ApiError::new(ErrorKind::BadInput, text);
        let Some(spec) = &request.container else {
            let name = request
                .name
                .clone()
                .ok_or_else(|| bad("neither a container nor a name is given"))?;
            if request.addresses.is_empty() {
                return Err(bad("without a container, addresses are needed"));
            }
            return Ok(Named {
                container: outside()?,
                addresses: request.addresses.clone(),
                name,
            });
        };
        let (_reference, id) = container(spec)?;
        let records = self.0.published.load();
        let record = records.get(&id);
        let name = request
            .name
            .clone()
            .or_else(|| record?.name.clone())
            .or_else(|| name(spec))
            .ok_or_else(|| bad("the container has no name of its own: give one"))?;
        let addresses = match request.addresses.as_slice() {
            [] => {
                let record = record.ok_or_else(|| not_attached(&id))?;
                ipv4(&record.addresses)
            }
            given => given.to_vec(),
        };
        Ok(Named {
            container: id,
            addresses,
            name,
        })
    }

    /// Which names a request to remove some means
    pub(crate) fn filters(&self, request: &NameRequest) -> Result<Vec<dns::Filter>, ApiError> {
        let container = match &request.container {
            Some(spec) => container(spec)?.1,
            None if request.name.is_none() && request.addresses.is_empty() => {
                let text = "nothing is given: a container, addresses, or a name";
                return Err(ApiError::new(ErrorKind::BadInput, text));
            }
            None => outside()?,
        };
        let filter = |address| dns::Filter {
            name: request.name.clone(),
            container: Some(container.clone()),
            address,
        };
        Ok(match request.addresses.as_slice() {
            [] => vec![filter(None)],
            addresses => addresses.iter().map(|address| filter(Some(*address))).collect(),
        })
    }
}

impl Attachments {
    /// Has a container's names on disk one by one, so that the next run gives it the same: if some were given or
    /// taken beside its own, or `begin` says that this has happened
    pub(crate) async fn remember_names(&self, id: &ContainerId, begin: bool) -> Result<(), ApiError> {
        let inner = &*self.0;
        let mut records = inner.records.lock().await;
        let Some(record) = records.get(id).filter(|record| begin || record.names.is_some()) else {
            return Ok(());
        };
        let Ok(Some(names)) = inner.network.names_of(id).await else {
            // There are no names on this host, or no weaved soon.
            return Ok(());
        };
        if record.names.as_ref() == Some(&names) {
            return Ok(());
        }
        let mut record = record.clone();
        record.names = Some(names);
        let written = inner.store.put_attachment(id.as_str(), &record);
        records.insert(id.clone(), record);
        inner.publish(&records);
        drop(records);
        written.wait().await.map_err(store_error)
    }
}

impl Record {
    /// What each of its addresses is called
    pub(super) fn all_names(&self) -> Vec<(String, Ipv4Addr)> {
        let own = || {
            let addresses = ipv4(&self.addresses).into_iter();
            let named = addresses.filter_map(|address| Some((self.name.clone()?, address)));
            named.collect()
        };
        self.names.clone().unwrap_or_else(own)
    }
}

/// What names belong to that are for addresses outside the network
fn outside() -> Result<ContainerId, ApiError> {
    "weave:extern"
        .parse()
        .map_err(|error: model::ContainerIdError| ApiError::new(ErrorKind::Internal, error.to_string()))
}

/// What a container is called in the network, where what it was called by is a name
pub(super) fn name(spec: &ContainerSpec) -> Option<String> {
    let name = match spec {
        ContainerSpec::Name(name) => name.as_str(),
        ContainerSpec::Path(path) => Path::new(path).file_name()?.to_str()?,
        ContainerSpec::Pid(_) => return None,
    };
    (name != "net").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_changed_one_by_one_are_all_that_there_are() {
        let record = |names: serde_json::Value| -> Record {
            let mut record = serde_json::json!({
                "id": "c1", "netns": null, "host_if": "v1", "mac": "02:00:00:00:00:01", "name": "c1",
                "addresses": ["10.32.0.1/12", "10.2.1.1/24"],
            });
            if !names.is_null() {
                record["names"] = names;
            }
            serde_json::from_value(record).unwrap()
        };
        let [one, two] = [[10, 32, 0, 1].into(), [10, 2, 1, 1].into()];
        let named = |name: &str, address: Ipv4Addr| (name.to_owned(), address);
        assert_eq!(
            record(serde_json::Value::Null).all_names(),
            [named("c1", one), named("c1", two)]
        );
        let changed = serde_json::json!([["web.weave.local", "10.2.1.1"]]);
        assert_eq!(record(changed).all_names(), [named("web.weave.local", two)]);
        assert_eq!(record(serde_json::json!([])).all_names(), []);
    }
}
