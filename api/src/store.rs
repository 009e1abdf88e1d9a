//! State of what outlives weaved: whether it is on disk.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The state file, and whether what changes is in it
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// State of the writes to disk
    pub state: StoreState,
    /// The state file
    pub path: String,
    /// Kind of failure; absent while there is none
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<StoreReason>,
    /// Duration of the failure, or age of the oldest change that is not on disk, in milliseconds
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Cause and cure, for people
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// State of the writes to disk
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreState {
    /// Everything is on disk, or will be in a moment
    #[default]
    Ok,
    /// The disk has not answered for more than a second; whoever needs it waits
    Slow,
    /// The disk refuses; changes are in memory, and no new address is handed out
    Failed,
    /// A state that this version does not know
    #[serde(other)]
    Unknown,
}

/// Kind of a disk's failure
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreReason {
    /// No space, or no quota, is left
    Full,
    /// The file system is read-only
    ReadOnly,
    /// The disk has not answered yet
    NoAnswer,
    /// The disk reports errors
    Failing,
    /// Another weaved has the state
    InUse,
    /// The file is damaged, foreign, or of another version
    Unusable,
    /// A reason that this version does not know
    #[serde(other)]
    Unknown,
}

impl fmt::Display for StoreState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_states_and_reasons_by_their_ids() {
        let status = StoreStatus {
            state: StoreState::Failed,
            path: "/var/lib/weave/weaved.redb".to_owned(),
            reason: Some(StoreReason::ReadOnly),
            since_ms: Some(1200),
            message: Some("why".to_owned()),
        };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["state"], "failed");
        assert_eq!(json["reason"], "read_only");
        assert_eq!(serde_json::from_value::<StoreStatus>(json).unwrap(), status);
        let later: StoreState = serde_json::from_str("\"on_fire\"").unwrap();
        assert_eq!(later, StoreState::Unknown);
    }
}
