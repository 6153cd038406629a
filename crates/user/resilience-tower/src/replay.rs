//! How a request is made again for another attempt.
//!
//! A request is given away with its first attempt, so who wants a second one keeps something to
//! make it of. A [`Replay`] knows how, and which requests must not be repeated.

use crate::error::Stop;

#[cfg(feature = "http")]
mod body;
#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "http")]
mod http;

#[cfg(feature = "http")]
pub use body::{ReplayBody, ReplayError};
#[cfg(feature = "tonic")]
pub use grpc::GrpcReplay;
#[cfg(feature = "http")]
pub use http::{ByClone, CopyBody, HttpReplay};

/// Makes requests again.
pub trait Replay<Req> {
    /// What further requests are made of.
    type Kept;

    /// The request for the first attempt, and what others are made of; or why there will be none.
    fn keep(&self, req: Req) -> (Req, Result<Self::Kept, Stop>);

    /// The same, where the others go out beside the first and not after it: for a
    /// [`Hedge`](crate::Hedge), which may stand below a [`Retry`](crate::Retry) and is given its
    /// attempts, with their numbers. By default there is no difference.
    fn keep_beside(&self, req: Req) -> (Req, Result<Self::Kept, Stop>) {
        self.keep(req)
    }

    /// A request like the first; `None` if it cannot be made any more.
    fn again(&self, kept: &Self::Kept) -> Option<Req>;

    /// Writes into a request which attempt it is, from 1. By default nothing is written.
    fn number(&self, req: &mut Req, attempt: u32) {
        let _ = (req, attempt);
    }
}

/// Repeats whatever can be cloned. The default; it is for you to know that doing it twice is safe.
#[derive(Debug, Clone, Copy, Default)]
pub struct CloneReplay;

// === impl CloneReplay ===

impl<Req: Clone> Replay<Req> for CloneReplay {
    type Kept = Req;

    fn keep(&self, req: Req) -> (Req, Result<Req, Stop>) {
        (req.clone(), Ok(req))
    }

    fn again(&self, kept: &Req) -> Option<Req> {
        Some(kept.clone())
    }
}
