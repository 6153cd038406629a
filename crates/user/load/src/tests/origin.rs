//! A server on a loopback port of the system's choice that misbehaves by path.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use crate::Protocol;

/// How long the first answer of `/slow-first` takes.
const STALL: Duration = Duration::from_millis(300);

/// A running origin. Its threads end with the test process.
pub(super) struct Origin {
    addr: SocketAddr,
    scheme: &'static str,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl Origin {
    pub(super) fn http1() -> Self {
        Self::serve("http", |tcp, counts| serve_http1(tcp, &counts))
    }

    pub(super) fn http2() -> Self {
        Self::serve("http", |tcp, counts| block_on(serve_http2_plain(tcp, counts)))
    }

    /// With a certificate for `origin.test`, which comes back as PEM.
    pub(super) fn tls(protocol: Protocol) -> (Self, Vec<u8>) {
        let made = rcgen::generate_simple_self_signed(vec!["origin.test".to_owned()])
            .expect("a fixed name makes a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the default versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("the key belongs to the certificate");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let origin = match protocol {
            Protocol::Http1 => Self::serve("https", move |tcp, counts| {
                let session = ServerConnection::new(config.clone()).expect("the config is valid");
                serve_http1(StreamOwned::new(session, tcp), &counts);
            }),
            Protocol::Http2 => Self::serve("https", move |tcp, counts| {
                block_on(serve_http2_tls(tcp, config.clone(), counts));
            }),
        };
        (origin, made.cert.pem().into_bytes())
    }

    /// An address on which nobody listens.
    pub(super) fn closed_port() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        listener.local_addr().expect("a bound listener has an address")
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    /// Connections accepted so far.
    pub(super) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Requests received so far.
    pub(super) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    fn serve(
        scheme: &'static str,
        serve: impl Fn(TcpStream, Arc<Counts>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let addr = listener.local_addr().expect("a bound listener has an address");
        let counts = Arc::new(Counts::default());
        let (shared, serve) = (counts.clone(), Arc::new(serve));
        std::thread::spawn(move || {
            for tcp in listener.incoming().map_while(Result::ok) {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (serve, counts) = (serve.clone(), shared.clone());
                std::thread::spawn(move || serve(tcp, counts));
            }
        });
        Self { addr, scheme, counts }
    }
}

/// Waits `time` without an answer that could come.
fn wait(time: Duration) {
    let (_sender, never): (_, Receiver<()>) = channel();
    let _ = never.recv_timeout(time);
}

fn serve_http1<S: Read + Write>(stream: S, counts: &Counts) {
    let mut stream = BufReader::new(stream);
    while let Some((path, length)) = read_request(&mut stream) {
        let earlier = counts.requests.fetch_add(1, Ordering::SeqCst);
        let length_head =
            |length: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let (answer, is_last) = match path.as_str() {
            "/chunked" => (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
                    .to_owned(),
                false,
            ),
            "/close" => ("HTTP/1.1 200 OK\r\n\r\nhello".to_owned(), true),
            "/then-close" => (length_head(5) + "hello", true),
            "/garbage" => ("SSH-2.0-nope\r\n\r\n".to_owned(), true),
            "/drop" => return,
            "/stall" => return wait(Duration::from_secs(5)),
            "/echo" => (length_head(length) + &"x".repeat(length), false),
            _ => {
                if path == "/slow-first" && earlier == 0 {
                    wait(STALL);
                }
                (length_head(5) + "hello", false)
            }
        };
        let written = stream.get_mut().write_all(answer.as_bytes());
        if written.and_then(|()| stream.get_mut().flush()).is_err() || is_last {
            return;
        }
    }
}

/// The path and the number of body bytes of the next request.
fn read_request<S: Read>(stream: &mut BufReader<S>) -> Option<(String, usize)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut field = String::new();
        stream.read_line(&mut field).ok().filter(|length| *length > 0)?;
        if field == "\r\n" {
            break;
        }
        if let Some(value) = field.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let read = std::io::copy(&mut stream.by_ref().take(length), &mut std::io::sink()).ok()?;
    Some((path, read as usize))
}

fn block_on(task: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime needs two descriptors").block_on(task);
}

async fn serve_http2_plain(tcp: TcpStream, counts: Arc<Counts>) {
    serve_http2(to_tokio(tcp), counts).await;
}

async fn serve_http2_tls(tcp: TcpStream, config: Arc<ServerConfig>, counts: Arc<Counts>) {
    if let Ok(tls) = TlsAcceptor::from(config).accept(to_tokio(tcp)).await {
        serve_http2(tls, counts).await;
    }
}

fn to_tokio(tcp: TcpStream) -> tokio::net::TcpStream {
    tcp.set_nonblocking(true).expect("an accepted socket can be made non-blocking");
    tokio::net::TcpStream::from_std(tcp).expect("a runtime is running")
}

async fn serve_http2<S>(stream: S, counts: Arc<Counts>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let local = tokio::task::LocalSet::new();
    let serve = async {
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            counts.requests.fetch_add(1, Ordering::SeqCst);
            if request.uri().path() == "/then-goaway" {
                connection.graceful_shutdown();
            }
            if request.uri().path() == "/reset" {
                respond.send_reset(h2::Reason::INTERNAL_ERROR);
                continue;
            }
            tokio::task::spawn_local(answer_http2(request, respond));
        }
    };
    local.run_until(serve).await;
}

/// A body as long as the request's, or five bytes.
async fn answer_http2(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    let mut body = request.into_body();
    let mut length = 0;
    while let Some(Ok(data)) = body.data().await {
        length += data.len();
        let _ = body.flow_control().release_capacity(data.len());
    }
    let length = if length == 0 { 5 } else { length };
    if let Ok(mut stream) = respond.send_response(http::Response::new(()), false) {
        let _ = stream.send_data(Bytes::from(vec![b'x'; length]), true);
    }
}
