//! What a sample service answers: who it is, and who calls as far as it was told.

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Request, Response};
use h2::RecvStream;
use h2::server::SendResponse;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};
use weft_runtime::task;

use crate::args::{DemoServiceArgs, SampleProtocol};

use super::call::framed;

/// The header in which the receiving proxy names both ends.
const CLIENT_CERT: &str = "x-forwarded-client-cert";

/// Listens, and serves from now on.
pub(super) async fn start(args: &DemoServiceArgs) -> anyhow::Result<()> {
    let listener = TcpListener::bind((args.address, args.port)).await;
    let listener = listener.context("the sample service cannot listen")?;
    let workload = args.workload.clone();
    match args.protocol {
        SampleProtocol::Http => {
            let answer = move |headers: HeaderMap| {
                std::future::ready(answer(&workload, &headers).to_string())
            };
            let app = Router::new().fallback(answer);
            task::spawn("sample-service", async move {
                if let Err(error) = axum::serve(listener, app).await {
                    tracing::error!(%error, "a sample service has ended");
                }
            });
        }
        SampleProtocol::Grpc => accept(listener, move |stream| grpc(stream, workload.clone())),
        SampleProtocol::Tcp => accept(listener, move |stream| lines(stream, workload.clone())),
    }
    Ok(())
}

/// Serves every connection by itself.
fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F + 'static)
where
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    task::spawn("sample-service", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let served = serve(stream);
            task::spawn("sample-connection", async move {
                if let Err(error) = served.await {
                    tracing::debug!("{error:#}");
                }
            });
        }
    });
}

/// Every method of every service gives the same message.
async fn grpc(stream: TcpStream, workload: String) -> anyhow::Result<()> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let workload = workload.clone();
        task::spawn("sample-stream", async move {
            if let Err(error) = reply(&workload, request, respond).await {
                tracing::debug!("{error:#}");
            }
        });
    }
    Ok(())
}

async fn reply(
    workload: &str,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> anyhow::Result<()> {
    let answer = answer(workload, request.headers());
    let mut message = request.into_body();
    while let Some(data) = message.data().await {
        message.flow_control().release_capacity(data?.len())?;
    }
    let head = Response::builder().header("content-type", "application/grpc").body(())?;
    let mut body = respond.send_response(head, false)?;
    body.send_data(framed(&answer), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse()?);
    Ok(body.send_trailers(trailers)?)
}

/// It speaks first, as a mail server or a database does.
async fn lines(stream: TcpStream, workload: String) -> anyhow::Result<()> {
    let mut stream = BufStream::new(stream);
    stream.write_all(format!("220 {workload} is ready\r\n").as_bytes()).await?;
    stream.flush().await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = answer(&workload, &HeaderMap::new());
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        stream.flush().await?;
        line.clear();
    }
    Ok(())
}

fn answer(workload: &str, headers: &HeaderMap) -> Value {
    let caller = headers.get(CLIENT_CERT).and_then(|value| value.to_str().ok());
    let caller = caller.and_then(|text| text.split(';').find_map(|part| part.strip_prefix("URI=")));
    json!({ "workload": workload, "caller": caller })
}
