//! One call to a service, from waiting until it is ready to its answer.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tower_service::Service;

use crate::error::Refused;

pin_project! {
    /// Waits until a service of its own is ready, then calls it.
    ///
    /// Layers of this crate decide first and wait then, inside the call: so a permit covers the
    /// wait, a timeout ends it, and no layer reserves anything in `poll_ready` that a call which
    /// never comes could keep.
    pub struct Oneshot<S, Req>
    where
        S: Service<Req>,
    {
        #[pin]
        state: State<S, Req>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Req>
    where
        S: Service<Req>,
    {
        Waiting { service: S, req: Option<Req> },
        Calling { #[pin] call: S::Future },
    }
}

pin_project! {
    /// A call, or a refusal in its place.
    #[project = OrRefusedProj]
    #[derive(Debug)]
    pub(crate) enum OrRefused<F> {
        Call { #[pin] call: F },
        Refused { by: Refused },
    }
}

/// A function as a service: each call is one call of it.
#[derive(Debug, Clone)]
pub(crate) struct FnService<F>(pub(crate) F);

// === impl Oneshot ===

impl<S: Service<Req>, Req> Oneshot<S, Req> {
    pub(crate) fn new(service: S, req: Req) -> Self {
        Self { state: State::Waiting { service, req: Some(req) } }
    }
}

impl<S: Service<Req>, Req> Future for Oneshot<S, Req> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Waiting { service, req } => {
                    ready!(service.poll_ready(cx))?;
                    let req = req.take().expect("it is taken once, as the state changes");
                    let call = service.call(req);
                    state.set(State::Calling { call });
                }
                StateProj::Calling { call } => return call.poll(cx),
            }
        }
    }
}

impl<S: Service<Req>, Req> fmt::Debug for Oneshot<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oneshot").finish_non_exhaustive()
    }
}

// === impl OrRefused ===

impl<F, T, E> Future for OrRefused<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Refused>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            OrRefusedProj::Call { call } => call.poll(cx),
            OrRefusedProj::Refused { by } => Poll::Ready(Err((*by).into())),
        }
    }
}

// === impl FnService ===

impl<F, Fut, T, E> Service<()> for FnService<F>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    type Response = T;
    type Error = E;
    type Future = Fut;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Fut {
        (self.0)()
    }
}
