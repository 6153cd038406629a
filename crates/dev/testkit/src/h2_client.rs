//! An HTTP/2 client as it should be, on the `h2` crate, for synchronous tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::background::Background;
use crate::echo::Echo;
use crate::grpc::{GrpcReply, decode_messages, encode_message};
use crate::raw_origin::lock;
use crate::response::Response;
use crate::stream::TlsDial;

/// One HTTP/2 connection.
#[derive(Debug)]
pub struct H2Client {
    background: Arc<Background>,
    send: SendRequest<Bytes>,
    scheme: &'static str,
    /// Why the connection ended, once it did.
    ended: Arc<Mutex<Option<Result<(), h2::Error>>>>,
}

/// A request.
#[derive(Debug, Clone)]
pub struct H2Request {
    method: String,
    authority: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    trailers: Vec<(String, String)>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct H2Response {
    /// Status.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: HeaderMap,
}

/// A stream being used piece by piece.
#[derive(Debug)]
pub struct H2Exchange {
    background: Arc<Background>,
    send: SendStream<Bytes>,
    response: Option<ResponseFuture>,
    receive: Option<RecvStream>,
}

// === impl H2Client ===

impl H2Client {
    /// Connects with prior knowledge.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn connect(addr: SocketAddr) -> Self {
        let background = Background::start();
        let tcp = background.wait("a connection", TcpStream::connect(addr));
        let tcp = tcp.expect("the address takes connections");
        Self::over(background, tcp, "http")
    }

    /// Connects over TLS; `h2` must be agreed on.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub fn connect_tls(addr: SocketAddr, dial: &TlsDial) -> Self {
        let background = Background::start();
        let name = ServerName::try_from(dial.server_name.clone().expect("a server name"));
        let connector = tokio_rustls::TlsConnector::from(dial.clone().alpn(&["h2"]).config());
        let tls = background.wait("a handshake", async {
            let tcp = TcpStream::connect(addr).await?;
            connector.connect(name.expect("a valid server name"), tcp).await
        });
        let tls = tls.expect("the handshake succeeds");
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "ALPN");
        Self::over(background, tls, "https")
    }

    /// Sends a request and reads the whole response.
    ///
    /// # Errors
    ///
    /// When the stream or the connection is reset.
    pub fn try_request(&self, request: H2Request) -> Result<H2Response, h2::Error> {
        let body = Bytes::from(request.body.clone());
        let trailers = header_map(&request.trailers);
        let mut exchange = self.try_open(request, body.is_empty() && trailers.is_empty())?;
        if !body.is_empty() || !trailers.is_empty() {
            let background = exchange.background.clone();
            let sent =
                background.wait("room to send", send_body(&mut exchange.send, body, trailers));
            // The peer may answer, and refuse the rest, before it has read everything.
            if let Err(error) = sent
                && !matches!(error.reason(), Some(h2::Reason::NO_ERROR | h2::Reason::STREAM_CLOSED))
                && !error.is_reset()
            {
                return Err(error);
            }
        }
        exchange.try_finish()
    }

    /// The same, where it must succeed.
    ///
    /// # Panics
    ///
    /// When the stream or the connection is reset.
    pub fn request(&self, request: H2Request) -> H2Response {
        self.try_request(request).expect("the stream is answered")
    }

    /// A GET.
    pub fn get(&self, authority: &str, target: &str) -> H2Response {
        self.request(H2Request::get(authority, target))
    }

    /// Opens a stream to be used piece by piece; its body stays open.
    ///
    /// # Panics
    ///
    /// When the connection does not take one.
    pub fn open(&self, request: H2Request) -> H2Exchange {
        self.try_open(request, false).expect("the connection takes a stream")
    }

    /// A gRPC call: all messages are sent, then the answer is read.
    pub fn grpc(&self, authority: &str, path: &str, messages: &[&str]) -> GrpcReply {
        let mut request = H2Request::grpc(authority, path);
        request.body = messages.iter().flat_map(encode_message).collect();
        let response = self.request(request);
        let field = |name: &str| response.trailers.get(name).or_else(|| response.headers.get(name));
        let mut body = response.body.clone();
        GrpcReply {
            http_status: response.status,
            status: field("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok()),
            message: field("grpc-message")
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .unwrap_or_default(),
            messages: decode_messages(&mut body),
            has_trailers: response.trailers.contains_key("grpc-status"),
        }
    }

    /// Whether the connection has ended, and how: `Some(None)` is in order.
    pub fn ended(&self) -> Option<Option<h2::Reason>> {
        match &*lock(&self.ended) {
            None => None,
            Some(Ok(())) => Some(None),
            Some(Err(error)) => Some(Some(error.reason().unwrap_or(h2::Reason::INTERNAL_ERROR))),
        }
    }

    /// Whether the peer takes no more streams: it sent GOAWAY or is gone.
    pub fn is_refusing(&self) -> bool {
        let mut send = self.send.clone();
        let ready = std::future::poll_fn(|cx| std::task::Poll::Ready(send.poll_ready(cx)));
        matches!(self.background.wait("an opinion", ready), std::task::Poll::Ready(Err(_)))
    }

    fn over<T>(background: Background, io: T, scheme: &'static str) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Wide for the connection, so that a stream that is not read holds up itself only.
        let handshake = h2::client::Builder::new()
            .enable_push(false)
            .initial_connection_window_size(16 << 20)
            .handshake(io);
        let (send, connection) =
            background.wait("the preface", handshake).expect("HTTP/2 is spoken");
        let ended = Arc::new(Mutex::new(None));
        let end = ended.clone();
        background.spawn(async move {
            let result = connection.await;
            *lock(&end) = Some(result);
        });
        Self { background: Arc::new(background), send, scheme, ended }
    }

    fn try_open(&self, request: H2Request, end: bool) -> Result<H2Exchange, h2::Error> {
        let head = request.head(self.scheme);
        let send = self.send.clone();
        let (response, send) = self.background.wait("room for a stream", async {
            let mut ready = send.ready().await?;
            ready.send_request(head, end)
        })?;
        Ok(H2Exchange {
            background: self.background.clone(),
            send,
            response: Some(response),
            receive: None,
        })
    }
}

