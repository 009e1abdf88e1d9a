//! Whether whoever asked is still there.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::body::BodyError;

/// Sees a client close its connection while an answer is waited for
///
/// Docker goes by this: it ends a build or an `events` whose client is gone. Who closes only the way out
/// (a half-close) is still there, and gets the answer.
#[derive(Debug)]
pub(super) struct Gone(UnixStream);

impl Gone {
    /// Watches this stream, without reading from it
    pub(super) fn watch(stream: &UnixStream) -> io::Result<Self> {
        let same = stream.as_fd().try_clone_to_owned()?;
        Ok(Self(UnixStream::from_std(same.into())?))
    }

    /// Returns once the other side has closed
    pub(super) async fn wait(&self) {
        loop {
            match self.0.ready(Interest::WRITABLE).await {
                Ok(ready) if ready.is_write_closed() => return,
                Ok(_writable) => {
                    // Forgets that it is writable, so that the next thing to be ready for is the end.
                    let forget = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                    let _would_block = self.0.try_io(Interest::WRITABLE, forget);
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
