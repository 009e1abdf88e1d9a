//! That the kernel's packet filter changed, as it happens.

use std::fmt;
use std::io;

use nix::errno::Errno;
use rtnetlink::packet_core::NlasIterator;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;
use rtnetlink::sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket};

use crate::messages::{Cut, Message, Messages};

/// Told of each change that anybody makes to a table, or a chain, of the nftables rules of one network namespace
///
/// What changed is not told: who is interested calls [`RulesetWatch::forget`], and then reads what is there.
pub struct RulesetWatch {
    socket: TokioSocket,
    buffer: Vec<u8>,
    part: Part,
}

/// What of the rules is watched, in every address family
#[derive(Debug)]
struct Part {
    table: String,
    chain: Option<String>,
}

impl fmt::Debug for RulesetWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RulesetWatch")
            .field("part", &self.part)
            .finish_non_exhaustive()
    }
}

impl RulesetWatch {
    /// The tables of this name; in the calling thread's namespace; needs a Tokio runtime's context
    ///
    /// # Errors
    ///
    /// If the kernel has no such socket, or lets this process listen to none.
    pub fn of_table(table: &str) -> io::Result<Self> {
        Self::open(Part {
            table: table.to_owned(),
            chain: None,
        })
    }

    /// The chains of this name in tables of this name; otherwise as [`RulesetWatch::of_table`]
    ///
    /// # Errors
    ///
    /// As there.
    pub fn of_chain(table: &str, chain: &str) -> io::Result<Self> {
        Self::open(Part {
            table: table.to_owned(),
            chain: Some(chain.to_owned()),
        })
    }

    fn open(part: Part) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket
            .socket_mut()
            .bind(&SocketAddr::new(0, 1 << (NFNLGRP_NFTABLES - 1)))?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(DATAGRAM),
            part,
        })
    }

    /// Returns once something has changed that was not told or forgotten yet
    ///
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// If the socket has failed: open another.
    pub async fn changed(&mut self) -> io::Result<()> {
        loop {
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer).await {
                // Only the kernel has port 0; a process could send here, too.
                Ok(from) if from.port_number() == 0 && self.part.is_told_of(&self.buffer) => return Ok(()),
                Ok(_other) => {}
                // There were more changes than the socket has room for.
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Passes over what changed so far; whether anything did
    ///
    /// A change takes at least one message: who does not read once for each calls this before reading.
    pub fn forget(&mut self) -> bool {
        let mut changed = false;
        loop {
            self.buffer.clear();
            match self.socket.socket_ref().recv(&mut self.buffer, 0) {
                Ok(_length) => changed |= self.part.is_told_of(&self.buffer),
                Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::ENOBUFS) => changed = true,
                    Some(Errno::EINTR) => {}
                    // If it has failed, that is told by the next wait.
                    _ => return changed,
                },
            }
        }
    }
}

impl Part {
    /// Whether a datagram may tell of this
    fn is_told_of(&self, datagram: &[u8]) -> bool {
        Messages::of(datagram).any(|message| match message {
            Ok(message) => self.is_in(&message),
            // What cannot be read may be anything.
            Err(Cut) => true,
        })
    }

    fn is_in(&self, message: &Message<'_>) -> bool {
        // That all of a transaction was told.
        if message.kind == of_nftables(NFT_MSG_NEWGEN) {
            return false;
        }
        let attributes = message.payload().get(NFGENMSG..).unwrap_or_default();
        // So may a message without a name.
        let is = |kind: u16, name: &str| {
            let found = NlasIterator::new(attributes)
                .map_while(Result::ok)
                .find(|attribute| attribute.kind() == kind);
            found.is_none_or(|found| found.value().strip_suffix(&[0]) == Some(name.as_bytes()))
        };
        let is_chain = |kind: u16| self.chain.as_ref().is_none_or(|chain| is(kind, chain));
        let rules = [NFT_MSG_NEWRULE, NFT_MSG_DELRULE].map(of_nftables);
        let chains = [NFT_MSG_NEWCHAIN, NFT_MSG_DELCHAIN].map(of_nftables);
        is(NFTA_TABLE, &self.table)
            && (!rules.contains(&message.kind) || is_chain(NFTA_RULE_CHAIN))
            && (!chains.contains(&message.kind) || is_chain(NFTA_CHAIN_NAME))
    }
}

