//! What breakers, limits and balancing have in common: a call is let through or refused at once, and
//! how it ends is heard.
//!
//! A [`Gate`] decides, [`GateService`] is the service around which any gate becomes a layer. A
//! policy of your own needs no more than these two traits:
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering};
//! use resilience_tower::gate::{Admitted, Gate, GateService, Hears};
//! use resilience_tower::{BoxError, Refused};
//! use tower::{ServiceExt, service_fn};
//!
//! /// Refuses all calls while it is closed.
//! #[derive(Clone, Default)]
//! struct Switch(Arc<AtomicBool>);
//!
//! impl<Req> Gate<Req> for Switch {
//!     type Ticket = ();
//!
//!     fn admit(&self, _: &Req) -> Result<Admitted<()>, Refused> {
//!         if self.0.load(Ordering::Relaxed) {
//!             return Err(Refused::Policy { name: "switched_off", retry_after: None });
//!         }
//!         Ok(Admitted::at_once(()))
//!     }
//! }
//!
//! impl<T> Hears<(), T> for Switch {
//!     fn ended(&self, _: (), _: &T) {}
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let switch = Switch::default();
//! let service = service_fn(async |name: &'static str| Ok::<_, BoxError>(format!("hello, {name}")));
//! let service = GateService::new(switch.clone(), service);
//! assert!(service.clone().oneshot("you").await.is_ok());
//! switch.0.store(true, Ordering::Relaxed);
//! assert!(service.oneshot("you").await.is_err());
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use crate::clock;
use crate::error::{Error, Refused};
use crate::oneshot::Oneshot;

/// Lets calls through or refuses them.
pub trait Gate<Req> {
    /// What a call holds while it is under way. Dropped with the call, it gives back whatever it
    /// stands for.
    type Ticket;

    /// Decides on a call, without waiting.
    ///
    /// # Errors
    ///
    /// Why the call is refused.
    fn admit(&self, req: &Req) -> Result<Admitted<Self::Ticket>, Refused>;
}

/// Hears how a call has ended that was let through with a ticket. One that is dropped before is not
/// heard of.
pub trait Hears<Ticket, T> {
    /// It ended so.
    fn ended(&self, ticket: Ticket, outcome: &T);
}

/// A call that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admitted<Ticket> {
    /// What it holds.
    pub ticket: Ticket,
    /// It begins after this wait.
    pub wait: Duration,
}

/// A service whose calls pass through a gate.
#[derive(Debug, Clone, Copy)]
pub struct GateService<S, G> {
    gate: G,
    inner: S,
}

pin_project! {
    /// A call that waits for its turn, is under way, or was refused.
    #[derive(Debug)]
    pub struct ResponseFuture<F, G, Ticket> {
        gate: G,
        ticket: Option<Ticket>,
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Waiting { #[pin] turn: Sleep, call: Option<F> },
        Calling { #[pin] call: F },
        Refused { by: Refused },
    }
}

/// Carries out a plain call through a gate.
pub(crate) async fn pass<G, Req, F, T, E>(gate: &G, req: &Req, call: F) -> Result<T, Error<E>>
where
    G: Gate<Req> + Hears<G::Ticket, Result<T, E>>,
    F: Future<Output = Result<T, E>>,
{
    let Admitted { ticket, wait } = gate.admit(req)?;
    if !wait.is_zero() {
        clock::sleep(wait).await;
    }
    let outcome = call.await;
    gate.ended(ticket, &outcome);
    outcome.map_err(Error::Inner)
}

// === impl Admitted ===

impl<Ticket> Admitted<Ticket> {
    /// Without a wait.
    pub const fn at_once(ticket: Ticket) -> Self {
        Self::after(Duration::ZERO, ticket)
    }

    /// After a wait, which is part of the call: a timeout around it counts it.
    pub const fn after(wait: Duration, ticket: Ticket) -> Self {
        Self { ticket, wait }
    }
}

// === impl GateService ===

impl<S, G> GateService<S, G> {
    /// Calls of a service through a gate.
    pub const fn new(gate: G, inner: S) -> Self {
        Self { gate, inner }
    }
}

impl<S, G, Req> Service<Req> for GateService<S, G>
where
    S: Service<Req> + Clone,
    S::Error: From<Refused>,
    G: Gate<Req> + Hears<G::Ticket, Result<S::Response, S::Error>> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<Oneshot<S, Req>, G, G::Ticket>;

    /// Always ready, and nothing is reserved: the gate decides in the call and refuses by its
    /// answer, and the wait for the service below is part of it.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let gate = self.gate.clone();
        let Admitted { ticket, wait } = match gate.admit(&req) {
            Ok(admitted) => admitted,
            Err(by) => return ResponseFuture::refused(gate, by),
        };
        let call = Oneshot::new(self.inner.clone(), req);
        if wait.is_zero() {
            ResponseFuture::begun(gate, ticket, call)
        } else {
            ResponseFuture::waiting(gate, ticket, call, wait)
        }
    }
}

// === impl ResponseFuture ===

impl<F, G, Ticket> ResponseFuture<F, G, Ticket> {
    pub(crate) fn begun(gate: G, ticket: Ticket, call: F) -> Self {
        Self { gate, ticket: Some(ticket), state: State::Calling { call } }
    }

    pub(crate) fn refused(gate: G, by: Refused) -> Self {
        Self { gate, ticket: None, state: State::Refused { by } }
    }

    fn waiting(gate: G, ticket: Ticket, call: F, wait: Duration) -> Self {
        let state = State::Waiting { turn: clock::sleep(wait), call: Some(call) };
        Self { gate, ticket: Some(ticket), state }
    }
}

impl<F, G, Ticket, T, E> Future for ResponseFuture<F, G, Ticket>
where
    F: Future<Output = Result<T, E>>,
    G: Hears<Ticket, Result<T, E>>,
    E: From<Refused>,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Waiting { turn, call } => {
                    ready!(turn.poll(cx));
                    let call = call.take().expect("it is taken once, as the state changes");
                    this.state.set(State::Calling { call });
                }
                StateProj::Calling { call } => {
                    let outcome = ready!(call.poll(cx));
                    if let Some(ticket) = this.ticket.take() {
                        this.gate.ended(ticket, &outcome);
                    }
                    return Poll::Ready(outcome);
                }
                StateProj::Refused { by } => return Poll::Ready(Err((*by).into())),
            }
        }
    }
}
