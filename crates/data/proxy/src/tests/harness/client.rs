//! A client that a test drives.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Poll, ready};

use tokio::net::TcpStream;
use weft_http::buffers::Buffers;
use weft_http::error::{HeadError, ReadError};
use weft_http::h1::Conn;
use weft_http::io::Io;
use weft_http::{BodyEvent, Leg, h2};
use weft_message::h1::{BodyFraming, HeadLimits, write_request};
use weft_message::{Fields, Known, Method, RequestHead, ResponseHead};
use weft_net::BufferPool;
use weft_runtime::task;

use super::Http;

/// One connection to the gateway.
pub(in crate::tests) enum Client {
    One(Option<Box<Conn>>),
    Two(h2::Client),
}

/// A request under way.
pub(in crate::tests) struct Call {
    pub(in crate::tests) leg: Leg,
    method: Method,
    /// Statuses of the interim responses so far.
    pub(in crate::tests) interim: Vec<u16>,
}

/// A whole answer.
#[derive(Debug)]
pub(in crate::tests) struct Answer {
    pub(in crate::tests) status: u16,
    pub(in crate::tests) fields: Fields,
    pub(in crate::tests) body: Vec<u8>,
    pub(in crate::tests) trailers: Option<Fields>,
    pub(in crate::tests) framing: BodyFraming,
    pub(in crate::tests) declared: BodyFraming,
}

// === impl Client ===

impl Client {
    pub(in crate::tests) async fn connect(http: Http, addr: SocketAddr) -> Self {
        Self::over(http, TcpStream::connect(addr).await.expect("it accepts")).await
    }

    /// The same on a connection that was made already.
    pub(in crate::tests) async fn over(http: Http, stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("it is open");
        Self::on(http, Io::Tcp(stream)).await
    }

    /// The same on any stream.
    pub(in crate::tests) async fn on(http: Http, io: Io) -> Self {
        match http {
            Http::One => {
                let buffers = Buffers::new(BufferPool::default());
                Self::One(Some(Box::new(Conn::new(io, buffers))))
            }
            Http::Two => {
                let buffers = Buffers::new(BufferPool::default());
                let handshake = h2::Client::handshake(io, 1 << 20, &buffers).await;
                let (client, connection) = handshake.expect("it speaks HTTP/2");
                task::spawn("client", async move {
                    let _ = connection.await;
                });
                Self::Two(client)
            }
        }
    }

    /// Begins a request; its body is still to be sent, as `framing` says.
    pub(in crate::tests) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        framing: BodyFraming,
    ) -> Call {
        let mut head = RequestHead::new();
        let method = Method::parse(method.as_bytes()).expect("valid");
        head.set_method(method.clone());
        head.set_authority("a.example").expect("valid");
        let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
        head.set_path(path).expect("valid");
        head.set_query(query).expect("valid");
        for (name, value) in fields {
            head.fields.append(*name, value.as_bytes()).expect("valid");
        }
        let leg = match self {
            Self::One(conn) => {
                let mut conn = conn.take().expect("the connection is free");
                conn.begin_message(framing, |out| write_request(&head, framing, out));
                poll_fn(|cx| conn.poll_flush(cx)).await.expect("it is sent");
                Leg::H1(conn)
            }
            Self::Two(client) => {
                if let BodyFraming::Length(length) = framing {
                    let length = length.to_string();
                    head.fields.set(Known::ContentLength, length.as_bytes()).expect("valid");
                }
                poll_fn(|cx| client.poll_ready(cx)).await.expect("there is room");
                let end = framing == BodyFraming::None;
                Leg::H2(client.begin_request(&head, end).expect("it is sent"))
            }
        };
        Call { leg, method, interim: Vec::new() }
    }

    /// Sends a request with a body of known length, and reads the answer.
    pub(in crate::tests) async fn send(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        let framing = match body.len() {
            0 => BodyFraming::None,
            length => BodyFraming::Length(length as u64),
        };
        let mut call = self.begin(method, path, &[], framing).await;
        call.send(body).await;
        call.finish(None).await;
        self.answer(call).await
    }

    pub(in crate::tests) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, b"").await
    }

    /// Reads the rest of an answer; the connection is free for the next request.
    pub(in crate::tests) async fn answer(&mut self, mut call: Call) -> Answer {
        let answer = call.answer().await.expect("the answer is whole");
        self.take_back(call);
        answer
    }

    /// The connection is free again, if it can be used.
    pub(in crate::tests) fn take_back(&mut self, call: Call) {
        if let (Self::One(conn), Leg::H1(leg)) = (self, call.leg) {
            *conn = Some(leg);
        }
    }

    /// Waits until the gateway has closed the connection. False when something else came.
    pub(in crate::tests) async fn closed(&mut self) -> bool {
        match self {
            Self::One(conn) => {
                let conn = conn.as_mut().expect("the connection is free");
                !poll_fn(|cx| conn.poll_readable(cx)).await.unwrap_or(false)
            }
            Self::Two(client) => {
                super::until("GOAWAY", || client.is_closed()).await;
                true
            }
        }
    }
}

