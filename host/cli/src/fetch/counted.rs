//! A body that is sent, and the bar that shows how far that is.

use crate::progress::Progress;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// A reader whose bytes are counted on a bar. It ends the bar with itself.
pub struct Counted<R> {
    reader: R,
    read: u64,
    progress: Progress,
}

impl<R> Counted<R> {
    pub fn new(reader: R, progress: Progress) -> Counted<R> {
        Counted {
            reader,
            read: 0,
            progress,
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.reader).poll_read(context, buffer))?;
        self.read += (buffer.filled().len() - before) as u64;
        let read = self.read;
        self.progress.update(read);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Bars;
    use tokio::io::AsyncReadExt;

    #[tokio::test(flavor = "current_thread")]
    async fn all_of_it_is_counted() {
        let progress = Bars::new(false).transfer(true, "", 0, None);
        let mut counted = Counted::new(&b"0123456789"[..], progress);
        let mut content = Vec::new();
        counted.read_to_end(&mut content).await.unwrap();
        assert_eq!(content, b"0123456789");
        assert_eq!(counted.read, 10);
    }
}
