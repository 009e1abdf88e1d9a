//! Whom to connect to.

use model::Target;
use serde::{Deserialize, Serialize};

use crate::PEERS_LIMIT;
use crate::bounded::bounded;

/// Connect to these peers, and keep trying
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectRequest {
    /// The peers, at most [`PEERS_LIMIT`]
    #[serde(deserialize_with = "bounded::<_, _, PEERS_LIMIT>")]
    pub peers: Vec<Target>,
    /// Forget every other target
    #[serde(default)]
    pub replace: bool,
}

/// Do not try these peers any more; live connections stay
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// The peers, at most [`PEERS_LIMIT`]; those that are no target are ignored
    #[serde(deserialize_with = "bounded::<_, _, PEERS_LIMIT>")]
    pub peers: Vec<Target>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_refuses_what_it_does_not_know() {
        let parse = serde_json::from_str::<ConnectRequest>;
        assert!(parse(r#"{"peers":["host1:6783"]}"#).is_ok());
        for wrong in [
            r#"{}"#,
            r#"{"peers":"host1"}"#,
            r#"{"peers":["host1"],"replcae":true}"#,
            r#"{"peers":[":99"]}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
