//! An origin that answers as a test says.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use weft_http::buffers::Buffers;
use weft_http::h1::Conn;
use weft_http::h2::{Server, ServerSettings};
use weft_http::io::Io;
use weft_http::{BodyEvent, Leg};
use weft_message::h1::{BodyFraming, HeadLimits, Persistence, write_response};
use weft_message::{Fields, Known, PathRules, RequestHead, ResponseHead, Scheme};
use weft_net::BufferPool;
use weft_runtime::task::{self, Task};

use super::Http;

/// A request that has come to an origin, before its body is read.
pub(in crate::tests) struct Begun {
    pub(in crate::tests) head: RequestHead,
    pub(in crate::tests) leg: Leg,
    /// Which request on its connection, from 1; always 1 on HTTP/2.
    pub(in crate::tests) place: u32,
}

type Answering = Pin<Box<dyn Future<Output = Option<Leg>>>>;
type Handler = Rc<dyn Fn(Begun) -> Answering>;

/// An origin. Its handler gives the leg back when the connection may be used again.
pub(in crate::tests) struct Origin {
    pub(in crate::tests) addr: SocketAddr,
    log: Rc<Log>,
    accepting: Task<()>,
}

#[derive(Default)]
struct Log {
    requests: RefCell<Vec<(String, Fields)>>,
    connections: Cell<usize>,
}

// === impl Origin ===

impl Origin {
    pub(in crate::tests) async fn start<F>(
        http: Http,
        answer: impl Fn(Begun) -> F + 'static,
    ) -> Self
    where
        F: Future<Output = Option<Leg>> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let addr = listener.local_addr().expect("it is bound");
        let log = Rc::new(Log::default());
        let handler: Handler = Rc::new(move |begun| Box::pin(answer(begun)));
        let seen = log.clone();
        let accepting = task::spawn("origin", async move {
            let buffers = Buffers::new(BufferPool::default());
            loop {
                let (stream, _) = listener.accept().await.expect("it accepts");
                stream.set_nodelay(true).expect("it is open");
                seen.connections.set(seen.connections.get() + 1);
                let (log, handler, buffers) = (seen.clone(), handler.clone(), buffers.clone());
                match http {
                    Http::One => task::spawn("origin", one(stream, buffers, log, handler)),
                    Http::Two => task::spawn("origin", two(stream, log, handler)),
                };
            }
        });
        Self { addr, log, accepting }
    }

    /// Answers every request with what it sent.
    pub(in crate::tests) async fn echo(http: Http) -> Self {
        Self::start(http, |begun| async move {
            let Begun { mut leg, .. } = begun;
            let mut head = ResponseHead::default();
            head.set_status(200);
            begin(&mut leg, &mut head, BodyFraming::Chunked);
            while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
                let data = leg.chunk().to_vec();
                let mut sent = 0;
                while sent < data.len() {
                    sent += poll_fn(|cx| leg.poll_send(cx, &data[sent..])).await.ok()?;
                }
                poll_fn(|cx| leg.poll_flush(cx)).await.ok()?;
                leg.consume(data.len());
            }
            let trailers = leg.trailers().cloned();
            finish(&mut leg, trailers.as_ref()).await?;
            Some(leg)
        })
        .await
    }

    /// Paths of the requests so far, each after its method.
    pub(in crate::tests) fn requests(&self) -> Vec<String> {
        self.log.requests.borrow().iter().map(|(line, _)| line.clone()).collect()
    }

    /// A field of the request at `index`.
    pub(in crate::tests) fn field(&self, index: usize, name: &str) -> Option<String> {
        let requests = self.log.requests.borrow();
        requests.get(index)?.1.get_str(name).map(str::to_owned)
    }

    /// Connections accepted so far.
    pub(in crate::tests) fn connections(&self) -> usize {
        self.log.connections.get()
    }

    /// Accepts no more.
    pub(in crate::tests) fn stop(&self) {
        self.accepting.abort();
    }
}

impl Log {
    fn see(&self, head: &RequestHead) {
        let mut fields = head.fields.clone();
        let host = head.authority().as_bytes();
        fields.append("host", host).expect("it was valid in the head");
        let line = format!("{} {}", head.method().as_str(), head.path_and_query());
        self.requests.borrow_mut().push((line, fields));
    }
}

