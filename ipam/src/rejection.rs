//! Reasons for which something that a peer told is not taken over.

use std::collections::BTreeMap;
use std::fmt;

/// The reason for which something that a peer told is not taken over
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rejection {
    /// Another key speaks for the name of the writer, or none is known
    ForeignKey,
    /// The signature does not verify
    BadSignature,
    /// The writer of a register was not the owner of the address, nor the owner's heir
    NoTitle,
    /// A register of a lineage other than the roll's
    OtherLineage,
    /// A decision without a quorum of those who could decide
    NoQuorum,
    /// A lineage that fewer voters in sight support than this peer's
    NoSupport,
    /// A counter that leaps further than any peer counts
    Leap,
    /// The state that one origin, or all, may make this peer keep is used up
    OverBudget,
}

impl Rejection {
    /// The stable name of the reason
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForeignKey => "foreign_key",
            Self::BadSignature => "bad_signature",
            Self::NoTitle => "no_title",
            Self::OtherLineage => "other_lineage",
            Self::NoQuorum => "no_quorum",
            Self::NoSupport => "no_support",
            Self::Leap => "leap",
            Self::OverBudget => "over_budget",
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The number of rejections by their reason
pub(crate) type Rejections = BTreeMap<Rejection, u64>;