// === impl H2Request ===

impl H2Request {
    /// A request without a body.
    pub fn new(method: &str, authority: &str, target: &str) -> Self {
        Self {
            method: method.into(),
            authority: authority.into(),
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
            trailers: Vec::new(),
        }
    }

    /// A GET.
    pub fn get(authority: &str, target: &str) -> Self {
        Self::new("GET", authority, target)
    }

    /// A POST.
    pub fn post(authority: &str, target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..Self::new("POST", authority, target) }
    }

    /// A gRPC call without messages.
    pub fn grpc(authority: &str, path: &str) -> Self {
        Self::new("POST", authority, path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// With a header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a trailer field.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.into(), value.into()));
        self
    }

    fn head(&self, scheme: &str) -> Request<()> {
        let uri = format!("{scheme}://{}{}", self.authority, self.target);
        let mut builder =
            Request::builder().method(&*self.method).uri(uri).version(http::Version::HTTP_2);
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        builder.body(()).expect("the test writes valid requests")
    }
}

// === impl H2Response ===

impl H2Response {
    /// A header field as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The echo of an origin.
    ///
    /// # Panics
    ///
    /// When the body is not one.
    pub fn echo(&self) -> Echo {
        assert_eq!(self.status, 200, "{}", self.text());
        Echo::parse(&self.body)
    }
}

impl From<H2Response> for Response {
    /// The same in the shape of HTTP/1.1, but for the bytes of its head.
    fn from(response: H2Response) -> Self {
        Self {
            status: response.status,
            version: "HTTP/2".into(),
            headers: pairs(&response.headers),
            head: Vec::new(),
            body: response.body,
            trailers: pairs(&response.trailers),
            interim: Vec::new(),
        }
    }
}

// === impl H2Exchange ===

impl H2Exchange {
    /// Sends a piece of the body, when there is room for it.
    ///
    /// # Panics
    ///
    /// When the stream is reset.
    pub fn send(&mut self, data: impl AsRef<[u8]>, end: bool) {
        let data = Bytes::copy_from_slice(data.as_ref());
        let background = self.background.clone();
        background
            .wait("room to send", send_data(&mut self.send, data, end))
            .expect("the stream takes data");
    }

