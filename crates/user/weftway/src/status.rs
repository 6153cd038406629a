//! The status socket of a control plane: who has which certificate, what each proxy has in force,
//! and the rotation of the root.
//!
//! Whoever reaches it can replace the root of the mesh and admit workloads, so it is a Unix socket
//! of the owner's alone (mode 0600), and the kernel is asked who calls besides.
//!
//! What it shows lives on the control thread, and so does all of this.

mod client;
pub(crate) mod views;

use std::convert::Infallible;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use weft_admin_api::rotation::{RefusalView, StepName};
use weft_admin_api::{
    BaseView, IntermediateRequest, IssuerRequest, RotationView, TokenRequest, TokenView,
};
use weft_authority::{IdentityPattern, RefusedRotation};
use weft_controlplane::{CannotChange, ControlPlane};
use weft_runtime::{task, time};

use crate::authority;
use crate::control::bind_unix_private;

pub(crate) use client::{Answer, StatusClient};

/// The socket's name in the folder of a control plane.
const SOCKET: &str = "admin.sock";

/// A body that is sent here is a scope and a number, or an authority with its keys.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// A head that takes longer, or a connection that idles longer, is closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Whole life of a connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(600);

/// After accepting failed (descriptors are exhausted, say).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const INDEX: &str = "\
weftway control plane
GET  /certificates         every certificate, its age, what would break when
GET  /proxies              what each proxy has in force
GET  /roots                the roots that the mesh trusts, PEM
GET  /rotation             how far a rotation of the root is, and what it waits for
POST /rotation/STEP        prepare, switch, retire, cancel or revert; prepare takes a root of yours
POST /intermediate         an intermediate of yours, with its key, signs from now on
GET  /base                 what the mesh is compiled from: files followed, workloads that run
POST /tokens               a join token for {\"scope\": ..., \"lifetime_secs\": ...}
";

/// Listens in the folder of a control plane.
///
/// # Errors
///
/// When the folder takes no socket, or another control plane has it.
pub(crate) fn bind(state: &Path) -> anyhow::Result<UnixListener> {
    bind_unix_private(&state.join(SOCKET))
}

/// Serves until the process ends.
///
/// Cancel safe: dropping it stops accepting; connections that are open go on.
pub(crate) async fn serve(
    listener: UnixListener,
    plane: ControlPlane,
    base: watch::Receiver<BaseView>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_welcome(&stream) => {
                let connection = connection(stream, plane.clone(), base.clone());
                task::spawn("status-connection", async move {
                    let _ = time::timeout(CONNECTION_TIMEOUT, connection).await;
                });
            }
            Ok(_) => tracing::warn!(target: "audit", "a stranger asked for the status; refused"),
            Err(error) => {
                tracing::warn!(%error, "the status socket cannot accept a connection");
                time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The mode of the socket says so too, from a moment after it was made.
fn is_welcome(stream: &UnixStream) -> bool {
    let own = rustix::process::getuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn connection(stream: UnixStream, plane: ControlPlane, base: watch::Receiver<BaseView>) {
    let service = service_fn(|req| async {
        let mut rsp = answer(&plane, &base, req).await;
        rsp.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok::<_, Infallible>(rsp)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a status connection broke");
    }
}

async fn answer(
    plane: &ControlPlane,
    base: &watch::Receiver<BaseView>,
    req: Request<Incoming>,
) -> Response {
    let path = req.uri().path().to_owned();
    let step = path.strip_prefix("/rotation/");
    let step = step.and_then(|name| StepName::ALL.into_iter().find(|it| it.as_str() == name));
    let is_read = matches!(*req.method(), Method::GET | Method::HEAD);
    match (&*path, step) {
        ("/", _) if is_read => INDEX.into_response(),
        ("/base", _) if is_read => Json(base.borrow().clone()).into_response(),
        ("/certificates", _) if is_read => Json(views::certificates_now(plane)).into_response(),
        ("/proxies", _) if is_read => Json(views::proxies_now(plane)).into_response(),
        ("/roots", _) if is_read => {
            let kind = [(CONTENT_TYPE, "application/x-pem-file")];
            (kind, plane.rotation().bundle().to_pem()).into_response()
        }
        ("/rotation", _) if is_read => Json(views::rotation_now(plane)).into_response(),
        ("/tokens", _) if req.method() == Method::POST => token(plane, req.into_body()).await,
        ("/intermediate", _) if req.method() == Method::POST => {
            intermediate(plane, req.into_body()).await
        }
        (_, Some(step)) if req.method() == Method::POST => turn(plane, step, req.into_body()).await,
        ("/tokens" | "/intermediate", _) | (_, Some(_)) => wrong_method("POST"),
        ("/" | "/base" | "/certificates" | "/proxies" | "/roots" | "/rotation", _) => {
            wrong_method("GET, HEAD")
        }
        _ => (StatusCode::NOT_FOUND, "not found; / lists what there is\n").into_response(),
    }
}

fn wrong_method(allow: &'static str) -> Response {
    let allow = [(ALLOW, allow)];
    (StatusCode::METHOD_NOT_ALLOWED, allow, "not that method\n").into_response()
}

/// Makes a step of the rotation. It is made or refused whether the caller waits for it or not.
async fn turn(plane: &ControlPlane, step: StepName, body: Incoming) -> Response {
    let next = match (step, read::<IssuerRequest>(body).await) {
        (StepName::Prepare, Ok(Some(request))) => {
            let found = plane.authority();
            match authority::issuer(&request, found.trust_domain(), found.lifetimes()) {
                Ok(issuer) => Some(issuer),
                Err(error) => return wrong(&error),
            }
        }
        (_, Ok(None)) => None,
        (_, Ok(Some(_))) => return wrong(&"only the first step takes a root"),
        (_, Err(error)) => return wrong(&error),
    };
    let made = made(plane, async move |plane| match step {
        StepName::Prepare => plane.prepare(next).await,
        StepName::Switch => plane.switch().await,
        StepName::Retire => plane.retire().await,
        StepName::Cancel => plane.cancel().await,
        StepName::Revert => plane.revert().await,
    });
    match made.await {
        Ok(()) => Json(views::rotation_now(plane)).into_response(),
        Err(refused) => refused,
    }
}

/// Lets an intermediate of the operator's sign.
async fn intermediate(plane: &ControlPlane, body: Incoming) -> Response {
    let request: Option<IntermediateRequest> = match read(body).await {
        Ok(request) => request,
        Err(error) => return wrong(&error),
    };
    let Some(request) = request else { return wrong(&"an intermediate and its key are needed") };
    let next = match authority::intermediate(&request, &plane.authority()) {
        Ok(next) => next,
        Err(error) => return wrong(&error),
    };
    match made(plane, async move |plane| plane.replace_intermediate(next).await).await {
        Ok(()) => Json(views::certificates_now(plane)).into_response(),
        Err(refused) => refused,
    }
}

/// Changes the authority, or says why not. It is done whether the caller waits for it or not.
async fn made(
    plane: &ControlPlane,
    change: impl AsyncFnOnce(ControlPlane) -> Result<(), CannotChange<RefusedRotation>> + 'static,
) -> Result<(), Response> {
    let changing = task::spawn("rotation", change(plane.clone()));
    match changing.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(refusal(&error, Some(views::rotation_now(plane)))),
        Err(task::Ended) => Err(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

/// A body of JSON; none stands for `null`.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<Option<T>, anyhow::Error> {
    let bytes = to_bytes(Body::new(body), BODY_BYTES_MAX).await?;
    Ok(if bytes.is_empty() { None } else { serde_json::from_slice(&bytes)? })
}

fn wrong(error: &dyn std::fmt::Display) -> Response {
    let view = RefusalView { message: error.to_string(), rotation: None };
    (StatusCode::BAD_REQUEST, Json(view)).into_response()
}

async fn token(plane: &ControlPlane, body: Incoming) -> Response {
    let asked: TokenRequest = match read(body).await {
        Ok(Some(asked)) => asked,
        Ok(None) => return wrong(&"a scope and a lifetime are needed"),
        Err(error) => return wrong(&error),
    };
    let scope: IdentityPattern = match asked.scope.parse() {
        Ok(scope) => scope,
        Err(error) => return wrong(&format_args!("`{}`: {error}", asked.scope)),
    };
    let lifetime = Duration::from_secs(asked.lifetime_secs);
    match plane.create_token(scope, lifetime).await {
        Ok(token) => {
            let lifetime_secs = asked.lifetime_secs;
            tracing::info!(target: "audit", scope = asked.scope, lifetime_secs, "a join token");
            let view = TokenView { token: token.as_str().to_owned(), scope: asked.scope };
            Json(view).into_response()
        }
        Err(error) => refusal(&error, None),
    }
}

/// 409 for what the authority refuses, 500 for what could not be written down.
fn refusal<E: Error + 'static>(
    error: &CannotChange<E>,
    rotation: Option<RotationView>,
) -> Response {
    let status = match error {
        CannotChange::Refused(_) => StatusCode::CONFLICT,
        CannotChange::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let causes = std::iter::successors(error.source(), |error| (**error).source());
    let message = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
    (status, Json(RefusalView { message, rotation })).into_response()
}
