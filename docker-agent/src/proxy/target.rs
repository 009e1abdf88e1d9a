//! Targets of requests as people write them by hand: `curl 'http://d/images/json?filters={"label":["a"]}'`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once of a first line
const PIECE: usize = 4096;

/// A client's stream, on whose first line the characters that Docker takes and HTTP's grammar refuses are
/// percent-encoded, which means the same
///
/// Only on the first, as only there the line is found without reading what comes before it; the clients
/// that keep connections encode by themselves.
#[derive(Debug)]
pub(super) struct Spelled<S> {
    stream: S,
    /// The first line is read
    passed: bool,
    /// What was read and is to be given, from where
    ready: (Vec<u8>, usize),
}

impl<S> Spelled<S> {
    /// A stream of which nothing was read
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            passed: false,
            ready: (Vec::new(), 0),
        }
    }

    /// Takes what was read of the stream
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if !self.passed && needs_encoding(*byte) {
                self.ready.0.extend_from_slice(format!("%{byte:02X}").as_bytes());
            } else {
                self.ready.0.push(*byte);
            }
            self.passed |= *byte == b'\n';
        }
    }
}

fn needs_encoding(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)
}

impl<S: AsyncRead + Unpin> AsyncRead for Spelled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (bytes, at) = &self.ready;
        if bytes.len() == *at {
            if self.passed {
                self.ready = (Vec::new(), 0);
                return Pin::new(&mut self.stream).poll_read(cx, buffer);
            }
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
            self.ready = (Vec::with_capacity(piece.filled().len()), 0);
            self.take(piece.filled());
        }
        let (bytes, at) = &mut self.ready;
        let left = bytes.get(*at..).unwrap_or_default();
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(left.get(..count).unwrap_or_default());
        *at += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Spelled<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test]
    async fn only_the_first_line_is_encoded_however_it_is_read() {
        let mut sent = b"GET /a?f={\"x\":[\"<\xff>\"]} HTTP/1.1\r\nH: \"v\"\r\n\r\n".to_vec();
        sent.extend(vec![b'"'; 3 * PIECE]);
        let mut expected = b"GET /a?f={%22x%22:[%22%3C%FF%3E%22]} HTTP/1.1\r\nH: \"v\"\r\n\r\n".to_vec();
        expected.extend(vec![b'"'; 3 * PIECE]);
        for size in [1, 7, 100, 100_000] {
            let mut stream = Spelled::new(sent.as_slice());
            let mut seen = Vec::new();
            let mut piece = vec![0; size];
            loop {
                match stream.read(&mut piece).await.unwrap() {
                    0 => break,
                    count => seen.extend_from_slice(&piece[..count]),
                }
            }
            assert!(seen == expected, "in pieces of {size}");
        }
    }
}
