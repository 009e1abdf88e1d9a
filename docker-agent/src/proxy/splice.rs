//! Streams that were taken over from HTTP: whatever one side sends the other gets, and each may end its
//! own way while the other goes on.

use hyper::Version;
use hyper::body::Bytes;
use hyper::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HeaderValue, TRAILER, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};

use crate::stream::Stream;

/// What is under way in each direction, in bytes
const BUFFER: usize = 64 << 10;

/// A request that takes over its connection without asking for another protocol
///
/// Older clients do so to attach to a container: after the head of the answer there is no more HTTP.
#[derive(Debug)]
pub(super) struct Takeover {
    /// Its head
    pub(super) head: Parts,
    /// Its body
    pub(super) body: Bytes,
    /// The connection to Docker, that nothing was sent on
    pub(super) upstream: Stream,
}

/// Whether this request takes its connection over if Docker agrees
pub(super) fn takes_over(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    let mut parts = path.rsplit('/');
    matches!(
        (parts.next(), parts.next(), parts.next()),
        (Some("attach"), Some(_), Some("containers")) | (Some("start"), Some(_), Some("exec"))
    )
}

/// Both upgraded: from here on bytes
pub(super) async fn upgraded(upstream: OnUpgrade, client: OnUpgrade) {
    match (upstream.await, client.await) {
        (Ok(upstream), Ok(client)) => join(TokioIo::new(client), TokioIo::new(upstream)).await,
        (Err(error), _) | (_, Err(error)) => log::debug!("a stream did not come about: {error}"),
    }
}

/// Sends the request to Docker, then what the client had sent after it, and from there on bytes
pub(super) async fn taken_over<C>(client: C, read: Bytes, takeover: Takeover)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let Takeover {
        head,
        body,
        mut upstream,
    } = takeover;
    let mut begin = written(head, body.len());
    begin.extend_from_slice(&body);
    begin.extend_from_slice(&read);
    if let Err(error) = upstream.write_all(&begin).await {
        log::debug!("a stream to Docker did not begin: {error}");
    }
    join(client, upstream).await;
}

/// The head as bytes
///
/// Docker is told to close after its answer: if it does not agree, what the client sends next comes over
/// a connection of its own, where it is read as a request.
fn written(mut head: Parts, length: usize) -> Vec<u8> {
    for gone in [TRANSFER_ENCODING, TRAILER, EXPECT] {
        head.headers.remove(gone);
    }
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let version = if head.version == Version::HTTP_10 {
        "1.0"
    } else {
        "1.1"
    };
    let mut bytes = format!("{} {} HTTP/{version}\r\n", head.method, head.uri).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

async fn join<A, B>(mut client: A, mut upstream: B)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    match copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER, BUFFER).await {
        Ok((sent, received)) => log::debug!("a stream ended: {sent} bytes sent, {received} received"),
        Err(error) => log::debug!("a stream broke off: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_attaches_takes_its_connection_over() {
        for (path, expected) in [
            ("/containers/c1/attach", true),
            ("/v1.24/containers/c1/attach", true),
            ("/v1.24/containers/c1/attach/", true),
            ("/exec/e1/start", true),
            ("/v1.18/exec/e1/start", true),
            ("/containers/c1/start", false),
            ("/containers/c1/attach/ws", false),
            ("/exec/e1/json", false),
            ("/containers/attach", false),
            ("/", false),
            ("", false),
        ] {
            assert_eq!(takes_over(path), expected, "{path}");
        }
    }
}
