//! One probe.

use std::borrow::Cow;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;

use weft_http::buffers::Buffers;
use weft_http::error::{HeadError, ReadError, WriteError};
use weft_http::{BodyEvent, Leg};
use weft_message::h1::{BodyFraming, HeadLimits, write_request};
use weft_message::{
    FieldName, Known, Method, PathRules, RequestHead, ResponseHead, Scheme, canonical_path,
};
use weft_model::backend::{HealthCheck, Probe, UpstreamProtocol};
use weft_resilience::protobuf::{Reader, Value};
use weft_runtime::time;
use weft_tls::ClientTls;

use crate::backends::PreparedBackend;
use crate::behalf;
use crate::dial::{self, Destination, Spoken};
use crate::error::ConnectError;
use crate::peer::PeerPool;

/// Interim responses before the answer; more is an endpoint that floods.
const INTERIM_MAX: u32 = 16;

/// An answer of the health protocol is a few bytes; of what is longer, no more is kept.
const GRPC_ANSWER_BYTES_MAX: usize = 4096;

/// `grpc.health.v1.HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// What is asked, and where.
pub(super) struct Asked<'a> {
    check: &'a HealthCheck,
    addr: SocketAddr,
    /// The proxy that leads there.
    through: Option<&'a PeerPool>,
    tls: Option<&'a ClientTls>,
    protocol: UpstreamProtocol,
    first: Cow<'static, [u8]>,
}

