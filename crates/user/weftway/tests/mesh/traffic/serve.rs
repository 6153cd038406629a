//! What an application serves: whatever it is sent comes back.

use std::net::IpAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Response};
use h2::RecvStream;
use h2::server::SendResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weft_runtime::task;

use super::PORTS;

/// What a server of TCP says first.
pub(super) const GREETING: &[u8] = b"220 ready\r\n";

/// Serves from now on.
pub(super) async fn start(ip: IpAddr) {
    let [http, grpc, tcp] = PORTS.map(|port| port.parse::<u16>().unwrap());
    let listen = async |port: u16| TcpListener::bind((ip, port)).await.unwrap();
    let (http, grpc, tcp) = (listen(http).await, listen(grpc).await, listen(tcp).await);
    let app = Router::new().fallback(|body: Bytes| async move { body });
    task::spawn("http", async move { axum::serve(http, app).await });
    accept(grpc, calls);
    accept(tcp, lines);
}

fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F + 'static)
where
    F: Future + 'static,
{
    task::spawn("listener", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = serve(stream);
            task::spawn("connection", async move {
                served.await;
            });
        }
    });
}

async fn calls(stream: TcpStream) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        task::spawn("call", async move { call(request, respond).await });
    }
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) -> Option<()> {
    let head = Response::builder().header("content-type", "application/grpc").body(()).ok()?;
    let mut answer = respond.send_response(head, false).ok()?;
    let mut messages = request.into_body();
    while let Some(data) = messages.data().await {
        let data = data.ok()?;
        messages.flow_control().release_capacity(data.len()).ok()?;
        if data.is_empty() {
            // No server of gRPC sends such a frame but as its last.
            continue;
        }
        answer.send_data(data, false).ok()?;
    }
    let trailers = HeaderMap::from_iter([("grpc-status".parse().ok()?, "0".parse().ok()?)]);
    answer.send_trailers(trailers).ok()
}

async fn lines(mut stream: TcpStream) {
    let mut bytes = [0; 4096];
    if stream.write_all(GREETING).await.is_err() {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        if stream.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