async fn one(stream: TcpStream, buffers: Buffers, log: Rc<Log>, handler: Handler) {
    let mut conn = Box::new(Conn::new(Io::Tcp(stream), buffers));
    for place in 1.. {
        let mut head = RequestHead::new();
        let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
        let read = poll_fn(|cx| conn.poll_request(cx, &limits, &rules, &mut head)).await;
        if read.is_err() {
            return;
        }
        log.see(&head);
        let leg = Leg::H1(conn);
        conn = match handler(Begun { head, leg, place }).await {
            Some(Leg::H1(conn)) if conn.is_reusable() => conn,
            _ => return,
        };
    }
}

async fn two(stream: TcpStream, log: Rc<Log>, handler: Handler) {
    let settings = ServerSettings {
        streams_max: 100,
        head_bytes_max: 64 << 10,
        connection_window_bytes: 1 << 20,
        stream_window_bytes: 64 << 10,
        resets_max: 1_000,
        control_frames_max: 1_000,
    };
    let buffers = Buffers::new(BufferPool::default());
    let served = Server::handshake(Io::Tcp(stream), &settings, &buffers).await;
    let Ok(mut server) = served else { return };
    while let Ok(accepted) = poll_fn(|cx| server.poll_accept(cx)).await {
        let mut head = RequestHead::new();
        let (limits, rules) = (HeadLimits::DEFAULT, PathRules::default());
        let (stream, read) = accepted.into_request(Scheme::Http, &limits, &rules, &mut head);
        read.expect("the gateway sends good heads");
        log.see(&head);
        task::spawn("origin", handler(Begun { head, leg: Leg::H2(stream), place: 1 }));
    }
}

/// Sends the head of an answer.
pub(in crate::tests) fn begin(leg: &mut Leg, head: &mut ResponseHead, framing: BodyFraming) {
    match leg {
        Leg::H1(conn) => {
            let persistence = match framing {
                BodyFraming::UntilClose => Persistence::Close,
                _ => Persistence::KeepAlive,
            };
            conn.begin_message(framing, |out| write_response(head, framing, persistence, out));
        }
        Leg::H2(stream) => {
            if let BodyFraming::Length(length) = framing {
                let length = length.to_string();
                head.fields.set(Known::ContentLength, length.as_bytes()).expect("valid");
            }
            let end = matches!(framing, BodyFraming::None | BodyFraming::Length(0));
            stream.begin_response(head, end).expect("it is sent");
        }
    }
}

/// Sends an interim response.
pub(in crate::tests) async fn send_interim(leg: &mut Leg, status: u16) {
    let mut head = ResponseHead::default();
    head.set_status(status);
    match leg {
        Leg::H1(conn) => {
            conn.begin_message(BodyFraming::None, |out| {
                write_response(&head, BodyFraming::None, Persistence::KeepAlive, out);
            });
            poll_fn(|cx| conn.poll_flush(cx)).await.expect("it is sent");
        }
        Leg::H2(stream) => stream.send_interim(&head).expect("it is sent"),
    }
}

/// Reads a whole body; `None` when it breaks off.
pub(in crate::tests) async fn read(leg: &mut Leg) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while poll_fn(|cx| leg.poll_body(cx)).await.ok()? == BodyEvent::Data {
        body.extend_from_slice(leg.chunk());
        let count = leg.chunk().len();
        leg.consume(count);
    }
    Some(body)
}

/// Ends a body.
pub(in crate::tests) async fn finish(leg: &mut Leg, trailers: Option<&Fields>) -> Option<()> {
    poll_fn(|cx| leg.poll_finish(cx, trailers)).await.ok()
}

/// Answers with a body of known length.
pub(in crate::tests) async fn reply(leg: Leg, status: u16, body: &[u8]) -> Option<Leg> {
    reply_with(leg, status, &[], body).await
}

/// The same with header fields.
pub(in crate::tests) async fn reply_with(
    mut leg: Leg,
    status: u16,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Option<Leg> {
    let mut head = ResponseHead::default();
    head.set_status(status);
    for (name, value) in fields {
        head.fields.append(*name, value.as_bytes()).expect("valid");
    }
    begin(&mut leg, &mut head, BodyFraming::Length(body.len() as u64));
    let mut sent = 0;
    while sent < body.len() {
        sent += poll_fn(|cx| leg.poll_send(cx, &body[sent..])).await.ok()?;
    }
    finish(&mut leg, None).await?;
    Some(leg)
}