// === impl Call ===

impl Call {
    /// Sends part of the body.
    pub(in crate::tests) async fn send(&mut self, body: &[u8]) {
        let mut sent = 0;
        while sent < body.len() {
            let count = poll_fn(|cx| self.leg.poll_send(cx, &body[sent..])).await;
            sent += count.expect("it is sent");
        }
        poll_fn(|cx| self.leg.poll_flush(cx)).await.expect("it is sent");
    }

    pub(in crate::tests) async fn finish(&mut self, trailers: Option<&Fields>) {
        poll_fn(|cx| self.leg.poll_finish(cx, trailers)).await.expect("it is sent");
    }

    /// Reads the head of the answer; interim ones are noted.
    pub(in crate::tests) async fn head(
        &mut self,
    ) -> Result<(ResponseHead, BodyFraming, BodyFraming), HeadError> {
        let mut head = ResponseHead::default();
        let limits = HeadLimits::DEFAULT;
        let Self { leg, method, interim } = self;
        let (framing, declared) = poll_fn(|cx| {
            loop {
                match leg {
                    Leg::H1(conn) => {
                        let facts = ready!(conn.poll_response(cx, &limits, method, &mut head))?;
                        if !facts.interim {
                            return Poll::Ready(Ok((facts.framing, facts.declared)));
                        }
                    }
                    Leg::H2(stream) => {
                        match stream.poll_interim(cx, &limits, &mut head) {
                            Poll::Ready(Some(interim)) => interim?,
                            Poll::Ready(None) | Poll::Pending => {
                                ready!(stream.poll_response(cx, &limits, &mut head))?;
                                let length = head.fields.content_length().ok().flatten();
                                let framing =
                                    length.map_or(BodyFraming::Chunked, BodyFraming::Length);
                                return Poll::Ready(Ok((framing, framing)));
                            }
                        };
                    }
                }
                interim.push(head.status());
            }
        })
        .await?;
        Ok((head, framing, declared))
    }

    /// Reads the body of the answer.
    pub(in crate::tests) async fn body(&mut self) -> Result<Vec<u8>, ReadError> {
        let mut body = Vec::new();
        while poll_fn(|cx| self.leg.poll_body(cx)).await? == BodyEvent::Data {
            body.extend_from_slice(self.leg.chunk());
            let count = self.leg.chunk().len();
            self.leg.consume(count);
        }
        Ok(body)
    }

    /// Reads the whole answer; the error says where it broke off.
    pub(in crate::tests) async fn answer(&mut self) -> Result<Answer, String> {
        let head = self.head().await.map_err(|error| format!("head: {error}"))?;
        let (head, framing, declared) = head;
        let body = self.body().await.map_err(|error| format!("body: {error}"))?;
        let trailers = self.leg.trailers().cloned();
        let fields = head.fields.clone();
        Ok(Answer { status: head.status(), fields, body, trailers, framing, declared })
    }
}

/// The lines of a section, for comparing.
pub(in crate::tests) fn response_lines(fields: Option<&Fields>) -> Vec<(String, String)> {
    let line = |(name, value): (&str, &[u8])| {
        (name.to_ascii_lowercase(), String::from_utf8_lossy(value).into_owned())
    };
    fields.map(|fields| fields.iter().map(line).collect()).unwrap_or_default()
}
