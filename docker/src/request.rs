//! Which request a method and a path are.

/// A request as far as anybody looks into it
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// A container is created
    Create {
        /// The name that it is to have, if one is given
        name: Option<String>,
    },
    /// A container is inspected
    Inspect {
        /// What the client calls it: its id, the beginning of that, or its name
        container: String,
    },
    /// A container is started
    Start {
        /// What the client calls it
        container: String,
    },
    /// A network is created
    CreateNetwork,
    /// Anything else: passed on as it is
    Other,
}

/// The request of a method and a path with its query
///
/// Docker takes an escaped letter, slashes included, for the letter; more slashes than one it answers with
/// where to ask instead, which is the same request.
pub fn classify(method: &str, path_and_query: &str) -> Request {
    let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
    let path = decoded(path, Place::Path);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let parts = match parts.as_slice() {
        [version, rest @ ..] if is_version(version) => rest,
        whole => whole,
    };
    match (method, parts) {
        ("POST", ["containers", "create"]) => Request::Create {
            name: value(query, "name"),
        },
        ("POST", ["networks", "create"]) => Request::CreateNetwork,
        ("POST", ["containers", container @ .., "start"]) if !container.is_empty() => Request::Start {
            container: container.join("/"),
        },
        ("GET", ["containers", container @ .., "json"]) if !container.is_empty() => Request::Inspect {
            container: container.join("/"),
        },
        _ => Request::Other,
    }
}

/// Where a text is escaped
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    /// Where `+` is a blank
    Query,
}

/// `v1.41`
fn is_version(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// The first value that a query gives a key; an empty one is none
fn value(query: &str, key: &str) -> Option<String> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(name, _)| decoded(name, Place::Query) == key)
        .map(|(_, value)| decoded(value, Place::Query))
        .filter(|value| !value.is_empty())
}

/// What a percent-encoded text stands for
fn decoded(text: &str, place: Place) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escaped = match (first, after) {
            (b'%', [high, low, behind @ ..]) => byte(*high, *low).map(|byte| (byte, behind)),
            _ => None,
        };
        let plain = if *first == b'+' && place == Place::Query {
            b' '
        } else {
            *first
        };
        let (byte, behind) = escaped.unwrap_or((plain, after));
        bytes.push(byte);
        rest = behind;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn byte(high: u8, low: u8) -> Option<u8> {
    let digit = |letter: u8| {
        char::from(letter)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creations_are_known_with_their_name() {
        for (path, name) in [
            ("/containers/create", None),
            ("/v1.41/containers/create", None),
            ("/v1.12/containers/create?name=c1", Some("c1")),
            ("/v1.41/containers/create?name=", None),
            ("/v1.41/containers/create?platform=&name=c1", Some("c1")),
            ("/v1.41/containers/create?name=c1&name=c2", Some("c1")),
            ("/v1.41/containers/create?n%61me=c%31", Some("c1")),
            ("/v1.41/containers/create?name=a+b%20c", Some("a b c")),
            ("/v1.41/containers/create?name=%2Fc1", Some("/c1")),
            ("/v1.41/containers/create?name=a%2", Some("a%2")),
            ("/v1.41/containers/create?name=%c3%a4%zz", Some("\u{e4}%zz")),
            ("/v1.41/containers/create?name=%ff", Some("\u{fffd}")),
            ("/v1.41/containers/create?names=c1&xname=c1", None),
            ("/v1.41/containers/create?name", None),
            ("//v1.41//containers//create?name=c1", Some("c1")),
            ("/v1.41/containers/create/", None),
            ("/v1.41/containers/%63reate", None),
            ("/v1.41/containers%2Fcreate", None),
        ] {
            let name = name.map(str::to_owned);
            assert_eq!(classify("POST", path), Request::Create { name }, "{path}");
        }
    }

    #[test]
    fn inspections_are_known_with_their_container() {
        for (path, container) in [
            ("/containers/c1/json", "c1"),
            ("/v1.41/containers/5f3a/json?size=1", "5f3a"),
            ("/v1.41/containers/%2Fc1/json", "c1"),
            ("/v1.41/containers/c+1/json", "c+1"),
            ("/v1.41/containers/web/db/json", "web/db"),
            ("/v1.41/containers/json/json", "json"),
        ] {
            let container = container.to_owned();
            assert_eq!(classify("GET", path), Request::Inspect { container }, "{path}");
        }
    }

    #[test]
    fn starts_are_known_with_their_container() {
        for (path, container) in [
            ("/containers/c1/start", "c1"),
            ("/v1.18/containers/5f3a/start?detachKeys=x", "5f3a"),
            ("/v1.18/containers/web/db/start", "web/db"),
        ] {
            let container = container.to_owned();
            assert_eq!(classify("POST", path), Request::Start { container }, "{path}");
        }
    }

    #[test]
    fn creations_of_networks_are_known() {
        for path in [
            "/networks/create",
            "/v1.41/networks/create?x=y",
            "//networks//create",
        ] {
            assert_eq!(classify("POST", path), Request::CreateNetwork, "{path}");
        }
        for path in ["/networks/create/x", "/networks/n1/connect", "/networks"] {
            assert_eq!(classify("POST", path), Request::Other, "{path}");
        }
    }

    #[test]
    fn everything_else_is_other() {
        for (method, path) in [
            ("GET", ""),
            ("GET", "/"),
            ("GET", "*"),
            ("GET", "/_ping"),
            ("GET", "/v1.41/containers/create"),
            ("post", "/v1.41/containers/create"),
            ("POST", "/v1.41/containers/create/now"),
            ("POST", "/v1.41/v1.41/containers/create"),
            ("POST", "/1.41/containers/create"),
            ("POST", "/v/containers/create"),
            ("POST", "/v1.41x/containers/create"),
            ("POST", "/v1.41/Containers/create"),
            ("POST", "/v1.41/./containers/create"),
            ("POST", "/v1.41/services/create?name=c1"),
            ("POST", "/v1.41/containers/start"),
            ("POST", "/v1.41/exec/c1/start"),
            ("POST", "/v1.41/containers/c1/restart"),
            ("POST", "/v1.41/containers/c1/exec"),
            ("GET", "/v1.41/containers/json"),
            ("GET", "/v1.41/containers//json"),
            ("HEAD", "/v1.41/containers/c1/json"),
            ("GET", "/v1.41/containers/c1/json/x"),
            ("GET", "/v1.41/exec/c1/json"),
            ("GET", "/v1.41/images/c1/json"),
            ("GET", "/v1.41/events?filters=%7B%7D"),
        ] {
            assert_eq!(classify(method, path), Request::Other, "{method} {path}");
        }
    }
}