    /// Sends a gRPC message.
    pub fn send_message(&mut self, message: &str) {
        self.send(encode_message(message), false);
    }

    /// Ends the body.
    pub fn end(&mut self) {
        self.send.send_data(Bytes::new(), true).expect("the stream is open");
    }

    /// Gives the stream up.
    pub fn reset(mut self) {
        self.send.send_reset(h2::Reason::CANCEL);
    }

    /// Waits for the response's head: its status and fields.
    ///
    /// # Panics
    ///
    /// When the stream is reset.
    pub fn head(&mut self) -> (u16, HeaderMap) {
        self.try_head().expect("the stream is answered")
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Panics
    ///
    /// When the stream is reset.
    pub fn data(&mut self) -> Option<Bytes> {
        self.try_data().expect("the stream goes on")
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// When the stream is reset.
    pub fn try_data(&mut self) -> Result<Option<Bytes>, h2::Error> {
        if self.receive.is_none() {
            self.try_head()?;
        }
        let receive = self.receive.as_mut().expect("the head was read");
        let data = self.background.wait("data", receive.data()).transpose()?;
        if let Some(data) = &data {
            receive.flow_control().release_capacity(data.len())?;
        }
        Ok(data)
    }

    /// Waits until gRPC messages have come, as many as that.
    ///
    /// # Panics
    ///
    /// When the stream ends first.
    pub fn messages(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut buffer = Vec::new();
        let mut messages = Vec::new();
        while messages.len() < count {
            let data = self.data().expect("the stream goes on");
            buffer.extend_from_slice(&data);
            messages.extend(decode_messages(&mut buffer));
        }
        messages
    }

    /// Trailer fields, after the end of the body.
    pub fn trailers(&mut self) -> HeaderMap {
        let receive = self.receive.as_mut().expect("the head was read");
        let trailers = self.background.wait("trailers", receive.trailers());
        trailers.expect("the stream ends in order").unwrap_or_default()
    }

    /// Reads everything that is left.
    ///
    /// # Errors
    ///
    /// When the stream is reset.
    pub fn try_finish(&mut self) -> Result<H2Response, h2::Error> {
        let (status, headers) = self.try_head()?;
        let mut body = Vec::new();
        while let Some(data) = self.try_data()? {
            body.extend_from_slice(&data);
        }
        let receive = self.receive.as_mut().expect("the head was read");
        let trailers = self.background.wait("trailers", receive.trailers())?.unwrap_or_default();
        Ok(H2Response { status, headers, body, trailers })
    }

    fn try_head(&mut self) -> Result<(u16, HeaderMap), h2::Error> {
        let response = self.response.take().expect("the head is read once");
        let response = self.background.wait("a response", response)?;
        let (head, receive) = response.into_parts();
        self.receive = Some(receive);
        Ok((head.status.as_u16(), head.headers))
    }
}

async fn send_body(
    send: &mut SendStream<Bytes>,
    body: Bytes,
    trailers: HeaderMap,
) -> Result<(), h2::Error> {
    let end = trailers.is_empty();
    if !body.is_empty() {
        send_data(send, body, end).await?;
    }
    if end { Ok(()) } else { send.send_trailers(trailers) }
}

pub(crate) async fn send_data(
    send: &mut SendStream<Bytes>,
    mut data: Bytes,
    end: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        send.reserve_capacity(data.len());
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
        let room = match room {
            Some(room) => room?,
            None => return Err(h2::Reason::STREAM_CLOSED.into()),
        };
        let piece = data.split_to(room.min(data.len()));
        let last = end && data.is_empty();
        send.send_data(piece, last)?;
    }
    Ok(())
}

/// Names and values as text.
pub(crate) fn pairs(map: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

fn header_map(fields: &[(String, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name = http::HeaderName::try_from(name).expect("the test writes valid names");
        map.append(name, value.try_into().expect("the test writes valid values"));
    }
    map
}
