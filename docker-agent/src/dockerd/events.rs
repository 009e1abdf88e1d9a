//! What happens in Docker, as it tells.

use http_body_util::BodyExt as _;
use hyper::Method;
use hyper::body::Incoming;
use serde::Deserialize;
use std::collections::BTreeMap;

use super::{DockerError, Dockerd};

/// The longest event that is read, in bytes: labels are told with it
const EVENT_LIMIT: usize = 1 << 20;

/// Something happened
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Event {
    /// To what kind of thing: `container`, `network`
    #[serde(rename = "Type", default)]
    pub(crate) kind: String,
    /// What: `destroy`, `connect`
    #[serde(rename = "Action", default)]
    pub(crate) action: String,
    /// To which
    #[serde(rename = "Actor", default)]
    pub(crate) actor: Actor,
}

/// What something happened to
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Actor {
    /// Its id
    #[serde(rename = "ID", default)]
    pub(crate) id: String,
    /// What else is told of it
    #[serde(rename = "Attributes", default)]
    pub(crate) attributes: BTreeMap<String, String>,
}

/// Events, as long as Docker tells them
#[derive(Debug)]
pub(crate) struct Events {
    body: Incoming,
    lines: Lines,
}

impl Events {
    /// Begins to listen; what happens from here on is told
    pub(crate) async fn open(docker: &Dockerd, filters: &str) -> Result<Self, DockerError> {
        let path = format!("/events?filters={}", encoded(filters));
        let response = docker.open(Method::GET, &path, None).await?;
        if !response.status().is_success() {
            return Err(DockerError::refused(response.status(), b""));
        }
        Ok(Self {
            body: response.into_body(),
            lines: Lines::default(),
        })
    }

    /// The next one; none when Docker ends
    ///
    /// Cancel-safe: what was read of a line stays.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some(line) = self.lines.next() {
                match serde_json::from_slice(&line) {
                    Ok(event) => return Some(event),
                    Err(error) => log::debug!("an event of Docker's is not understood: {error}"),
                }
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.push(&data);
                    }
                }
                Err(error) => {
                    log::debug!("Docker's events ended: {error}");
                    return None;
                }
            }
        }
    }
}

/// Lines out of bytes; one that is too long is left out
#[derive(Debug, Default)]
struct Lines {
    buffer: Vec<u8>,
    /// The beginning of this line was thrown away
    skipping: bool,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > EVENT_LIMIT && !self.buffer.contains(&b'\n') {
            self.buffer.clear();
            self.skipping = true;
        }
    }

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let end = self.buffer.iter().position(|byte| *byte == b'\n')?;
            let rest = self.buffer.split_off(end + 1);
            let line = std::mem::replace(&mut self.buffer, rest);
            if !std::mem::take(&mut self.skipping) {
                return Some(line);
            }
        }
    }
}

/// Text as part of a query
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let text = b"one\ntwo\n\nthree\nfo";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for piece in text.chunks(size) {
                lines.push(piece);
                while let Some(line) = lines.next() {
                    seen.push(String::from_utf8(line).unwrap());
                }
            }
            assert_eq!(seen, ["one\n", "two\n", "\n", "three\n"], "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_left_out_and_not_held() {
        let mut lines = Lines::default();
        for _ in 0..4 {
            lines.push(&vec![b'x'; EVENT_LIMIT]);
            assert!(lines.buffer.len() <= EVENT_LIMIT);
        }
        lines.push(b"end\nnext\n");
        assert_eq!(lines.next().unwrap(), b"next\n");
    }

    #[test]
    fn an_event_says_what_happened_to_what() {
        let line = br#"{"status":"destroy","id":"c1","Type":"container","Action":"destroy","Actor":{"ID":"c1","Attributes":{"name":"a"}},"time":1}"#;
        let event: Event = serde_json::from_slice(line).unwrap();
        assert_eq!(
            (event.kind.as_str(), event.action.as_str()),
            ("container", "destroy")
        );
        assert_eq!(event.actor.attributes["name"], "a");
    }
}
