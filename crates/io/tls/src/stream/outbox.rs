//! Records on their way to the socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use weft_net::buffer::{BULK_BYTES, Buffer, BufferPool, SMALL_BYTES};

/// Sealed records, in order. Owns a pool buffer only while there are some.
#[derive(Debug)]
pub(super) struct Outbox {
    pool: BufferPool,
    buffer: Option<Buffer>,
    start: usize,
    end: usize,
    /// Records that found no room in the buffer, after those in it: long certificate chains.
    more: Vec<u8>,
    blocked: bool,
}

impl Outbox {
    pub(super) fn new(pool: &BufferPool) -> Self {
        let (buffer, more) = (None, Vec::new());
        Self { pool: pool.clone(), buffer, start: 0, end: 0, more, blocked: false }
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.start + self.more.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the socket was full at the last attempt; a writer waits for it then.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Makes room for `wanted` bytes, if a bulk buffer has it.
    pub(super) fn reserve(&mut self, wanted: usize) {
        let needed = self.end + wanted;
        let grown = match &self.buffer {
            None if needed <= SMALL_BYTES => self.pool.small(),
            None => self.pool.bulk(),
            Some(buffer) if needed > buffer.len() && buffer.len() < BULK_BYTES => self.pool.bulk(),
            Some(_) => return,
        };
        if let Some(old) = self.buffer.replace(grown)
            && let Some(new) = &mut self.buffer
        {
            new[..self.end].copy_from_slice(&old[..self.end]);
        }
    }

    /// Appends what `write` puts into the space it is given. When it says that it needs more than
    /// there is, it is asked again with as much as it needs.
    pub(super) fn push<E>(
        &mut self,
        mut write: impl FnMut(&mut [u8]) -> Result<Result<usize, Needs>, E>,
    ) -> Result<(), E> {
        if self.more.is_empty() {
            self.reserve(1);
            if let Some(buffer) = &mut self.buffer
                && let Ok(count) = write(&mut buffer[self.end..])?
            {
                self.end += count;
                return Ok(());
            }
        }
        let start = self.more.len();
        let mut result = write(&mut [])?;
        if let Err(Needs(count)) = result {
            self.more.resize(start + count, 0);
            result = write(&mut self.more[start..])?;
        }
        self.more.truncate(start + result.unwrap_or(0));
        Ok(())
    }

    /// Ready when everything was sent.
    pub(super) fn poll_send<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut W,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let bytes = match &self.buffer {
                Some(buffer) if self.start < self.end => &buffer[self.start..self.end],
                _ => &self.more[..],
            };
            let count = match Pin::new(&mut *io).poll_write(cx, bytes) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
            };
            if self.start < self.end {
                self.start += count;
            } else {
                self.more.drain(..count);
            }
        }
        self.buffer = None;
        self.start = 0;
        self.end = 0;
        self.more = Vec::new();
        self.blocked = false;
        Poll::Ready(Ok(()))
    }
}

/// The space was too small; so many bytes are needed.
pub(super) struct Needs(pub(super) usize);