/// Why an endpoint did not pass.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProbeError {
    #[error("no answer in time")]
    Timeout,
    #[error("no connection")]
    Connect(#[from] ConnectError),
    #[error("the request of the health check cannot be sent: {0}")]
    Request(&'static str),
    #[error("the request could not be written")]
    Write(#[from] WriteError),
    #[error("no valid answer")]
    Head(#[from] HeadError),
    #[error("the answer broke off")]
    Body(#[from] ReadError),
    #[error("the connection ended before the answer")]
    Gone,
    #[error("too many interim responses")]
    Interim,
    #[error("status {0}")]
    Status(u16),
    #[error("HTTP/2 is not spoken")]
    NoHttp2,
    #[error("grpc-status {0}")]
    GrpcStatus(String),
    #[error("the service does not say that it is serving")]
    NotServing,
}

/// Asks once.
///
/// Cancel safe: dropping it closes the connection.
pub(super) async fn probe(asked: &Asked<'_>, buffers: &Buffers) -> Result<(), ProbeError> {
    match time::timeout(asked.check.timeout, ask(asked, buffers)).await {
        Ok(result) => result,
        Err(time::Elapsed) => Err(ProbeError::Timeout),
    }
}

// === impl Asked ===

impl<'a> Asked<'a> {
    /// What `check` asks of the endpoint at `addr`, which is reached `through` a proxy or as it is.
    pub(super) fn new(
        backend: &'a PreparedBackend,
        check: &'a HealthCheck,
        mut addr: SocketAddr,
        through: Option<&'a PeerPool>,
    ) -> Self {
        if let Some(port) = check.port {
            addr.set_port(port);
        }
        Self {
            check,
            addr,
            through,
            tls: backend.tls.as_deref(),
            protocol: backend.settings.protocol,
            first: behalf::header(backend.settings.calling.proxy_protocol, None),
        }
    }

    /// Where a connection leads that speaks this TLS, after these bytes.
    fn destination(
        &self,
        tls: Option<&'a ClientTls>,
        host: &'a str,
        first: &'a [u8],
    ) -> Destination<'a> {
        let through = self.through.map(|peer| (peer, time::now()));
        Destination { addr: self.addr, through, tls, host, first, keep_alive: None }
    }

    fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }
}

async fn ask(asked: &Asked<'_>, buffers: &Buffers) -> Result<(), ProbeError> {
    match &asked.check.probe {
        Probe::Tcp => {
            // A connection is enough, so TLS is not begun.
            dial::stream(&asked.destination(None, "", &[]), buffers).await?;
            Ok(())
        }
        Probe::Http { path, method, host, headers, statuses } => {
            let mut req = request(asked, method, path, host.as_deref())?;
            for (name, value) in headers {
                let name = FieldName::new(name).map_err(|_| INVALID_HEADER)?;
                req.fields.append(&name, value.as_bytes()).map_err(|_| INVALID_HEADER)?;
            }
            let answer = exchange(asked, asked.protocol, &req, None, buffers).await?;
            let status = answer.head.status();
            if accepts(statuses, status) { Ok(()) } else { Err(ProbeError::Status(status)) }
        }
        Probe::Grpc { service } => {
            let mut req = request(asked, "POST", "/grpc.health.v1.Health/Check", None)?;
            for (name, value) in [(Known::ContentType, "application/grpc"), (Known::Te, "trailers")]
            {
                req.fields.set(name, value.as_bytes()).map_err(|_| INVALID_HEADER)?;
            }
            let question = grpc_question(service);
            let protocol = UpstreamProtocol::Http2;
            let answer = exchange(asked, protocol, &req, Some(&question), buffers).await?;
            grpc_verdict(&answer)
        }
    }
}

const INVALID_HEADER: ProbeError = ProbeError::Request("invalid header");

fn request(
    asked: &Asked<'_>,
    method: &str,
    target: &str,
    host: Option<&str>,
) -> Result<RequestHead, ProbeError> {
    let mut req = RequestHead::new();
    let method = Method::parse(method.as_bytes());
    req.set_method(method.map_err(|_| ProbeError::Request("invalid method"))?);
    req.set_scheme(asked.scheme());
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let invalid = |_| ProbeError::Request("invalid path");
    req.set_path(&canonical_path(&path, &PathRules::PERMISSIVE).map_err(invalid)?)
        .map_err(invalid)?;
    req.set_query(query).map_err(invalid)?;
    let own = asked.addr.to_string();
    let host = host.unwrap_or(&own);
    req.set_authority(host).map_err(|_| ProbeError::Request("invalid host"))?;
    let _ = req.fields.set(Known::UserAgent, b"weftway-health-check");
    Ok(req)
}

/// What came back.
struct Answer {
    head: ResponseHead,
    /// The beginning of the body; read for gRPC only.
    body: Vec<u8>,
    /// `grpc-status` of head or trailers.
    grpc_status: Option<String>,
}

/// Sends a request on a connection of its own; with a body, reads that of the answer too.
async fn exchange(
    asked: &Asked<'_>,
    protocol: UpstreamProtocol,
    req: &RequestHead,
    body: Option<&[u8]>,
    buffers: &Buffers,
) -> Result<Answer, ProbeError> {
    let to = asked.destination(asked.tls, req.host(), &asked.first);
    let (io, agreed_h2) = dial::stream(&to, buffers).await?;
    if asked.tls.is_some() && protocol == UpstreamProtocol::Http2 && !agreed_h2 {
        return Err(ProbeError::NoHttp2);
    }
    match dial::speak(io, agreed_h2, protocol, buffers).await? {
        Spoken::H1(mut conn) => {
            conn.begin_message(BodyFraming::None, |out| {
                write_request(req, BodyFraming::None, out);
            });
            converse(&mut Leg::H1(conn), req.method(), body).await
        }
        Spoken::H2(mut client, connection) => {
            let work = async {
                poll_fn(|cx| client.poll_ready(cx)).await.map_err(ConnectError::H2)?;
                let stream = client.begin_request(req, body.is_none())?;
                converse(&mut Leg::H2(stream), req.method(), body).await
            };
            either(work, connection).await
        }
    }
}

/// What `work` gives, unless the connection it depends on ends first.
async fn either<T, C>(
    work: impl Future<Output = Result<T, ProbeError>>,
    connection: impl Future<Output = C>,
) -> Result<T, ProbeError> {
    tokio::select! {
        biased;
        result = work => result,
        _ = connection => Err(ProbeError::Gone),
    }
}

async fn converse(
    leg: &mut Leg,
    method: &Method,
    body: Option<&[u8]>,
) -> Result<Answer, ProbeError> {
    let mut rest = body.unwrap_or_default();
    while !rest.is_empty() {
        let count = poll_fn(|cx| leg.poll_send(cx, rest)).await?;
        rest = &rest[count..];
    }
    if body.is_some() {
        poll_fn(|cx| leg.poll_finish(cx, None)).await?;
    }
    poll_fn(|cx| leg.poll_flush(cx)).await?;
    let mut answer = Answer { head: ResponseHead::default(), body: Vec::new(), grpc_status: None };
    let mut interim = 0;
    while !response(leg, method, &mut answer.head).await? {
        interim += 1;
        if interim > INTERIM_MAX {
            return Err(ProbeError::Interim);
        }
    }
    if body.is_some() {
        read_body(leg, &mut answer).await?;
    }
    Ok(answer)
}

/// Reads one response head; false when it was an interim one.
async fn response(
    leg: &mut Leg,
    method: &Method,
    head: &mut ResponseHead,
) -> Result<bool, HeadError> {
    let limits = HeadLimits::DEFAULT;
    poll_fn(|cx| match leg {
        Leg::H1(conn) => {
            conn.poll_response(cx, &limits, method, head).map_ok(|facts| !facts.interim)
        }
        Leg::H2(stream) => stream.poll_response(cx, &limits, head).map_ok(|()| true),
    })
    .await
}

async fn read_body(leg: &mut Leg, answer: &mut Answer) -> Result<(), ProbeError> {
    while poll_fn(|cx| leg.poll_body(cx)).await? == BodyEvent::Data {
        let chunk = leg.chunk();
        let room = GRPC_ANSWER_BYTES_MAX - answer.body.len();
        answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        let count = chunk.len();
        leg.consume(count);
    }
    let trailers = leg.trailers();
    answer.grpc_status = [trailers, Some(&answer.head.fields)]
        .into_iter()
        .flatten()
        .find_map(|fields| fields.get_str("grpc-status"))
        .map(str::to_owned);
    Ok(())
}

fn accepts(ranges: &[(u16, u16)], status: u16) -> bool {
    if ranges.is_empty() {
        return (200..400).contains(&status);
    }
    ranges.iter().any(|(from, to)| (*from..=*to).contains(&status))
}

/// A gRPC message frame with `HealthCheckRequest { service = 1 }`.
fn grpc_question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a); // field 1, length-delimited
        let mut len = service.len();
        while len >= 0x80 {
            message.push(len as u8 | 0x80);
            len >>= 7;
        }
        message.push(len as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0]; // not compressed
    frame.extend_from_slice(&(message.len() as u32).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

fn grpc_verdict(answer: &Answer) -> Result<(), ProbeError> {
    if answer.head.status() != 200 {
        return Err(ProbeError::Status(answer.head.status()));
    }
    match answer.grpc_status.as_deref() {
        Some("0") => {}
        Some(other) => return Err(ProbeError::GrpcStatus(other.into())),
        None => return Err(ProbeError::GrpcStatus("none".into())),
    }
    let message = answer.body.split_at_checked(5).map(|(_, message)| message);
    match message.and_then(serving_status) {
        Some(SERVING) => Ok(()),
        _ => Err(ProbeError::NotServing),
    }
}

/// Field 1 of `HealthCheckResponse`; its last value counts, as protobuf has it. None when the
/// message is malformed.
fn serving_status(message: &[u8]) -> Option<u64> {
    let (mut status, mut reader) = (0, Reader::new(message));
    while let Some((field, value)) = reader.next()? {
        if let (1, Value::Varint(value)) = (field, value) {
            status = value;
        }
    }
    Some(status)
}

#[cfg(test)]
mod tests;
