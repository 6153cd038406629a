//! Measures what an idle TLS connection costs the server's process.
//!
//! `idle_memory [CONNECTIONS] [ours|tokio-rustls]` starts itself once more as the client, does a
//! handshake, one request and one answer on every connection, and compares the resident memory.

#![allow(clippy::print_stdout, reason = "an example prints its result")]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weft_model::backend::{UpstreamProtocol, UpstreamTls};
use weft_model::listener::{Certificate, TlsEntry, TlsOptions, TlsTable};
use weft_net::buffer::Inbox;
use weft_net::{BufferPool, Stream};
use weft_tls::{ClientTls, ServerTls, TlsStream, certificate, handshake};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: example\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Connections made before the first measurement, so that one-time costs are not counted.
const WARM_UP: usize = 200;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let mut args = std::env::args_os().skip(1).filter_map(|arg| arg.into_string().ok());
    let first = args.next().unwrap_or_else(|| "5000".into());
    if first == "client" {
        let addr =
            args.next().and_then(|text| text.parse().ok()).ok_or(io::ErrorKind::InvalidInput)?;
        let count = args.next().and_then(|text| text.parse().ok()).unwrap_or(1);
        return client(addr, count).await;
    }
    let count: usize = first.parse().unwrap_or(5000);
    let ours = args.next().is_none_or(|name| name == "ours");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let mut client = Command::new(std::env::current_exe()?)
        .args(["client", &listener.local_addr()?.to_string(), &(count + WARM_UP).to_string()])
        .stdin(Stdio::piped())
        .spawn()?;
    let tls = server()?;
    let pool = BufferPool::default();
    let mut idle: Vec<Box<dyn Idle>> = Vec::with_capacity(count + WARM_UP);
    let mut before = 0;
    for number in 0..count + WARM_UP {
        if number == WARM_UP {
            before = resident_bytes()?;
        }
        let (stream, _) = listener.accept().await?;
        idle.push(if ours {
            Box::new(serve(accept(stream, &tls, &pool).await?).await?)
        } else {
            let config = tls.select(None).map_err(io::Error::other)?.config().clone();
            let acceptor = tokio_rustls::TlsAcceptor::from(config);
            Box::new(serve(acceptor.accept(stream).await?).await?)
        });
    }
    let used = resident_bytes()?.saturating_sub(before);
    println!(
        "{} idle connections: {} bytes each ({} buffers on loan)",
        count,
        used / count,
        pool.lent()
    );
    drop(idle);
    drop(client.stdin.take());
    client.wait().map(drop)
}

/// Anything that is kept.
trait Idle {}
impl<T> Idle for T {}

async fn accept(
    mut stream: TcpStream,
    tls: &ServerTls,
    pool: &BufferPool,
) -> io::Result<TlsStream<TcpStream>> {
    let mut inbox = Inbox::new(pool);
    let hello = handshake::read_hello(&mut stream, &mut inbox).await.map_err(io::Error::other)?;
    let selected = tls.select(hello.server_name.as_deref()).map_err(io::Error::other)?;
    handshake::accept(stream, inbox, hello, &selected).await.map_err(io::Error::other)
}

/// Answers one request; then polls for the next, as an idle server does.
async fn serve<S>(mut stream: S) -> io::Result<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = [0; REQUEST.len()];
    stream.read_exact(&mut request).await?;
    stream.write_all(ANSWER).await?;
    stream.flush().await?;
    std::future::poll_fn(|cx| {
        let mut target = [0; 100];
        let mut target = tokio::io::ReadBuf::new(&mut target);
        let _ = std::pin::Pin::new(&mut stream).poll_read(cx, &mut target);
        std::task::Poll::Ready(())
    })
    .await;
    Ok(stream)
}

fn server() -> io::Result<ServerTls> {
    let (chain, key) = certificate::self_signed(&["localhost"], weft_runtime::time::wall());
    let certificate = Certificate {
        origin: "example".into(),
        chain_pem: chain.into_bytes().into(),
        key_pem: key.into_bytes().into(),
        names: vec!["localhost".into()],
    };
    let entry = TlsEntry {
        host: "".into(),
        deep: false,
        certificates: vec![Arc::new(certificate)],
        options: Arc::new(TlsOptions::modern()),
        site: "".into(),
    };
    let table = TlsTable { entries: Vec::new(), default: Some(entry) };
    ServerTls::build(&table, None).map_err(|errors| io::Error::other(format!("{errors:?}")))
}

async fn client(addr: SocketAddr, count: usize) -> io::Result<()> {
    let tls = UpstreamTls { insecure_skip_verify: true, ..UpstreamTls::default() };
    let tls = ClientTls::build(&tls, Some(UpstreamProtocol::Http1)).map_err(io::Error::other)?;
    let pool = BufferPool::default();
    let mut idle: Vec<Box<dyn Idle>> = Vec::new();
    for _ in 0..count {
        let stream = TcpStream::connect(addr).await?;
        idle.push(Box::new(ask(stream, &tls, &pool).await?));
    }
    // The server ends its side when it has measured.
    tokio::task::yield_now().await;
    let mut end = String::new();
    io::stdin().read_line(&mut end).map(drop)
}

async fn ask<S: Stream>(stream: S, tls: &ClientTls, pool: &BufferPool) -> io::Result<TlsStream<S>> {
    let mut stream =
        weft_tls::connect(stream, tls, "localhost", pool).await.map_err(io::Error::other)?;
    stream.write_all(REQUEST).await?;
    stream.flush().await?;
    let mut answer = [0; ANSWER.len()];
    stream.read_exact(&mut answer).await?;
    Ok(stream)
}

fn resident_bytes() -> io::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/statm")?;
    let pages = status.split(' ').nth(1).and_then(|text| text.parse::<usize>().ok());
    Ok(pages.ok_or(io::ErrorKind::InvalidData)? * 4096)
}
