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
