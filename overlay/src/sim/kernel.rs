//! What the kernel does with a frame: a flow table and an interpreter of actions.

use std::collections::BTreeMap;
use std::time::Instant;

use model::Mac;
use openvswitch_sys::uapi::{ETH_P_8021AD, ETH_P_8021Q};
use openvswitch_sys::{Action, FlowKey, PortNo, SetTunnel, Tag, TunnelKey, UpcallKey, Vlans};

use crate::{Command, SeenFlow};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) src: Mac,
    pub(crate) dst: Mac,
    /// Outermost first
    pub(crate) tags: Vec<Tag>,
    /// Bytes with the Ethernet header
    pub(crate) len: u16,
    /// Whether it asks not to be fragmented
    pub(crate) whole: bool,
    /// A "too big" for another frame
    pub(crate) too_big: Option<u16>,
}

impl Frame {
    pub(crate) fn new(src: Mac, dst: Mac) -> Self {
        Self {
            src,
            dst,
            tags: vec![],
            len: 100,
            whole: false,
            too_big: None,
        }
    }

    /// The key that the kernel parses: at most two tags, the second only under a first
    pub(crate) fn key(&self, in_port: PortNo, tunnel: Option<TunnelKey>) -> UpcallKey {
        let vlans = match *self.tags.as_slice() {
            [] => Vlans::None,
            [outer] => Vlans::One(outer),
            [outer, inner, ..] => Vlans::Two(outer, inner),
        };
        UpcallKey {
            in_port,
            src: self.src,
            dst: self.dst,
            tunnel,
            vlans,
            ethertype: Some(0x0800),
        }
    }
}

/// What comes out of the interpreter
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Out {
    Port(PortNo, Frame, Option<SetTunnel>),
    Upcall(u64, Frame),
}

/// Executes actions; a tunnel or a tag of one copy must not reach another, which whoever takes the
/// outputs checks
pub(crate) fn execute(actions: &[Action], frame: &Frame) -> Vec<Out> {
    let mut out = vec![];
    run(actions, &mut frame.clone(), &mut None, &mut out);
    out
}

fn run(actions: &[Action], frame: &mut Frame, tunnel: &mut Option<SetTunnel>, out: &mut Vec<Out>) {
    for action in actions {
        match action {
            Action::Output(port) => out.push(Out::Port(*port, frame.clone(), *tunnel)),
            Action::SetTunnel(set) => {
                assert_ne!(set.ttl, 0, "the kernel refuses it");
                *tunnel = Some(*set);
            }
            Action::PushVlan(tag) => {
                assert!(matches!(tag.tpid, ETH_P_8021Q | ETH_P_8021AD));
                frame.tags.insert(0, *tag);
                frame.len += 4;
            }
            Action::PopVlan => {
                assert!(!frame.tags.is_empty(), "a tag to pop");
                frame.tags.remove(0);
                frame.len -= 4;
            }
            Action::Userspace { pid, cookie } => {
                assert_ne!(*pid, 0, "the kernel refuses it");
                out.push(Out::Upcall(*cookie, frame.clone()));
            }
            Action::CheckPktLen {
                max,
                greater,
                less_equal,
            } => {
                let list = if frame.len > *max { greater } else { less_equal };
                run(list, &mut frame.clone(), &mut tunnel.clone(), out);
            }
            Action::Other(kind, _) => panic!("unknown action {kind}"),
        }
    }
}

/// The flow table
#[derive(Debug, Clone, Default)]
pub(crate) struct Kernel {
    pub(crate) flows: BTreeMap<FlowKey, (Vec<Action>, Option<Instant>)>,
}

impl Kernel {
    pub(crate) fn matching(&mut self, key: &UpcallKey, now: Instant) -> Option<Vec<Action>> {
        let (actions, used) = self.flows.get_mut(&key.flow_key())?;
        *used = Some(now);
        Some(actions.clone())
    }

    pub(crate) fn put(&mut self, key: FlowKey, actions: Vec<Action>) {
        self.flows.entry(key).or_default().0 = actions;
    }

    pub(crate) fn carry_out(&mut self, command: Command) {
        match command {
            Command::PutFlow(key, actions) => self.put(key, actions),
            Command::DeleteFlow(ufid) => self.flows.retain(|key, _| key.ufid() != ufid),
        }
    }

    pub(crate) fn dump(&self, now: Instant) -> Vec<SeenFlow> {
        let seen = self.flows.iter().map(|(key, (actions, used))| SeenFlow {
            ufid: Some(key.ufid()),
            key: Some(*key),
            actions: actions.clone(),
            used_ago: used.map(|used| now.duration_since(used)),
        });
        seen.collect()
    }
}
