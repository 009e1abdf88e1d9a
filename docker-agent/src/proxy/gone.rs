//! Whether whoever asked is still there.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::body::BodyError;
use crate::stream::Stream;

/// What a client gets to read to the end that says nothing more, where it cannot be told from one that is gone
const PATIENCE: Duration = Duration::from_secs(2);

/// Sees a client close its connection while an answer is waited for
///
/// Docker goes by this: it ends a build or an `events` whose client is gone. Who closes only the way out
/// (a half-close) is still there, and gets the answer; where that cannot be seen, what comes within
/// [`PATIENCE`] of it.
#[derive(Debug)]
pub(super) struct Gone(Watched);

impl Gone {
    /// Watches this stream, without reading from it
    pub(super) fn watch(stream: &Stream) -> io::Result<Self> {
        let same = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(match stream {
            Stream::Unix(_) => Watched::Unix(UnixStream::from_std(same.into())?),
            Stream::Tcp(_) | Stream::Tls(_) => Watched::Tcp(TcpStream::from_std(same.into())?),
        }))
    }

    /// Returns once the other side has closed
    pub(super) async fn wait(&self) {
        let silent = async {
            match &self.0 {
                // The end of what is said is told apart from the end of all.
                Watched::Unix(_) => std::future::pending().await,
                Watched::Tcp(_) => self.0.closed(Interest::READABLE).await,
            }
            tokio::time::sleep(PATIENCE).await;
        };
        tokio::select! {
            () = self.0.closed(Interest::WRITABLE) => {}
            () = silent => {}
        }
    }
}

/// The same socket once more
#[derive(Debug)]
enum Watched {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Watched {
    /// Returns once nothing goes this way any more
    async fn closed(&self, way: Interest) {
        loop {
            let ready = match self {
                Self::Unix(stream) => stream.ready(way).await,
                Self::Tcp(stream) => stream.ready(way).await,
            };
            match ready {
                Ok(ready) if way.is_writable() && ready.is_write_closed() => return,
                Ok(ready) if way.is_readable() && ready.is_read_closed() => return,
                Ok(_open) => {
                    // Forgets that bytes may go, so that the next thing to be ready for is the end.
                    let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _would_block = match self {
                        Self::Unix(stream) => stream.try_io(way, forget),
                        Self::Tcp(stream) => stream.try_io(way, forget),
                    };
                }
                Err(_runtime_ends) => return,
            }
        }
    }
}

/// An answer's body that breaks off when nobody is there to read it
pub(super) struct UntilGone<B> {
    body: B,
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl<B> UntilGone<B> {
    pub(super) fn new(body: B, gone: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            body,
            gone: Box::pin(gone),
        }
    }
}

impl<B> Body for UntilGone<B>
where
    B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => match self.gone.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err("nobody reads the answer".into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
