//! Connections and streams of an HTTP/2 origin.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{H2Recorded, Shared};
use crate::echo::Echo;
use crate::grpc::{decode_messages, encode_message};
use crate::h2_client::{pairs, send_data};
use crate::raw_origin::lock;

type Failed = Box<dyn std::error::Error + Send + Sync>;

pub(super) async fn accept_all(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((tcp, _)) = listener.accept().await {
        let _ = tcp.set_nodelay(true);
        *lock(&shared.connections) += 1;
        let shared = shared.clone();
        drop(tokio::spawn(async move {
            match shared.tls.clone() {
                None => connection(tcp, shared).await,
                Some(tls) => {
                    if let Ok(tls) = TlsAcceptor::from(tls).accept(tcp).await {
                        connection(tls, shared).await;
                    }
                }
            }
        }));
    }
}

async fn connection<T: AsyncRead + AsyncWrite + Unpin>(io: T, shared: Arc<Shared>) {
    let Ok(mut connection) = h2::server::handshake(io).await else { return };
    let mut rounds = shared.rounds.subscribe();
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            Ok(()) = rounds.changed() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else { return };
        let shared = shared.clone();
        drop(tokio::spawn(async move {
            // A stream that the client gave up ends with an error, which the record tells.
            let _ = stream(request, respond, shared).await;
        }));
    }
}

async fn stream(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: Arc<Shared>,
) -> Result<(), Failed> {
    let (head, mut body) = request.into_parts();
    let index = {
        let mut streams = lock(&shared.streams);
        streams.push(H2Recorded { echo: echo(&head, &shared.name), is_reset: false });
        streams.len() - 1
    };
    let path = head.uri.path().to_owned();
    let result = match path.strip_prefix("/weft.test.Echo/") {
        Some(method) => grpc(method, &mut body, &mut respond).await,
        None => plain(&path, &mut body, &mut respond, &shared, index).await,
    };
    if result.is_err() {
        lock(&shared.streams)[index].is_reset = true;
    }
    result
}

async fn plain(
    path: &str,
    body: &mut RecvStream,
    respond: &mut SendResponse<Bytes>,
    shared: &Shared,
    index: usize,
) -> Result<(), Failed> {
    if path == "/reset" {
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
        return Ok(());
    }
    if path == "/slow" {
        wait_for_gate(shared, respond).await?;
    }
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let echo = {
        let record = &mut lock(&shared.streams)[index];
        record.echo.set_body(&bytes);
        record.echo.trailers = pairs(&trailers);
        record.echo.clone()
    };
    let status = path.strip_prefix("/status/").and_then(|code| code.parse::<u16>().ok());
    let response = Response::builder()
        .status(status.unwrap_or(200))
        .header("content-type", "application/json")
        .body(())?;
    let is_empty = echo.method == "HEAD" || matches!(status, Some(204 | 304));
    let mut send = respond.send_response(response, is_empty)?;
    if !is_empty {
        send_data(&mut send, echo.to_json().into(), true).await?;
    }
    Ok(())
}

/// Polls, because a gate belongs to threads.
async fn wait_for_gate(shared: &Shared, respond: &mut SendResponse<Bytes>) -> Result<(), Failed> {
    loop {
        let tick = tokio::time::sleep(Duration::from_millis(5));
        tokio::select! {
            reason = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {
                reason?;
                return Err("the client gave up".into());
            }
            () = tick => {}
        }
        if shared.gate.is_open() {
            return Ok(());
        }
    }
}

async fn grpc(
    method: &str,
    body: &mut RecvStream,
    respond: &mut SendResponse<Bytes>,
) -> Result<(), Failed> {
    let head = Response::builder().header("content-type", "application/grpc");
    match method {
        "Fail" => {
            let head = head.header("grpc-status", "7").header("grpc-message", "not%20today");
            respond.send_response(head.body(())?, true)?;
            return Ok(());
        }
        "Hang" => {
            std::future::poll_fn(|cx| respond.poll_reset(cx)).await?;
            return Err("the client gave up".into());
        }
        _ => {}
    }
    let mut send = respond.send_response(head.body(())?, false)?;
    let mut buffer = Vec::new();
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        buffer.extend_from_slice(&data);
        for message in decode_messages(&mut buffer) {
            if method == "Bidi" {
                message_out(&mut send, &message).await?;
            }
            all.push(message);
        }
    }
    match method {
        "Unary" => message_out(&mut send, all.first().map_or(&[], Vec::as_slice)).await?,
        "ServerStream" => {
            for index in 1..=3 {
                let first = all.first().map_or(&[][..], Vec::as_slice);
                let text = format!("{} {index}", String::from_utf8_lossy(first));
                message_out(&mut send, text.as_bytes()).await?;
            }
        }
        "ClientStream" => message_out(&mut send, &all.join(&b','.to_owned())).await?,
        _ => {}
    }
    let mut trailers = HeaderMap::new();
    let status = if matches!(method, "Unary" | "ServerStream" | "ClientStream" | "Bidi") {
        "0"
    } else {
        "12"
    };
    trailers.insert("grpc-status", http::HeaderValue::from_static(status));
    send.send_trailers(trailers)?;
    Ok(())
}

async fn message_out(send: &mut SendStream<Bytes>, message: &[u8]) -> Result<(), h2::Error> {
    send_data(send, encode_message(message).into(), false).await
}

fn echo(head: &http::request::Parts, name: &str) -> Echo {
    Echo {
        backend: name.into(),
        method: head.method.as_str().into(),
        target: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: "HTTP/2".into(),
        host: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
        headers: pairs(&head.headers),
        body_bytes: 0,
        body: None,
        trailers: Vec::new(),
    }
}
