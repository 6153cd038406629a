//! Requests of gRPC, as tonic makes them.

use ::http::Request;
use tonic::body::Body;

use super::{HttpReplay, Replay, ReplayBody};
use crate::balance::Tried;
use crate::error::Stop;
use crate::hop;

/// Bytes of messages that are kept for another attempt.
const KEPT_MAX: usize = 64 * 1024;

/// Repeats the requests of clients that tonic has generated.
///
/// Messages are kept as they are sent, up to 64 KiB of them unless
/// [`kept_max`](Self::kept_max) says otherwise; a call that has sent more is not repeated.
/// All calls are POST, so it is the status that says what may be repeated: by default
/// UNAVAILABLE, which servers give for calls that they have not begun to carry out. Like
/// [`HttpReplay`] it repeats no retry of another caller's and numbers attempts.
#[derive(Debug, Clone, Copy)]
pub struct GrpcReplay {
    kept_max: usize,
}

/// What further attempts are made of.
#[derive(Debug)]
pub struct Kept {
    head: Request<()>,
    body: ReplayBody<Body>,
}

// === impl GrpcReplay ===

impl GrpcReplay {
    /// As the page of this type says.
    #[must_use]
    pub const fn new() -> Self {
        Self { kept_max: KEPT_MAX }
    }

    /// Keeps up to so many bytes of messages; 0 repeats only calls without any.
    #[must_use]
    pub const fn kept_max(self, bytes: usize) -> Self {
        Self { kept_max: bytes }
    }

    /// Keeps a request if it is permitted.
    fn keep_if(
        self,
        permitted: Result<(), Stop>,
        req: Request<Body>,
    ) -> (Request<Body>, Result<Kept, Stop>) {
        if let Err(stop) = permitted {
            return (req, Err(stop));
        }
        let (mut head, body) = req.into_parts();
        head.extensions.get_or_insert_default::<Tried>();
        let body = ReplayBody::new(body, self.kept_max);
        let kept = Kept { head: Request::from_parts(head, ()), body };
        let first = kept.request().expect("a body is kept until it is read");
        (first, Ok(kept))
    }
}

impl Default for GrpcReplay {
    fn default() -> Self {
        Self::new()
    }
}

impl Replay<Request<Body>> for GrpcReplay {
    type Kept = Kept;

    fn keep(&self, req: Request<Body>) -> (Request<Body>, Result<Kept, Stop>) {
        self.keep_if(any_method().permits(req.method(), req.headers()), req)
    }

    fn keep_beside(&self, req: Request<Body>) -> (Request<Body>, Result<Kept, Stop>) {
        self.keep_if(any_method().permits_beside(&req), req)
    }

    fn again(&self, kept: &Kept) -> Option<Request<Body>> {
        kept.request()
    }

    fn number(&self, req: &mut Request<Body>, attempt: u32) {
        hop::set_attempt(req.headers_mut(), attempt);
    }
}

// === impl Kept ===

impl Kept {
    fn request(&self) -> Option<Request<Body>> {
        let body = Body::new(self.body.try_clone()?);
        Some(self.head.clone().map(|()| body))
    }
}

// === functions ===

/// What knows retries of others by their fields. All calls are POST.
fn any_method() -> HttpReplay {
    HttpReplay::new().any_method()
}
