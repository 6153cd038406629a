//! One request of ours to another process of ours.

use axum::body::{Body, to_bytes};
use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use weft_runtime::task;

/// Sends a request on a connection that serves no other, and reads the whole answer. `name` is that
/// of the task meanwhile. An answer of more than `answer_bytes_max` is none of ours.
///
/// # Errors
///
/// When the connection ends before the answer does, or the answer is none of ours.
pub(crate) async fn exchange(
    name: &'static str,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mut req: Request<Body>,
    answer_bytes_max: usize,
) -> anyhow::Result<(StatusCode, Vec<u8>)> {
    req.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = task::spawn(name, connection);
    let rsp = sender.send_request(req).await?;
    let status = rsp.status();
    let bytes = to_bytes(Body::new(rsp.into_body()), answer_bytes_max).await;
    connection.abort();
    Ok((status, bytes?.to_vec()))
}
