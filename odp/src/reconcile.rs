//! The difference between the flows that should be and those that are.

use std::collections::BTreeMap;

use openvswitch_sys::{Action, Flow, FlowKey, FlowMatch, Ufid};

/// Which requests turn the actual flows into the wanted ones
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// Flows that are missing or do something else
    pub put: Vec<(FlowKey, Vec<Action>)>,
    /// Flows that should not be
    pub delete: Vec<FlowId>,
}

impl Difference {
    /// Nothing to do
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.delete.is_empty()
    }
}

/// How the kernel knows a flow
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FlowId {
    /// By the id that it was put with
    Ufid(Ufid),
    /// By its key, when it was put without an id
    Key(Vec<u8>),
}

impl From<Ufid> for FlowId {
    fn from(ufid: Ufid) -> Self {
        Self::Ufid(ufid)
    }
}

/// Compares what should be with what is
///
/// A flow counts as the wanted one if it has the canonical key under the key's own id and the same
/// actions in the same order; any other flow of the datapath is to be deleted.
pub fn reconcile(wanted: &BTreeMap<FlowKey, Vec<Action>>, actual: &[Flow]) -> Difference {
    let mut missing: BTreeMap<FlowKey, &Vec<Action>> = wanted.iter().map(|(k, a)| (*k, a)).collect();
    let mut delete = vec![];
    for flow in actual {
        if let (FlowMatch::Canonical(key), Some(ufid)) = (&flow.matches, flow.ufid)
            && ufid == key.ufid()
            && let Some(actions) = wanted.get(key)
        {
            if *actions == flow.actions {
                missing.remove(key);
            }
            continue; // a put replaces the actions in place
        }
        delete.push(id_of(flow));
    }
    Difference {
        put: missing
            .into_iter()
            .map(|(key, actions)| (key, actions.clone()))
            .collect(),
        delete,
    }
}

fn id_of(flow: &Flow) -> FlowId {
    match (flow.ufid, &flow.matches) {
        (Some(ufid), _) => FlowId::Ufid(ufid),
        (None, FlowMatch::Canonical(key)) => FlowId::Key(key.encode()),
        (None, FlowMatch::Other { key, .. }) => FlowId::Key(key.clone()),
    }
}

#[cfg(test)]
mod tests;