const fn of_nftables(message: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | message
}

/// linux/netfilter/nfnetlink.h
const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// `sizeof(struct nfgenmsg)`
const NFGENMSG: usize = 4;
// `enum nf_tables_msg_types` of linux/netfilter/nf_tables.h
const NFT_MSG_NEWCHAIN: u16 = 3;
const NFT_MSG_DELCHAIN: u16 = 5;
const NFT_MSG_NEWRULE: u16 = 6;
const NFT_MSG_DELRULE: u16 = 8;
const NFT_MSG_NEWGEN: u16 = 15;
/// The name of the table, in the messages of tables and of all that is in them
const NFTA_TABLE: u16 = 1;
const NFTA_RULE_CHAIN: u16 = 2;
const NFTA_CHAIN_NAME: u16 = 3;
/// `enum nfnetlink_groups` of linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES: u32 = 7;
const DATAGRAM: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::on_a_host;

    fn nft(line: &str) {
        let status = Command::new("nft").args(line.split(' ')).status();
        assert!(status.expect("nft is installed").success(), "nft {line}");
    }

    #[test]
    fn a_table_is_watched_or_a_chain_alone() {
        on_a_host(|_links| async {
            nft("add table ip filter");
            nft("add chain ip filter FORWARD");
            let mut table = RulesetWatch::of_table("filter").unwrap();
            let mut chain = RulesetWatch::of_chain("filter", "FORWARD").unwrap();
            // The kernel tells of each before the program that made it ends.
            let mut told = |line: &str| {
                nft(line);
                (table.forget(), chain.forget())
            };
            for ours in [
                "add rule ip filter FORWARD accept",
                "flush chain ip filter FORWARD",
                "add table ip6 filter",
                "add chain ip6 filter FORWARD { type filter hook forward priority 0; }",
                "add chain ip6 filter FORWARD { policy drop; }",
                "flush ruleset",
                "add table ip filter",
            ] {
                assert_eq!(told(ours), (true, true), "{ours}");
                assert_eq!(told("list ruleset"), (false, false));
            }
            for beside in [
                "add chain ip filter OTHER",
                "add rule ip filter OTHER accept",
                "delete chain ip filter OTHER",
            ] {
                assert_eq!(told(beside), (true, false), "{beside}");
            }
            for elsewhere in [
                "add table ip nat",
                "add chain ip nat FORWARD",
                "add rule ip nat FORWARD accept",
                "delete table ip nat",
            ] {
                assert_eq!(told(elsewhere), (false, false), "{elsewhere}");
            }
        });
    }

    #[test]
    fn many_changes_are_passed_over_at_once() {
        on_a_host(|_links| async {
            let mut watch = RulesetWatch::of_table("watched").unwrap();
            nft("add table ip watched");
            watch.changed().await.unwrap();
            for chain in 0..20 {
                nft(&format!("add chain ip watched c{chain}"));
            }
            assert!(watch.forget());
            assert!(!watch.forget());
            nft("delete table ip watched");
            watch.changed().await.unwrap();
        });
    }

    #[test]
    fn what_is_cut_short_may_be_anything() {
        let part = Part {
            table: "filter".to_owned(),
            chain: None,
        };
        assert!(part.is_told_of(&[0; 3]));
        assert!(!part.is_told_of(&[]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_passed_over_or_told(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            let part = Part { table: "filter".to_owned(), chain: Some("FORWARD".to_owned()) };
            let _either = part.is_told_of(&datagram);
        }
    }
}
