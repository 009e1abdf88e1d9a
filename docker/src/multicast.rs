//! Whether multicast goes by a network, as was said when it was made.

use serde_json::{Map, Value};

/// What options of `docker network create --opt` are told under
const GENERIC: &str = "com.docker.network.generic";
/// Whether the containers of a network get a route for multicast; they do unless this says no
const MULTICAST: &str = "works.weave.multicast";

/// Whether a network's options let its containers have multicast
pub fn multicast(options: &Map<String, Value>) -> bool {
    let generic = options.get(GENERIC).and_then(Value::as_object);
    let said = generic
        .and_then(|generic| generic.get(MULTICAST))
        .or_else(|| options.get(MULTICAST));
    match said {
        Some(Value::String(text)) => !matches!(
            text.to_ascii_lowercase().as_str(),
            "false" | "0" | "f" | "no" | "off"
        ),
        Some(Value::Bool(on)) => *on,
        _not_said => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multicast_is_on_unless_a_network_says_no() {
        for (options, expected) in [
            (r"{}", true),
            (r#"{"com.docker.network.generic":{}}"#, true),
            (r#"{"com.docker.network.generic":null}"#, true),
            (
                r#"{"com.docker.network.generic":{"works.weave.multicast":""}}"#,
                true,
            ),
            (
                r#"{"com.docker.network.generic":{"works.weave.multicast":"true"}}"#,
                true,
            ),
            (
                r#"{"com.docker.network.generic":{"works.weave.multicast":"false"}}"#,
                false,
            ),
            (r#"{"works.weave.multicast":false}"#, false),
        ] {
            let options: Map<String, Value> = serde_json::from_str(options).unwrap();
            assert_eq!(multicast(&options), expected, "{options:?}");
        }
    }
}
