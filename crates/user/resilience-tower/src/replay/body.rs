//! A body that can be sent more than once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// Pieces of fewer bytes are copied. Each takes room beside its bytes, and may be all that is wanted
/// of a large buffer.
const SMALL: usize = 4 << 10;

/// A body that keeps what it has sent, so that it can be sent again.
///
/// Nothing is buffered ahead: what the first attempt reads of the body underneath goes out at once,
/// and is kept beside. A [clone](Self::try_clone) sends what was kept, and goes on with the body
/// where that ends; two attempts under way at one time share it. A body that grows beyond the bound
/// is kept no longer: the attempt that reads it goes on, and there are no further clones.
///
/// Memory is what was read, at most the bound, until the last clone is gone. Pieces of less than 4
/// KiB are copied together, so that many small ones take no more than a few large ones; a large one
/// is kept as it is, with the buffer that it is a part of.
///
/// For retries of requests of HTTP: `HttpReplay::new().cloned_by(ReplayBody::try_clone)`.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::{BodyExt, Full};
/// use resilience_tower::replay::ReplayBody;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let body = ReplayBody::new(Full::new(Bytes::from("hello")), 65_536);
/// let again = body.try_clone().expect("it is not too long");
/// assert_eq!(body.collect().await.expect("it fits").to_bytes(), "hello");
/// assert_eq!(again.collect().await.expect("it was kept").to_bytes(), "hello");
/// # }
/// ```
#[derive(Debug)]
pub struct ReplayBody<B> {
    shared: Arc<Mutex<Shared<B>>>,
    /// Sent by this clone.
    sent: Position,
}

/// Why an attempt cannot send its body, when that underneath has not failed just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// It was too long to be kept, and another attempt has the rest of it.
    #[error("the body was too long to be sent again")]
    TooLong,
    /// It has failed in another attempt.
    #[error("the body has failed already")]
    Failed,
}

/// The body underneath and what was read of it. The lock is held while one frame is read or cloned.
#[derive(Debug)]
struct Shared<B> {
    body: Pin<Box<B>>,
    kept: Kept,
    /// What was read: what is kept, or more once that is given up.
    read: Position,
    bytes_max: usize,
    state: State,
    /// All of it was read.
    ended: bool,
    /// Clones that wait for the next frame.
    waiting: Vec<Waker>,
}

/// What `poll_frame` returns.
type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// All that was read is kept.
    Keeping,
    /// Too long: only the clone that has sent all of it goes on.
    GivenUp,
    Failed,
}

/// How far somebody is in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Position {
    /// Of data.
    bytes: u64,
    /// Whether what comes after the data is behind as well.
    trailers: bool,
}

/// What was read.
#[derive(Debug, Default)]
struct Kept {
    /// Pieces, each with the position at which it ends.
    pieces: Vec<(u64, Bytes)>,
    /// What came after the last of them in small pieces.
    small: Vec<u8>,
    trailers: Option<HeaderMap>,
}

// === impl ReplayBody ===

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    /// Keeps up to so many bytes.
    #[must_use]
    pub fn new(body: B, bytes_max: usize) -> Self {
        let shared = Shared {
            body: Box::pin(body),
            kept: Kept::default(),
            read: Position::default(),
            bytes_max,
            state: State::Keeping,
            ended: false,
            waiting: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)), sent: Position::default() }
    }
}

impl<B> ReplayBody<B> {
    /// The same body from its beginning; `None` once it was too long, or has failed.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let can_replay = self.lock().state == State::Keeping;
        let sent = Position::default();
        can_replay.then(|| Self { shared: Arc::clone(&self.shared), sent })
    }

    fn lock(&self) -> MutexGuard<'_, Shared<B>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        // The body underneath may know only this one's waker.
        let waiting = self.lock().take_waiting();
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for ReplayBody<B> {
    type Data = Bytes;
    /// That of the body underneath, or a [`ReplayError`].
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.get_mut();
        let (polled, waiting) = {
            let mut shared = this.lock();
            let polled = shared.poll_frame(this.sent, cx);
            let waiting = if polled.is_ready() { shared.take_waiting() } else { Vec::new() };
            (polled, waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            this.sent.pass(frame);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        self.sent == shared.read && (shared.ended || shared.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let mut hint = shared.body.size_hint();
        let unsent = shared.kept.bytes().saturating_sub(self.sent.bytes);
        if unsent > 0 {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper + unsent);
            }
            hint.set_lower(hint.lower() + unsent);
        }
        hint
    }
}

