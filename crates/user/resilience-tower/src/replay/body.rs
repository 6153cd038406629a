//! A body that can be sent more than once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::BoxError;

/// A body that keeps what it has sent, so that it can be sent again.
///
/// Nothing is buffered ahead: what the first attempt reads of the body underneath goes out at once,
/// and is kept beside. A [clone](Self::try_clone) sends what was kept, and goes on with the body
/// where that ends; two attempts under way at one time share it. A body that grows beyond the bound
/// is kept no longer: the attempt that reads it goes on, and there are no further clones.
///
/// Memory is what was read, at most the bound, until the last clone is gone.
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
    /// Frames sent by this clone.
    sent: usize,
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
    kept: Vec<Kept>,
    /// Frames read; those in `kept`, or more once it is given up.
    read: usize,
    kept_bytes: usize,
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

#[derive(Debug, Clone)]
enum Kept {
    Data(Bytes),
    Trailers(HeaderMap),
}

// === impl ReplayBody ===

impl<B: Body<Data = Bytes>> ReplayBody<B> {
    /// Keeps up to so many bytes.
    #[must_use]
    pub fn new(body: B, bytes_max: usize) -> Self {
        let shared = Shared {
            body: Box::pin(body),
            kept: Vec::new(),
            read: 0,
            kept_bytes: 0,
            bytes_max,
            state: State::Keeping,
            ended: false,
            waiting: Vec::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)), sent: 0 }
    }
}

impl<B> ReplayBody<B> {
    /// The same body from its beginning; `None` once it was too long, or has failed.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        let can_replay = self.lock().state == State::Keeping;
        can_replay.then(|| Self { shared: Arc::clone(&self.shared), sent: 0 })
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
        this.sent += usize::from(matches!(polled, Poll::Ready(Some(Ok(_)))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.lock();
        self.sent == shared.read && (shared.ended || shared.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let shared = self.lock();
        let mut hint = shared.body.size_hint();
        let kept = shared.kept.get(self.sent..).unwrap_or_default();
        let unsent: u64 = kept.iter().map(Kept::len).sum();
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
    /// The frame after so many.
    fn poll_frame(&mut self, sent: usize, cx: &mut Context<'_>) -> Polled {
        if let Some(kept) = self.kept.get(sent) {
            return Poll::Ready(Some(Ok(kept.clone().into())));
        }
        match self.state {
            State::Failed => return Poll::Ready(Some(Err(ReplayError::Failed.into()))),
            State::GivenUp if sent < self.read => {
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
        self.read += 1;
        let kept = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Kept::Data(data.clone()),
            (None, Some(trailers)) => Kept::Trailers(trailers.clone()),
            (None, None) => return self.give_up(),
        };
        self.kept_bytes = self.kept_bytes.saturating_add(kept.len() as usize);
        match self.state {
            State::Keeping if self.kept_bytes <= self.bytes_max => self.kept.push(kept),
            _ => self.give_up(),
        }
    }

    fn give_up(&mut self) {
        self.state = State::GivenUp;
        self.kept = Vec::new();
    }
}

// === impl Kept ===

impl Kept {
    /// Bytes of data.
    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

impl From<Kept> for Frame<Bytes> {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Data(data) => Self::data(data),
            Kept::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

#[cfg(test)]
mod tests;