// === impl Shared ===

impl<B> Shared<B> {
    /// Those to be woken once the lock is free.
    fn take_waiting(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Shared<B> {
    /// The frame after that.
    fn poll_frame(&mut self, sent: Position, cx: &mut Context<'_>) -> Polled {
        if let Some(kept) = self.kept.after(sent) {
            return Poll::Ready(Some(Ok(kept)));
        }
        match self.state {
            State::Failed => return Poll::Ready(Some(Err(ReplayError::Failed.into()))),
            State::GivenUp if sent != self.read => {
                return Poll::Ready(Some(Err(ReplayError::TooLong.into())));
            }
            State::Keeping | State::GivenUp => {}
        }
        if self.ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = self.body.as_mut().poll_frame(cx) else {
            if !self.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                self.waiting.push(cx.waker().clone());
            }
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => self.keep(frame),
            Some(Err(_)) => self.state = State::Failed,
            None => self.ended = true,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    /// Keeps a frame that was just read, if it fits.
    fn keep(&mut self, frame: &Frame<Bytes>) {
        let is_after_all = self.read.trailers;
        self.read.pass(frame);
        let is_kept = self.state == State::Keeping
            && !is_after_all
            && match (frame.data_ref(), frame.trailers_ref()) {
                (Some(data), _) => self.kept.add(data, self.bytes_max),
                (None, Some(trailers)) => self.kept.end(trailers, self.bytes_max),
                (None, None) => false,
            };
        if !is_kept {
            self.state = State::GivenUp;
            self.kept = Kept::default();
        }
    }
}

// === impl Position ===

impl Position {
    /// Goes on by a frame.
    fn pass(&mut self, frame: &Frame<Bytes>) {
        match frame.data_ref() {
            Some(data) => self.bytes += data.len() as u64,
            None => self.trailers = true,
        }
    }
}

// === impl Kept ===

impl Kept {
    /// Bytes of data.
    fn bytes(&self) -> u64 {
        self.pieces_end() + self.small.len() as u64
    }

    fn pieces_end(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    /// Adds data. False when that would be too much.
    fn add(&mut self, data: &Bytes, bytes_max: usize) -> bool {
        let end = self.bytes() + data.len() as u64;
        if end > bytes_max as u64 {
            return false;
        }
        if data.len() < SMALL {
            self.small.extend_from_slice(data);
            if self.small.len() >= SMALL {
                self.seal();
            }
        } else {
            self.seal();
            self.pieces.push((end, data.clone()));
        }
        true
    }

    /// Makes a piece of the small ones.
    fn seal(&mut self) {
        if !self.small.is_empty() {
            let end = self.bytes();
            self.pieces.push((end, std::mem::take(&mut self.small).into()));
        }
    }

    /// Adds what comes after the data. False when that would be too much.
    fn end(&mut self, trailers: &HeaderMap, bytes_max: usize) -> bool {
        let lines = trailers.iter().map(|(name, value)| name.as_str().len() + value.len());
        let fits = self.bytes() + lines.sum::<usize>() as u64 <= bytes_max as u64;
        self.trailers = fits.then(|| trailers.clone());
        fits
    }

    /// What comes after a position.
    fn after(&self, sent: Position) -> Option<Frame<Bytes>> {
        let piece = self.pieces.partition_point(|(end, _)| *end <= sent.bytes);
        if let Some((end, piece)) = self.pieces.get(piece) {
            let left = usize::try_from(end - sent.bytes).expect("it is a part of a piece");
            return Some(Frame::data(piece.slice(piece.len() - left..)));
        }
        let begin = usize::try_from(sent.bytes.checked_sub(self.pieces_end())?).ok()?;
        match self.small.get(begin..) {
            Some([]) | None => {
                let trailers = self.trailers.as_ref().filter(|_| !sent.trailers)?;
                Some(Frame::trailers(trailers.clone()))
            }
            Some(rest) => Some(Frame::data(Bytes::copy_from_slice(rest))),
        }
    }
}

#[cfg(test)]
mod tests;
